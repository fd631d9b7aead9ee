/*
 * db.c - small help with SQLite: run a row, run a text, name a failure.
 *
 * Called by the other files of store/.  The one place where SQLite's error
 * codes become errno values and words that a user understands.  ENOSPC comes
 * out of SQLite as SQLITE_FULL; a quota and a limit on file sizes come out as a
 * failed write whose errno SQLite does not keep, and mean the same to the user.
 */
#include "db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int row_run(struct row *r)
{
	int code;

	do
		code = sqlite3_step(r->st);
	while (code == SQLITE_ROW);
	sqlite3_reset(r->st);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

int db_exec(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

int64_t db_int(sqlite3 *db, const char *sql, int64_t otherwise)
{
	sqlite3_stmt *st;
	int64_t value = otherwise;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		return otherwise;
	if (sqlite3_step(st) == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL)
		value = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return value;
}

int db_failure(sqlite3 *db, int code, char *reason, size_t reason_size)
{
	int error = db ? sqlite3_system_errno(db) : 0;

	switch (code & 0xff) {
	case SQLITE_FULL:
		snprintf(reason, reason_size, "disk is full");
		return -ENOSPC;
	case SQLITE_IOERR:
		if (db && sqlite3_extended_errcode(db) == SQLITE_IOERR_WRITE) {
			snprintf(reason, reason_size, "a write failed: disk full, over quota, or failing");
			return -ENOSPC;
		}
		snprintf(reason, reason_size, "reading or writing failed: %s", strerror(error ? error : EIO));
		return error ? -error : -EIO;
	case SQLITE_CANTOPEN:
		snprintf(reason, reason_size, "cannot be opened: %s", strerror(error ? error : EACCES));
		return error ? -error : -EACCES;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		snprintf(reason, reason_size, "cannot be written");
		return -EACCES;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		snprintf(reason, reason_size, "is in use by another program");
		return -EBUSY;
	case SQLITE_NOTADB:
		snprintf(reason, reason_size, "is not a database");
		return -EBADF;
	case SQLITE_CORRUPT:
		snprintf(reason, reason_size, "is damaged");
		return -EUCLEAN;
	case SQLITE_NOMEM:
		snprintf(reason, reason_size, "out of memory");
		return -ENOMEM;
	default:
		snprintf(reason, reason_size, "%s", db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
		return -EIO;
	}
}
