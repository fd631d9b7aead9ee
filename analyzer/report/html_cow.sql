-- Broken pages over time, of the forks that are in the page.
SELECT fork_id, t_ns, parent_broke, child_broke, both_broke
FROM cow_sample
WHERE fork_id IN (SELECT id FROM fork ORDER BY t_ns, id LIMIT 5000)
ORDER BY fork_id, t_ns LIMIT 20000
