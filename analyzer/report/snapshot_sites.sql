-- ?1: a snapshot, ?2: an earlier one to compare with, or NULL.  Worst first.
WITH both AS (
 SELECT stack_id, verdict, blocks, bytes, 0 AS old_blocks, 0 AS old_bytes FROM snapshot_site WHERE snapshot_id = ?1
 UNION ALL
 SELECT stack_id, verdict, 0, 0, blocks, bytes FROM snapshot_site WHERE snapshot_id = ?2)
SELECT b.stack_id, b.verdict, sum(b.blocks), sum(b.bytes), sum(b.old_blocks), sum(b.old_bytes), s.stable, s.own
 FROM both b LEFT JOIN stack k ON k.id = b.stack_id LEFT JOIN site s ON s.id = k.site_id
 GROUP BY b.stack_id, b.verdict
 ORDER BY CASE b.verdict WHEN 'definite' THEN 0 WHEN 'indirect' THEN 1 WHEN 'possible' THEN 2
   WHEN 'reachable' THEN 3 ELSE 4 END,
  CASE WHEN ?2 IS NULL THEN sum(b.bytes) ELSE sum(b.bytes) - sum(b.old_bytes) END DESC, b.stack_id
