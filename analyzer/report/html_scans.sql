-- Looks at the pages of a process, at most one per step of ?1 ns.
SELECT process_id, max(t_ns), areas, pages, present, zero, swapped FROM page_scan
WHERE error IS NULL
GROUP BY process_id, t_ns / ?1
ORDER BY process_id, t_ns / ?1
