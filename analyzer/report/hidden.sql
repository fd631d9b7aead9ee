-- Changes that no wrapped call made, by class.
SELECT class, count FROM hidden WHERE process_id = ?1 ORDER BY count DESC, class;
