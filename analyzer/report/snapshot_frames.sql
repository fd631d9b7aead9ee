-- Where the threads of snapshot ?1 stood.
SELECT f.tid, f.depth, f.pc, f.function, f.module, f.offset,
 (SELECT t.name FROM thread t JOIN snapshot n ON n.id = f.snapshot_id
   WHERE t.process_id = n.process_id AND t.tid = f.tid ORDER BY t.number DESC LIMIT 1)
 FROM snapshot_frame f WHERE f.snapshot_id = ?1 ORDER BY f.tid, f.depth
