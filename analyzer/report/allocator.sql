-- What the allocator of a process said of itself.
SELECT name, in_use, cached, fragmented, mapped, error FROM allocator WHERE process_id = ?1;
