-- The stable id of a stack.
SELECT s.stable FROM stack k JOIN site s ON s.id = k.site_id WHERE k.id = ?
