-- Live blocks that were judged.
SELECT (SELECT count(verdict) FROM live_block) +
       (SELECT coalesce(sum(blocks), 0) FROM left_block WHERE verdict <> '')
