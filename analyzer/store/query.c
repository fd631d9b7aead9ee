/*
 * query.c - SQL for the verbs, without SQLite's types.
 *
 * Called by the files of report/.  A failure in the middle of a result (a
 * damaged file) is told by query_next and kept in capture_error: a verb never
 * prints half an answer as a whole one.
 */
#include "capture_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct query {
	struct capture *capture;
	sqlite3_stmt *st;
};

struct query *query_open(struct capture *c, const char *sql)
{
	struct query *q = calloc(1, sizeof(*q));

	if (!q) {
		snprintf(c->error, sizeof(c->error), "out of memory");
		return NULL;
	}
	q->capture = c;
	if (sqlite3_prepare_v2(c->db, sql, -1, &q->st, NULL) != SQLITE_OK) {
		db_failure(c->db, sqlite3_errcode(c->db), c->error, sizeof(c->error));
		free(q);
		return NULL;
	}
	return q;
}

void query_bind(struct query *q, int parameter, int64_t value)
{
	sqlite3_bind_int64(q->st, parameter, value);
}

void query_bind_text(struct query *q, int parameter, const char *value)
{
	sqlite3_bind_text(q->st, parameter, value, -1, SQLITE_TRANSIENT);
}

void query_bind_null(struct query *q, int parameter) { sqlite3_bind_null(q->st, parameter); }

int query_next(struct query *q)
{
	int code = sqlite3_step(q->st);

	if (code == SQLITE_ROW)
		return 1;
	if (code == SQLITE_DONE)
		return 0;
	return db_failure(q->capture->db, code, q->capture->error, sizeof(q->capture->error));
}

void query_reset(struct query *q) { sqlite3_reset(q->st); }

bool query_null(struct query *q, int column) { return sqlite3_column_type(q->st, column) == SQLITE_NULL; }

int64_t query_int(struct query *q, int column) { return sqlite3_column_int64(q->st, column); }

double query_real(struct query *q, int column) { return sqlite3_column_double(q->st, column); }

const char *query_text(struct query *q, int column)
{
	return (const char *)sqlite3_column_text(q->st, column);
}

const void *query_blob(struct query *q, int column, size_t *ret_size)
{
	const void *data = sqlite3_column_blob(q->st, column);

	*ret_size = (size_t)sqlite3_column_bytes(q->st, column);
	return data;
}

void query_close(struct query *q)
{
	if (!q)
		return;
	sqlite3_finalize(q->st);
	free(q);
}

int64_t capture_int(struct capture *c, const char *sql, int64_t otherwise)
{
	return db_int(c->db, sql, otherwise);
}
