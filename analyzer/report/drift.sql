-- The process's own list of areas against the kernel's.
SELECT checks, differences, left_pages, missed FROM drift WHERE process_id = ?1;
