-- Live bytes over time: whole processes, and the sites that held most of the
-- peak; largest processes first.
WITH large AS (
	SELECT id, peak_bytes FROM process ORDER BY peak_bytes DESC LIMIT 64
), held AS (
	SELECT h.process_id, h.stack_id,
	       row_number() OVER (PARTITION BY h.process_id ORDER BY h.own_peak_bytes DESC) AS place
	FROM heap_site h JOIN large l ON l.id = h.process_id
	WHERE h.stack_id > 0
)
SELECT s.process_id, s.stack_id, s.start_ns, s.bucket_ns, s.data
FROM heap_series s JOIN large l ON l.id = s.process_id
LEFT JOIN held h ON h.process_id = s.process_id AND h.stack_id = s.stack_id
WHERE s.stack_id = -1 OR h.place <= 7
ORDER BY l.peak_bytes DESC, s.process_id, s.stack_id
