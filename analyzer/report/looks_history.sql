-- What a process had asked for and what was real of it, look by look up to a moment (?2).
SELECT s.t_ns, s.look, m.total_vm, m.data_vm, m.rss, m.swap
FROM page_scan s JOIN mm m ON m.process_id = s.process_id AND m.t_ns = s.t_ns
WHERE s.process_id = ?1 AND s.t_ns <= coalesce(?2, s.t_ns)
ORDER BY s.t_ns
