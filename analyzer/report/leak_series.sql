-- Live bytes over time of the stacks that have live blocks.
SELECT s.process_id, s.stack_id, s.start_ns, s.bucket_ns, s.data
FROM heap_series s JOIN heap_site h ON h.process_id = s.process_id AND h.stack_id = s.stack_id
WHERE h.live_blocks > 0
