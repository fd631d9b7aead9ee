-- Pages that forks shared and a side wrote, by site, over all forks; and whether
-- several stacks of a site broke some in one fork: pages on which more than one
-- of them has a block are counted more than once then.
SELECT stable, sum(pages), max(n) > 1
FROM (SELECT stable, sum(pages) AS pages, sum(pages > 0) AS n
      FROM (SELECT s.stable AS stable, c.fork_id AS fork_id, max(coalesce(c.parent_broke, 0) +
                   coalesce(c.child_broke, 0) - coalesce(c.both_broke, 0), 0) AS pages
            FROM cow_site c JOIN site s ON s.id = c.site_id)
      GROUP BY stable, fork_id)
GROUP BY stable
