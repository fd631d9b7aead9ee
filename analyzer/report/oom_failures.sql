-- Allocations of a process that returned NULL.
SELECT t_ns, size, error, stack_id, hugetlb FROM alloc_failure WHERE process_id = ?1 AND t_ns <= ?2 ORDER BY t_ns, id
