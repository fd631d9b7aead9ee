-- Forks with what is known of their copy-on-write, in the order of time; without
-- those that share all memory until the child executes.
SELECT f.id, f.parent_id, f.child_id, f.child_pid, f.kind, f.t_ns, f.pause_ns, f.stack_id,
       f.method, f.exact, f.why, f.watched_share, f.areas, f.page_tables, f.arm_parent_ns,
       f.arm_child_ns, f.page_size, f.pages_shared, f.parent_broke, f.child_broke, f.both_broke,
       f.still_shared, f.new_parent, f.new_child, f.copies, f.copies_low, f.copies_high,
       f.error_pages, f.parent_faults, f.child_faults, f.bytes_changed, f.identical_pages,
       f.counter_pages, f.pointer_pages, f.bulk_pages, f.watched_ns, coalesce(f.merged, 0)
FROM fork f
WHERE f.kind NOT IN ('vfork', 'spawn', 'system')
ORDER BY f.t_ns, f.id
