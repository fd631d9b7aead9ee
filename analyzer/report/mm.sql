-- The accounting of a process at a moment (?2), else the last one.
SELECT t_ns, total_vm, peak_vm, rss, hiwater_rss, rss_anon, rss_file, rss_shmem, data_vm, stack_vm,
       exec_vm, library_vm, locked_vm, pinned_vm, swap, page_table, map_count, users,
       start_code, end_code, start_data, end_data, start_brk, brk, start_stack,
       arg_start, arg_end, env_start, env_end, mmap_base, task_size
FROM mm
WHERE process_id = ?1 AND t_ns <= coalesce(?2, t_ns)
ORDER BY t_ns DESC LIMIT 1;
