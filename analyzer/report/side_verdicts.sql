-- Live blocks that were judged.
SELECT count(verdict) FROM live_block
