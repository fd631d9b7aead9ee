-- Live blocks of merged processes, by what a look for pointers found.
SELECT process_id, stack_id, verdict, blocks, bytes FROM left_block
