-- Names of threads, each thread once.
SELECT t.process_id, p.pid, t.tid, t.name
FROM thread t JOIN process p ON p.id = t.process_id
WHERE t.name IS NOT NULL ORDER BY t.process_id, t.number
