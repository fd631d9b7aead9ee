-- States of the pages of an area at its last look.
SELECT states FROM vma_pages WHERE vma_id = ?1;
