/*
 * absorb.c - what the database of a killed collector has, added to the one
 * that `recover` makes of the rest of the session.
 *
 * Two recordings that follow each other: what stands in `earlier` was cut off
 * at its last flush, and the session knows where that was, so no record is
 * in both.  Counts of events are sums.  What needs one live table over the
 * whole time cannot be had: a block of the earlier part that was freed in the
 * later one stays counted as live, and the peak is that of the earlier part
 * or its live bytes plus the peak of the later one.  Both are upper bounds;
 * coverage says so (collect/recover.c).
 *
 * Called by store_finish, outside a transaction: the first half before
 * symbols are resolved, the second after the series were written.
 */
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Processes whose peak lies in the later part. */
#define PEAKS \
	"CREATE TEMP TABLE later_peak AS SELECT p.id FROM process p JOIN earlier.process e ON e.id = p.id" \
	" WHERE p.peak_bytes > 0 AND e.live_bytes + p.peak_bytes > e.peak_bytes;"

#define SITES \
	"UPDATE heap_site SET" \
	" peak_blocks = CASE WHEN heap_site.process_id IN later_peak" \
	"   THEN e.live_blocks + heap_site.peak_blocks ELSE e.peak_blocks END," \
	" peak_bytes = CASE WHEN heap_site.process_id IN later_peak" \
	"   THEN e.live_bytes + heap_site.peak_bytes ELSE e.peak_bytes END," \
	" own_peak_bytes = max(e.own_peak_bytes, e.live_bytes + heap_site.own_peak_bytes)," \
	" alloc_blocks = heap_site.alloc_blocks + e.alloc_blocks," \
	" alloc_bytes = heap_site.alloc_bytes + e.alloc_bytes," \
	" free_blocks = heap_site.free_blocks + e.free_blocks," \
	" free_bytes = heap_site.free_bytes + e.free_bytes," \
	" live_blocks = heap_site.live_blocks + e.live_blocks," \
	" live_bytes = heap_site.live_bytes + e.live_bytes," \
	" temporary_blocks = heap_site.temporary_blocks + e.temporary_blocks," \
	" cross_frees = heap_site.cross_frees + e.cross_frees," \
	" realloc_in = heap_site.realloc_in + e.realloc_in," \
	" min_size = min(heap_site.min_size, e.min_size), max_size = max(heap_site.max_size, e.max_size)," \
	" first_ns = e.first_ns, life_ns_sum = heap_site.life_ns_sum + e.life_ns_sum," \
	" life_hist = sum_counts(heap_site.life_hist, e.life_hist)" \
	" FROM earlier.heap_site e" \
	" WHERE e.process_id = heap_site.process_id AND e.stack_id = heap_site.stack_id;" \
	/* Only later_peak tells whether a site without later events was at the peak. */ \
	"INSERT INTO heap_site SELECT process_id, stack_id, site_id, alloc_blocks, alloc_bytes, free_blocks," \
	" free_bytes, live_blocks, live_bytes," \
	" CASE WHEN process_id IN later_peak THEN live_blocks ELSE peak_blocks END," \
	" CASE WHEN process_id IN later_peak THEN live_bytes ELSE peak_bytes END," \
	" own_peak_bytes, temporary_blocks, cross_frees, realloc_in, min_size, max_size, first_ns, last_ns," \
	" life_ns_sum, life_hist, last_thread FROM earlier.heap_site e" \
	" WHERE NOT EXISTS (SELECT 1 FROM main.heap_site h" \
	"   WHERE h.process_id = e.process_id AND h.stack_id = e.stack_id);" \
	/* Sites that appeared later were not there at a peak of the earlier part. */ \
	"UPDATE heap_site SET peak_blocks = 0, peak_bytes = 0" \
	" WHERE process_id IN (SELECT id FROM earlier.process) AND process_id NOT IN later_peak" \
	" AND NOT EXISTS (SELECT 1 FROM earlier.heap_site e" \
	"   WHERE e.process_id = heap_site.process_id AND e.stack_id = heap_site.stack_id);"

