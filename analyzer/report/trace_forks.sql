-- Forks, with the thread that forked, the child, and what became of the shared pages.
SELECT f.parent_id, p.pid, coalesce(t.tid, p.pid), f.t_ns, f.pause_ns, f.kind, f.id,
       coalesce(c.pid, f.child_pid), c.begin_ns, f.pages_shared, f.parent_broke, f.child_broke,
       f.both_broke, f.copies
FROM fork f JOIN process p ON p.id = f.parent_id
LEFT JOIN process c ON c.id = f.child_id
LEFT JOIN thread t ON t.process_id = f.parent_id AND t.number = f.thread
ORDER BY f.t_ns, f.id
