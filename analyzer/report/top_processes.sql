-- Those that run, then those that ended last.
SELECT p.id, 0, p.pid, p.live_blocks, p.live_bytes, p.alloc_blocks, p.peak_bytes,
       (SELECT s.rss FROM sample s WHERE s.process_id = p.id ORDER BY s.t_ns DESC LIMIT 1),
       coalesce(p.exe, CASE WHEN p.merged THEN 'other programs' ELSE '?' END), p.end_how,
       coalesce(p.merged, 0)
FROM process p WHERE p.followed
ORDER BY p.end_how = 'running' DESC, coalesce(p.end_ns, 0) DESC, p.id DESC LIMIT 256
