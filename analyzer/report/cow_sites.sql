-- Stacks with live blocks on the pages that a fork shared.
SELECT c.stack_id, coalesce(s.stable, ''), c.pages_shared, c.parent_broke, c.child_broke,
       c.both_broke, c.blocks, c.bytes, c.false_blocks, c.bytes_changed, c.identical_pages,
       c.counter_pages,
       (SELECT group_concat(i.name || ' ' || i.low || ' ' || i.high, ';') FROM cow_part_interval i
        WHERE i.fork_id = ?1 AND i.area = 0 AND i.stack_id = c.stack_id)
FROM cow_site c LEFT JOIN site s ON s.id = c.site_id
WHERE c.fork_id = ?1
ORDER BY coalesce(c.parent_broke, 0) + coalesce(c.child_broke, 0) - coalesce(c.both_broke, 0) DESC,
         c.pages_shared DESC, c.stack_id
