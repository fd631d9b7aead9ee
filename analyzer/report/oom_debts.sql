-- The latest debts of a process; each with the latest value that was measured.
SELECT d.place, d.t_ns, d.touch, d.page_tables, d.private, d.threads, d.swap,
       (SELECT stack FROM debt WHERE process_id = ?1 AND t_ns <= ?2 AND stack IS NOT NULL ORDER BY t_ns DESC LIMIT 1),
       (SELECT cow FROM debt WHERE process_id = ?1 AND t_ns <= ?2 AND cow IS NOT NULL ORDER BY t_ns DESC LIMIT 1),
       (SELECT cow_huge FROM debt WHERE process_id = ?1 AND t_ns <= ?2 AND cow_huge IS NOT NULL
        ORDER BY t_ns DESC LIMIT 1),
       d.noreserve
FROM debt d
WHERE d.process_id = ?1 AND d.t_ns <= ?2
ORDER BY d.t_ns DESC LIMIT 1