/* Sums are made of both parts, and what both rest on is not kept. */
#define ESTIMATES \
	"DELETE FROM heap_estimate;" \
	"INSERT OR IGNORE INTO pause SELECT * FROM earlier.pause;"

#define PROCESSES \
	"UPDATE process SET pid = CASE WHEN process.ns_pid IS e.ns_pid THEN e.pid ELSE process.pid END," \
	" parent_id = coalesce(e.parent_id, process.parent_id)," \
	" exe = coalesce(process.exe, e.exe), argv = coalesce(process.argv, e.argv)," \
	" cwd = coalesce(process.cwd, e.cwd)," \
	" begin_how = CASE process.begin_how WHEN 'unknown' THEN e.begin_how ELSE process.begin_how END," \
	" begin_ns = min(process.begin_ns, e.begin_ns)," \
	" end_how = CASE WHEN process.end_how IN ('running', 'unknown') AND e.end_how <> 'running'" \
	"   THEN e.end_how ELSE process.end_how END," \
	" end_ns = coalesce(process.end_ns, e.end_ns), status = coalesce(process.status, e.status)," \
	" peak_ns = CASE WHEN process.id IN later_peak THEN process.peak_ns ELSE e.peak_ns END," \
	" peak_bytes = CASE WHEN process.id IN later_peak" \
	"   THEN e.live_bytes + process.peak_bytes ELSE e.peak_bytes END," \
	" live_blocks = process.live_blocks + e.live_blocks," \
	" live_bytes = process.live_bytes + e.live_bytes," \
	" inherited_blocks = max(process.inherited_blocks, e.inherited_blocks)," \
	" inherited_bytes = max(process.inherited_bytes, e.inherited_bytes)," \
	" inherited_freed = process.inherited_freed + e.inherited_freed," \
	" alloc_blocks = process.alloc_blocks + e.alloc_blocks," \
	" alloc_bytes = process.alloc_bytes + e.alloc_bytes," \
	" free_blocks = process.free_blocks + e.free_blocks," \
	" unknown_frees = process.unknown_frees + e.unknown_frees," \
	" failed_allocs = process.failed_allocs + e.failed_allocs," \
	" hiwater_rss = coalesce(process.hiwater_rss, e.hiwater_rss)," \
	" lost_records = max(process.lost_records, e.lost_records)" \
	" FROM earlier.process e WHERE e.id = process.id;" \
	"INSERT INTO process SELECT * FROM earlier.process WHERE id NOT IN (SELECT id FROM main.process);"

/* The columns of fork behind its id. */
#define FORK_REST \
	"parent_id, child_id, child_pid, kind, t_ns, pause_ns, thread, stack_id, method, exact, why," \
	" watched_share, areas, page_tables, arm_parent_ns, arm_child_ns, page_size, pages_shared, parent_broke," \
	" child_broke, both_broke, still_shared, new_parent, new_child, copies, copies_low, copies_high," \
	" error_pages, parent_faults, child_faults, bytes_changed, identical_pages, counter_pages," \
	" pointer_pages, bulk_pages, watched_ns, merged"

