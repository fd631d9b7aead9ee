-- Where a share of the memory was watched: 95 % intervals of a fork's figures.
SELECT name, low, high
FROM cow_interval
WHERE fork_id = ?1
