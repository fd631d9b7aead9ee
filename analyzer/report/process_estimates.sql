-- What the totals of sampled processes rest on.
SELECT process_id, samples, live_samples, peak_samples, alloc_low, alloc_high, live_low, live_high,
       peak_low, peak_high, alloc_blocks_low, alloc_blocks_high, live_blocks_low, live_blocks_high
FROM heap_estimate WHERE stack_id = -1
