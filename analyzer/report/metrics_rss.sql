-- The last tick of each process.
SELECT process_id, max(t_ns), rss FROM sample GROUP BY process_id
