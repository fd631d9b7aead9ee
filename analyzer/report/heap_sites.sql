-- Totals of every stack that allocated, with its site, and what estimates rest on.
SELECT h.process_id, h.stack_id, s.stable, coalesce(s.own, 'target'),
       h.alloc_blocks, h.alloc_bytes, h.free_blocks, h.live_blocks, h.live_bytes,
       h.peak_blocks, h.peak_bytes, h.temporary_blocks, h.cross_frees, h.realloc_in,
       h.min_size, h.max_size, h.first_ns, h.last_ns, h.life_ns_sum,
       e.samples, e.live_samples, e.peak_samples, e.alloc_low, e.alloc_high, e.live_low, e.live_high,
       e.peak_low, e.peak_high, e.alloc_blocks_low, e.alloc_blocks_high, e.live_blocks_low, e.live_blocks_high
FROM heap_site h LEFT JOIN site s ON s.id = h.site_id
LEFT JOIN heap_estimate e ON e.process_id = h.process_id AND e.stack_id = h.stack_id
ORDER BY h.process_id, h.stack_id
