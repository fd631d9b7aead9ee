-- When the address space of a process was looked at, up to a moment.
SELECT count(*), coalesce(max(t_ns), -1), coalesce(sum(cost_ns), 0)
FROM page_scan WHERE process_id = ?1 AND t_ns <= coalesce(?2, t_ns);
