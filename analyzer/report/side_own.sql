-- Whose a site is.
SELECT own FROM site WHERE stable = ?1
