-- Writable memory of snapshot ?1 by kind.
SELECT kind, count(*), sum(end - start), sum(resident) FROM snapshot_area WHERE snapshot_id = ?1
 GROUP BY kind ORDER BY 4 DESC, kind
