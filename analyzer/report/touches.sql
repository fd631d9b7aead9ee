-- When the areas that were there at ?2 (NULL: the end) had become real.
SELECT t.vma_id, t.t_ns, t.pages, t.touched FROM vma_touch t JOIN vma v ON v.id = t.vma_id
WHERE v.process_id = ?1 AND t.t_ns <= coalesce(?2, t.t_ns)
  AND (v.died_ns IS NULL OR v.died_ns > coalesce(?2, v.died_ns))
ORDER BY t.vma_id, t.t_ns;
