-- Areas that forks shared: of each fork those of which most was broken.
SELECT fork_id, rows, kind, name, stack_id, interval, pages_shared, parent_broke, child_broke, both_broke, bytes_changed
FROM (SELECT fork_id, kind, coalesce(name, '') AS name, stack_id, pages_shared, parent_broke, child_broke, both_broke,
             bytes_changed, count(*) OVER (PARTITION BY fork_id) AS rows,
             row_number() OVER (PARTITION BY fork_id ORDER BY coalesce(parent_broke, 0) + coalesce(child_broke, 0)
               - coalesce(both_broke, 0) DESC, pages_shared DESC, start) AS place,
             (SELECT group_concat(i.name || ' ' || i.low || ' ' || i.high, ';') FROM cow_part_interval i
              WHERE i.fork_id = v.fork_id AND i.area = v.start AND i.stack_id = 0) AS interval
      FROM cow_vma v
      WHERE fork_id IN (SELECT id FROM fork ORDER BY t_ns, id LIMIT 5000))
WHERE place <= 10
ORDER BY fork_id, place LIMIT 20000
