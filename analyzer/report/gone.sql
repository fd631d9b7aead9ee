-- Big memory that was given back, by the stack that had taken it.
SELECT stack_id, count, bytes, touched FROM gone WHERE process_id = ?1;
