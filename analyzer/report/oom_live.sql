-- Live heap bytes of a process at its ticks.
SELECT t_ns, live_bytes FROM sample WHERE process_id = ?1 AND t_ns BETWEEN ?3 AND ?2 ORDER BY t_ns
