-- Every image of the capture.
SELECT id, pid, coalesce(parent_id, 0), coalesce(parent_pid, 0), coalesce(exe, '?'),
       begin_how, end_how, begin_ns, coalesce(end_ns, -1), coalesce(status, -1),
       peak_bytes, coalesce(peak_ns, 0), live_blocks, live_bytes,
       alloc_blocks, alloc_bytes, free_blocks,
       inherited_blocks, inherited_bytes, inherited_freed,
       unknown_frees, failed_allocs, lost_records, coalesce(hiwater_rss, -1), followed,
       coalesce(merged, 0)
FROM process ORDER BY id
