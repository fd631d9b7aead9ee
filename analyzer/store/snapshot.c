/*
 * snapshot.c - see snapshot.h.  Rows stand in the transaction that the next
 * flush ends.  Called by the collector when a snapshot is made.
 */
#include "store.h"

#include <errno.h>
#include <string.h>

#include "symbol/demangle.h"

#include "snapshot.h"

static int begin(struct store *s)
{
	return sqlite3_get_autocommit(s->db) ? store_exec(s, "BEGIN IMMEDIATE") : 0;
}

static bool is_taken(struct store *s, const char *name)
{
	sqlite3_stmt *st;
	bool taken = false;

	if (sqlite3_prepare_v2(s->db, "SELECT 1 FROM snapshot WHERE name = ?", -1, &st, NULL) == SQLITE_OK) {
		sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
		taken = sqlite3_step(st) == SQLITE_ROW;
	}
	sqlite3_finalize(st);
	return taken;
}

uint64_t store_snapshot(struct store *s, const struct store_snapshot *v, int *ret_error)
{
	int error = is_taken(s, v->name) ? -EEXIST : begin(s);
	struct row r = row_of(error ? NULL : store_statement(s, ST_SNAPSHOT));

	if (!error) {
		row_text(&r, v->name);
		row_int(&r, v->process);
		row_int(&r, v->t_ns);
		row_text(&r, v->method);
		row_text(&r, v->why);
		row_int(&r, v->pause_ns);
		row_int(&r, v->read_ns);
		row_int(&r, v->scan_ns);
		row_int(&r, v->scanned_bytes);
		row_int(&r, v->age_ns);
		row_int(&r, v->threads);
		row_text(&r, v->stacks_why);
		row_maybe(&r, v->rss >= 0, (uint64_t)v->rss);
		error = store_run(s, &r);
	}
	*ret_error = error;
	return error ? 0 : (uint64_t)sqlite3_last_insert_rowid(s->db);
}

int store_snapshot_site(struct store *s, uint64_t id, const struct store_snapshot_site *v,
	const struct stack_source *stacks)
{
	int error = store_write_stack(s, v->stack, stacks);
	struct row r = row_of(error ? NULL : store_statement(s, ST_SNAPSHOT_SITE));

	if (error)
		return error;
	row_int(&r, id);
	row_int(&r, v->stack);
	row_text(&r, v->verdict);
	row_int(&r, v->blocks);
	row_int(&r, v->bytes);
	row_int(&r, v->touched);
	row_int(&r, v->resident);
	return store_run(s, &r);
}

int store_snapshot_area(struct store *s, uint64_t id, const struct store_snapshot_area *v)
{
	struct row r = row_of(store_statement(s, ST_SNAPSHOT_AREA));

	row_int(&r, id);
	row_int(&r, v->start);
	row_int(&r, v->end);
	row_text(&r, v->kind);
	row_int(&r, v->resident);
	if (v->states)
		row_blob(&r, v->states, v->n_states);
	else
		row_null(&r);
	row_int(&r, v->live_resident);
	row_int(&r, v->live_pages);
	return store_run(s, &r);
}

int store_snapshot_frame(struct store *s, uint64_t id, const struct store_snapshot_frame *v)
{
	struct row r = row_of(store_statement(s, ST_SNAPSHOT_FRAME));
	struct pool pool = {0};
	const char *name = v->function[0] ? symbol_demangle(&pool, v->function) : NULL;

	row_int(&r, id);
	row_int(&r, v->tid);
	row_int(&r, v->depth);
	row_int(&r, v->pc);
	row_text(&r, name);
	row_text(&r, v->module[0] ? v->module : NULL);
	row_maybe(&r, v->module[0] && v->offset, v->offset);
	int error = store_run(s, &r);
	pool_done(&pool);
	return error;
}
