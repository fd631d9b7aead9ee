-- How long freed blocks lived, and who used the stack last.
SELECT h.process_id, h.stack_id, h.life_hist, h.last_ns, t.number, t.tid, t.name
FROM heap_site h LEFT JOIN thread t ON t.process_id = h.process_id AND t.number = h.last_thread
WHERE h.live_blocks > 0
