-- Every live block that is listed, with what a look for pointers found.
SELECT process_id, stack_id, size, t_ns, verdict FROM live_block
