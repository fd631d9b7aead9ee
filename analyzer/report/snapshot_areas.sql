-- Writable memory of snapshot ?1 by kind, and of ?2, an earlier one or NULL.
WITH both AS (
 SELECT kind, 1 AS n, end - start AS bytes, resident, 0 AS old_n, 0 AS old_bytes, 0 AS old_resident
 FROM snapshot_area WHERE snapshot_id = ?1
 UNION ALL
 SELECT kind, 0, 0, 0, 1, end - start, resident FROM snapshot_area WHERE snapshot_id = ?2)
SELECT kind, sum(n), sum(bytes), sum(resident), sum(old_n), sum(old_bytes), sum(old_resident)
 FROM both GROUP BY kind ORDER BY 4 DESC, kind
