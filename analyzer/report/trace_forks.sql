-- Forks, with the thread that forked and the child.
SELECT f.parent_id, p.pid, coalesce(t.tid, p.pid), f.t_ns, f.pause_ns, f.kind, f.id,
       coalesce(c.pid, f.child_pid), c.begin_ns
FROM fork f JOIN process p ON p.id = f.parent_id
LEFT JOIN process c ON c.id = f.child_id
LEFT JOIN thread t ON t.process_id = f.parent_id AND t.number = f.thread
ORDER BY f.t_ns, f.id
