-- What each site did in the whole recording, and its stack that allocated most.
SELECT coalesce(s.stable, ''), coalesce(s.own, 'target'), h.stack_id, max(h.alloc_bytes),
       sum(h.live_bytes), sum(h.live_blocks), sum(h.peak_bytes), sum(h.alloc_bytes),
       sum(h.alloc_blocks), sum(h.temporary_blocks), sum(h.own_peak_bytes)
FROM heap_site h LEFT JOIN site s ON s.id = h.site_id
GROUP BY coalesce(s.stable, '')
ORDER BY 1
