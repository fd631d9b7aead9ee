-- Forks, with what became of the child.
SELECT f.parent_id, coalesce(f.child_id, 0), coalesce(f.child_pid, 0), f.kind, f.t_ns, f.pause_ns, f.stack_id
FROM fork f ORDER BY f.t_ns, f.id LIMIT 5000
