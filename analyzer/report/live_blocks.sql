-- Blocks of a process that were live at the end, by address.
SELECT address, size, stack_id FROM live_block WHERE process_id = ?1 ORDER BY address;
