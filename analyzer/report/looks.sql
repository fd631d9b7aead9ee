-- When the address space of a process was looked at, up to a moment, and whether
-- the last of these was from outside.
SELECT count(*), coalesce(max(t_ns), -1), coalesce(sum(cost_ns), 0),
       coalesce((SELECT look = 'tick' FROM page_scan WHERE process_id = ?1 AND t_ns <= coalesce(?2, t_ns)
                 ORDER BY t_ns DESC LIMIT 1), 0)
FROM page_scan WHERE process_id = ?1 AND t_ns <= coalesce(?2, t_ns);
