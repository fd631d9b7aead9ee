-- Forks, with what became of the child and of the shared pages.
SELECT f.parent_id, coalesce(f.child_id, 0), coalesce(f.child_pid, 0), f.kind, f.t_ns, f.pause_ns, f.stack_id,
       f.id, f.method, f.page_size, f.pages_shared, f.parent_broke, f.child_broke, f.both_broke, f.copies,
       f.identical_pages, f.exact, f.error_pages, CAST(round(100 * f.watched_share) AS INTEGER), f.copies_low,
       f.copies_high, f.bytes_changed, f.counter_pages, f.pointer_pages, f.bulk_pages, f.why,
       (SELECT group_concat(i.name || ' ' || i.low || ' ' || i.high, ';') FROM cow_interval i WHERE i.fork_id = f.id)
FROM fork f ORDER BY f.t_ns, f.id LIMIT 5000
