-- What each site did in the whole recording, and its stack that allocated most.
-- The last five: squares of how far estimates may be below the truth.
SELECT coalesce(s.stable, ''), coalesce(s.own, 'target'), h.stack_id, max(h.alloc_bytes),
       sum(h.live_bytes), sum(h.live_blocks), sum(h.peak_bytes), sum(h.alloc_bytes),
       sum(h.alloc_blocks), sum(h.temporary_blocks), sum(h.own_peak_bytes),
       coalesce(sum((e.live_high - h.live_bytes) * 1.0 * (e.live_high - h.live_bytes)), 0.0),
       coalesce(sum((e.live_blocks_high - h.live_blocks) * 1.0 * (e.live_blocks_high - h.live_blocks)), 0.0),
       coalesce(sum((e.peak_high - h.peak_bytes) * 1.0 * (e.peak_high - h.peak_bytes)), 0.0),
       coalesce(sum((e.alloc_high - h.alloc_bytes) * 1.0 * (e.alloc_high - h.alloc_bytes)), 0.0),
       coalesce(sum((e.alloc_blocks_high - h.alloc_blocks) * 1.0 * (e.alloc_blocks_high - h.alloc_blocks)), 0.0)
FROM heap_site h LEFT JOIN site s ON s.id = h.site_id
LEFT JOIN heap_estimate e ON e.process_id = h.process_id AND e.stack_id = h.stack_id
GROUP BY coalesce(s.stable, '')
ORDER BY 1
