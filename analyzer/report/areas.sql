-- Areas of a process that were there at a moment (?2; NULL: at the last look).
SELECT id, start, end, perms, coalesce(pgoff, -1), kind, coalesce(name, ''), stack_id, born_ns,
       coalesce(present, -1), coalesce(zero, -1), coalesce(swapped, 0), coalesce(huge, -1),
       coalesce(touched, 0)
FROM vma
WHERE process_id = ?1
  AND CASE WHEN ?2 IS NULL THEN died_ns IS NULL
      ELSE born_ns <= ?2 AND (died_ns IS NULL OR died_ns > ?2) END
ORDER BY start;
