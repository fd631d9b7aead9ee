-- Live blocks of merged processes, and such as are not listed, by what a look for pointers found.
SELECT process_id, stack_id, verdict, blocks, bytes FROM left_block
