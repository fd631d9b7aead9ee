-- Whether more than one thread of a process allocated.
SELECT EXISTS (SELECT 1 FROM thread WHERE alloc_blocks > 0 GROUP BY process_id HAVING count(*) > 1)
