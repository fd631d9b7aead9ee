-- Areas of the address spaces, the largest ones when there are very many.
SELECT process_id, start, end, perms, kind, coalesce(name, ''), stack_id, born_ns, coalesce(died_ns, -1),
       coalesce(present, -1), coalesce(zero, -1), coalesce(swapped, -1), coalesce(touched, -1)
FROM (SELECT * FROM vma ORDER BY end - start DESC LIMIT 20000)
ORDER BY process_id, start, born_ns
