-- What a stack of a process had mapped at the last look, and how much of it
-- was ever in memory; no row where pages could not be looked at.
SELECT sum(end - start), sum(touched) FROM vma
WHERE process_id = ?1 AND stack_id = ?2 AND died_ns IS NULL
HAVING count(*) > 0 AND count(touched) = count(*)
