-- Pages that forks shared and a side wrote, by site, over all forks.
SELECT s.stable, sum(max(coalesce(c.parent_broke, 0) + coalesce(c.child_broke, 0) -
       coalesce(c.both_broke, 0), 0))
FROM cow_site c JOIN site s ON s.id = c.site_id
GROUP BY s.stable
