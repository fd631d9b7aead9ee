-- The words of every command line, in order.
SELECT p.id, CAST(e.value AS TEXT)
FROM process p, json_each(CASE WHEN json_valid(p.argv) THEN p.argv ELSE '[]' END) e
WHERE e.atom IS NOT NULL
ORDER BY p.id, e.key
