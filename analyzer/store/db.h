/*
 * db.h - the few things every user of SQLite in this folder needs.
 *
 * Private to store/: no header that leaves the folder includes it.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fills one row of parameters from left to right and runs the statement. */
struct row {
	sqlite3_stmt *st;
	int at; /* last parameter that was bound */
};
static inline struct row row_of(sqlite3_stmt *st) { return (struct row){st, 0}; }
static inline void row_int(struct row *r, uint64_t v) { sqlite3_bind_int64(r->st, ++r->at, (sqlite3_int64)v); }
static inline void row_null(struct row *r) { sqlite3_bind_null(r->st, ++r->at); }
static inline void row_maybe(struct row *r, bool known, uint64_t v)
{
	if (known)
		row_int(r, v);
	else
		row_null(r);
}
static inline void row_real(struct row *r, bool known, double v)
{
	if (known)
		sqlite3_bind_double(r->st, ++r->at, v);
	else
		row_null(r);
}
/* The text must live until row_run; NULL is NULL. */
static inline void row_text(struct row *r, const char *text)
{
	sqlite3_bind_text(r->st, ++r->at, text, -1, SQLITE_STATIC);
}
static inline void row_blob(struct row *r, const void *data, size_t size)
{
	sqlite3_bind_blob64(r->st, ++r->at, data, size, SQLITE_STATIC);
}
/* Steps to the end and resets.  Returns SQLITE_OK or the code of the failure. */
int row_run(struct row *r);

/* Runs all statements of a text.  Returns an SQLite code. */
int db_exec(sqlite3 *db, const char *sql);

/* First column of the first row; `otherwise` when there is none. */
int64_t db_int(sqlite3 *db, const char *sql, int64_t otherwise);

/* -errno for the failure the connection has just met, and its reason as a
 * plain text. */
int db_failure(sqlite3 *db, int code, char *reason, size_t reason_size);

/* The SQL functions of mmscope (functions.c): hex_address(x), page_runs(x). */
void db_page_runs(sqlite3_context *context, int n_args, sqlite3_value **args);
void db_cow_runs(sqlite3_context *context, int n_args, sqlite3_value **args);
int db_functions(sqlite3 *db);

#endif
