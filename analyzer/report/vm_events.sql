-- Calls that mapped or unmapped areas, in the order they happened.
SELECT id, process_id, t_ns, op, address, length, coalesce(address2, 0), coalesce(length2, 0),
       stack_id
FROM vm_event
WHERE op IN ('mmap', 'munmap', 'mremap', 'shmat', 'shmdt')
ORDER BY t_ns, id
