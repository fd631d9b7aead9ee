-- Sites of snapshot ?1 by verdict, the most bytes of each site first.
SELECT coalesce(s.stable, ''), coalesce(s.own, 'target'), b.stack_id, b.verdict, b.blocks, b.bytes,
       max(b.bytes - b.touched, 0)
FROM snapshot_site b LEFT JOIN stack k ON k.id = b.stack_id LEFT JOIN site s ON s.id = k.site_id
WHERE b.snapshot_id = ?1
ORDER BY 1, b.bytes DESC, b.stack_id, b.verdict
