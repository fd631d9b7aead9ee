-- What was not seen; the whole capture first.
SELECT coalesce(process_id, 0), kind, count, text FROM coverage
ORDER BY process_id IS NOT NULL, process_id, id