#define REST \
	"UPDATE thread SET name = coalesce(thread.name, e.name), begin_ns = min(thread.begin_ns, e.begin_ns)," \
	" alloc_blocks = thread.alloc_blocks + e.alloc_blocks, alloc_bytes = thread.alloc_bytes + e.alloc_bytes" \
	" FROM earlier.thread e WHERE e.process_id = thread.process_id AND e.number = thread.number;" \
	"INSERT OR IGNORE INTO thread SELECT * FROM earlier.thread;" \
	"INSERT INTO module (context, process_id, path, build_id, start, end, bias, kind, load_ns, unload_ns," \
	" symbols) SELECT context, process_id, path, build_id, start, end, bias, kind, load_ns, unload_ns," \
	" 'pending' FROM earlier.module e WHERE NOT EXISTS (SELECT 1 FROM main.module m" \
	"   WHERE m.context = e.context AND m.start = e.start AND m.path = e.path);" \
	"INSERT OR IGNORE INTO stack (id, parent_id, pc, context, depth, flags)" \
	" SELECT id, parent_id, pc, context, depth, flags FROM earlier.stack;" \
	"INSERT INTO vm_event (process_id, thread, t_ns, op, address, length, address2, length2, prot, flags," \
	" fd, offset, stack_id) SELECT process_id, thread, t_ns, op, address, length, address2, length2, prot," \
	" flags, fd, offset, stack_id FROM earlier.vm_event;" \
	"INSERT OR IGNORE INTO mm SELECT * FROM earlier.mm;" \
	"INSERT OR IGNORE INTO page_scan SELECT * FROM earlier.page_scan;" \
	"INSERT INTO vma SELECT id + (SELECT coalesce(max(id), 0) FROM main.vma), process_id, start, end, perms," \
	" pgoff, kind, name, inode, device, stack_id, born_ns, coalesce(died_ns, (SELECT min(born_ns) FROM" \
	"   main.vma m WHERE m.process_id = e.process_id)), present, zero, swapped, huge, touched" \
	" FROM earlier.vma e;" \
	/* Numbers of forks begin anew: those of the earlier part go behind. */ \
	"CREATE TEMP TABLE fork_shift AS SELECT coalesce(max(id), 0) AS by FROM main.fork;" \
	"INSERT INTO fork SELECT id + (SELECT by FROM fork_shift), " FORK_REST " FROM earlier.fork;" \
	"INSERT INTO cow_vma SELECT fork_id + (SELECT by FROM fork_shift), start, end, perms, kind, name," \
	" stack_id, pages_shared, parent_broke, child_broke, both_broke, huge, pages, bytes_changed," \
	" identical_pages, counter_pages FROM earlier.cow_vma;" \
	"INSERT INTO cow_site SELECT fork_id + (SELECT by FROM fork_shift), stack_id, NULL, pages_shared," \
	" parent_broke, child_broke, both_broke, blocks, bytes, false_blocks, bytes_changed, identical_pages," \
	" counter_pages FROM earlier.cow_site;" \
	"INSERT INTO cow_sample SELECT fork_id + (SELECT by FROM fork_shift), t_ns, parent_broke, child_broke," \
	" both_broke, new_parent, new_child FROM earlier.cow_sample;" \
	"INSERT INTO cow_interval SELECT fork_id + (SELECT by FROM fork_shift), name, low, high" \
	" FROM earlier.cow_interval;" \
	"INSERT INTO cow_part_interval SELECT fork_id + (SELECT by FROM fork_shift), area, stack_id, name, low, high" \
	" FROM earlier.cow_part_interval;" \
	"DROP TABLE temp.fork_shift;" \
	"UPDATE fork SET child_id = (SELECT p.id FROM process p WHERE p.parent_id = fork.parent_id" \
	"   AND p.ns_pid = fork.child_pid AND p.begin_how = 'fork') WHERE child_id IS NULL;" \
	"INSERT OR IGNORE INTO left_block SELECT * FROM earlier.left_block;" \
	"INSERT INTO snapshot SELECT * FROM earlier.snapshot;" \
	"INSERT INTO snapshot_site SELECT * FROM earlier.snapshot_site;" \
	"INSERT INTO snapshot_area SELECT * FROM earlier.snapshot_area;" \
	"INSERT INTO snapshot_frame SELECT * FROM earlier.snapshot_frame;" \
	"INSERT OR IGNORE INTO sample SELECT * FROM earlier.sample;" \
	"INSERT OR IGNORE INTO limit_point SELECT * FROM earlier.limit_point;" \
	"INSERT OR IGNORE INTO debt SELECT * FROM earlier.debt;" \
	"INSERT OR IGNORE INTO victim SELECT * FROM earlier.victim;" \
	"INSERT INTO alloc_failure (process_id, thread, t_ns, size, error, stack_id, hugetlb)" \
	" SELECT process_id, thread, t_ns, size, error, stack_id, hugetlb FROM earlier.alloc_failure;" \
	"INSERT INTO heap_event (process_id, thread, t_ns, op, address, size, stack_id)" \
	" SELECT process_id, thread, t_ns, op, address, size, stack_id FROM earlier.heap_event;" \
	"INSERT INTO coverage (process_id, kind, count, text) SELECT process_id, kind, count, text" \
	" FROM earlier.coverage e WHERE NOT EXISTS (SELECT 1 FROM main.coverage c" \
	"   WHERE c.process_id IS e.process_id AND c.kind = e.kind);"

