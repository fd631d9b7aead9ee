-- One moment of the whole recording.
SELECT coalesce(sum(coalesce(merged, 1)), 0), coalesce(sum(end_how = 'running'), 0),
       coalesce(sum(CASE end_how WHEN 'running' THEN live_bytes ELSE 0 END), 0),
       coalesce(sum(CASE end_how WHEN 'running' THEN live_blocks ELSE 0 END), 0),
       coalesce(sum(alloc_blocks), 0), coalesce(sum(alloc_bytes), 0), coalesce(sum(lost_records), 0)
FROM process WHERE followed
