-- Areas of snapshot ?1 with live blocks, the pages of these that are in memory, and
-- whether the states of the area's pages are known; the process's memory as a whole.
SELECT a.start, a.live_resident, a.live_pages, a.states IS NULL, coalesce(s.rss, -1)
FROM snapshot_area a JOIN snapshot s ON s.id = a.snapshot_id WHERE s.id = ?1
