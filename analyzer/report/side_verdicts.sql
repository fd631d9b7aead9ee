-- Live blocks by verdict; NULL: nobody judged them.
SELECT verdict, count(*), sum(size) FROM live_block GROUP BY verdict
