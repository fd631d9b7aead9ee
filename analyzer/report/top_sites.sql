-- Sites of the processes that run; of all where none does (?1 is then 1).
SELECT h.process_id, h.stack_id, p.pid, h.live_blocks, h.live_bytes, h.alloc_blocks, h.own_peak_bytes
FROM heap_site h JOIN process p ON p.id = h.process_id
WHERE ?1 OR p.end_how = 'running'
ORDER BY h.live_bytes DESC LIMIT 20000
