-- Live bytes over time of each stack of a process.
SELECT h.stack_id, h.start_ns, h.bucket_ns, h.data, s.stable
FROM heap_series h
LEFT JOIN heap_site t ON t.process_id = h.process_id AND t.stack_id = h.stack_id
LEFT JOIN site s ON s.id = t.site_id
WHERE h.process_id = ?1 AND h.stack_id > 0
