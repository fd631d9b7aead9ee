-- Blocks of snapshot ?1 by stack: how many, bytes, of them used and in memory.
SELECT stack_id, sum(blocks), sum(bytes), sum(touched), sum(resident)
FROM snapshot_site WHERE snapshot_id = ?1 GROUP BY stack_id ORDER BY stack_id
