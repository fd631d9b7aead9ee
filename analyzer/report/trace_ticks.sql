-- Memory at every tick.
SELECT s.process_id, p.pid, s.t_ns, s.live_bytes, s.rss, s.shared, s.vm_size, s.minflt, s.majflt
FROM sample s JOIN process p ON p.id = s.process_id
ORDER BY s.t_ns, s.process_id
