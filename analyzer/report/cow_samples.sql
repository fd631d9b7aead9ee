-- Pages broken so far, at the looks at a fork.
SELECT t_ns, parent_broke, child_broke, both_broke, new_parent, new_child
FROM cow_sample
WHERE fork_id = ?1
ORDER BY t_ns
