-- All limits that a process had, tick by tick: its own and those of its place.
-- Of the residue the least of the last three seconds: the kernel may leave
-- memory.stat as it was for two (its counters are flushed by thresholds, and
-- every 2 s: mm/memcontrol.c, FLUSH_TIME), and what grew meanwhile has no name.
SELECT kind, path, t_ns, limit_value, usage, reclaimable,
       min(residue) OVER (PARTITION BY process_id, kind, path ORDER BY t_ns
                          RANGE BETWEEN 3000000000 PRECEDING AND CURRENT ROW),
       swap, failures, oom_kills,
       stall_us, full_stall_us, peak
FROM limit_point
WHERE place = ?2 AND process_id IN (0, ?1) AND t_ns <= ?3
ORDER BY process_id, kind, path, t_ns
