-- Whom the kernel would kill at a limit, as last looked at.
SELECT rank, pid, name, badness, adjustment, t_ns FROM victim
WHERE place = ?1 AND path = ?2
  AND t_ns = (SELECT max(t_ns) FROM victim WHERE place = ?1 AND path = ?2 AND t_ns <= ?3)
ORDER BY rank
