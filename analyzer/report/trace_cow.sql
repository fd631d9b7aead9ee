-- Broken pages of each fork over time.
SELECT f.id, p.pid, s.t_ns, s.parent_broke, s.child_broke
FROM cow_sample s JOIN fork f ON f.id = s.fork_id JOIN process p ON p.id = f.parent_id
ORDER BY s.fork_id, s.t_ns
