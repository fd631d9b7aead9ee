-- The snapshots, oldest first.
SELECT id, name, process_id, t_ns, method, why, pause_ns, read_ns, scan_ns, scanned_bytes, age_ns, threads, stacks_why
 FROM snapshot ORDER BY t_ns, id