/* Sum of two arrays of u32le counts; NULL is all zero. */
static void sum_counts(sqlite3_context *context, int n, sqlite3_value **value)
{
	uint8_t out[4 * LIFE_BUCKETS] = {0};
	size_t size = 0;

	for (int i = 0; i < n; i++) {
		const uint8_t *in = sqlite3_value_blob(value[i]);
		size_t bytes = (size_t)sqlite3_value_bytes(value[i]);

		if (!in || bytes > sizeof(out))
			continue;
		for (size_t at = 0; at + 4 <= bytes; at += 4) {
			uint32_t a, b;

			memcpy(&a, out + at, 4);
			memcpy(&b, in + at, 4);
			a = a + b < a ? UINT32_MAX : a + b;
			memcpy(out + at, &a, 4);
		}
		size = bytes > size ? bytes : size;
	}
	if (size)
		sqlite3_result_blob(context, out, (int)size, SQLITE_TRANSIENT);
}

static int attach(struct store *s, const char *path)
{
	sqlite3_stmt *st;
	int code = sqlite3_prepare_v2(s->db, "ATTACH ? AS earlier", -1, &st, NULL);
	struct row r = row_of(st);

	if (code == SQLITE_OK) {
		row_text(&r, path);
		code = row_run(&r);
		sqlite3_finalize(st);
	}
	return code == SQLITE_OK ? 0 : store_fail(s, code);
}

/* Written by this very session, to no end, with these tables. */
static bool fits(struct store *s)
{
	return db_int(s->db, "SELECT count(*) FROM main.meta m JOIN earlier.meta e USING (key, value)"
		" WHERE key = 'session_id'", 0) == 1 &&
		db_int(s->db, "SELECT count(*) FROM earlier.meta WHERE key = 'state'"
			" AND value <> 'complete'", 0) == 1 &&
		db_int(s->db, "PRAGMA earlier.user_version", -1) == db_int(s->db, "PRAGMA main.user_version", -2);
}

/* All of a text, or nothing. */
static int in_transaction(struct store *s, const char *sql)
{
	int error = store_exec(s, "BEGIN IMMEDIATE");

	if (!error)
		error = store_exec(s, sql);
	if (!error)
		error = store_exec(s, "COMMIT");
	if (error && !sqlite3_get_autocommit(s->db))
		db_exec(s->db, "ROLLBACK");
	return error;
}

int store_absorb_begin(struct store *s, const char *path)
{
	int error = attach(s, path);

	if (error)
		return error;
	if (!fits(s)) {
		db_exec(s->db, "DETACH earlier");
		return -EINVAL;
	}
	sqlite3_create_function(s->db, "sum_counts", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, sum_counts,
		NULL, NULL);
	return in_transaction(s, PEAKS SITES ESTIMATES PROCESSES REST);
}

int store_absorb_end(struct store *s)
{
	int error = in_transaction(s, "INSERT OR REPLACE INTO heap_series SELECT * FROM earlier.heap_series;"
		"DROP TABLE temp.later_peak");

	db_exec(s->db, "DETACH earlier");
	return error;
}
