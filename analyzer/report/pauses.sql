-- How often heap events were not recorded, and for how long.
SELECT count(*), coalesce(sum(coalesce(end_ns, ?1) - begin_ns), 0) FROM pause
