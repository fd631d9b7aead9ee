-- Live blocks from before the end of a pause: they may have been freed in it.
SELECT process_id, stack_id, count(*), sum(size) FROM live_block
WHERE t_ns < (SELECT max(coalesce(end_ns, 9223372036854775807)) FROM pause)
GROUP BY process_id, stack_id ORDER BY process_id, stack_id
