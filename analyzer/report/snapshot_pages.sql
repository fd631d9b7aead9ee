-- Writable areas of a snapshot and the states of their pages.
SELECT start, end, kind, resident, states FROM snapshot_area WHERE snapshot_id = ?1
