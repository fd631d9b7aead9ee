-- All limits that a process had, tick by tick: its own and those of its place.
SELECT kind, path, t_ns, limit_value, usage, reclaimable, residue, swap, failures, oom_kills,
       stall_us, full_stall_us, peak
FROM limit_point
WHERE place = ?2 AND process_id IN (0, ?1) AND t_ns <= ?3
ORDER BY process_id, kind, path, t_ns
