-- Areas that a fork shared, those of which most was broken first.
SELECT start, end, perms, kind, coalesce(name, ''), stack_id, pages_shared, parent_broke,
       child_broke, both_broke, huge, bytes_changed, identical_pages, counter_pages,
       (SELECT group_concat(i.name || ' ' || i.low || ' ' || i.high, ';') FROM cow_part_interval i
        WHERE i.fork_id = ?1 AND i.area = v.start AND i.stack_id = 0)
FROM cow_vma v
WHERE fork_id = ?1
ORDER BY coalesce(parent_broke, 0) + coalesce(child_broke, 0) - coalesce(both_broke, 0) DESC,
         pages_shared DESC, start
