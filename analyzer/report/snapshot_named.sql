-- The snapshot of a name.
SELECT id, process_id, t_ns, age_ns FROM snapshot WHERE name = ?1
