-- Memory of each process from outside, one row per step of ?1 ns.
SELECT process_id, max(t_ns), max(rss), max(vm_size), max(majflt), max(minflt) FROM sample
GROUP BY process_id, t_ns / ?1
ORDER BY process_id, t_ns / ?1
