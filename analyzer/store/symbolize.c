/*
 * symbolize.c - looks again at what had no symbols, in the file itself.
 *
 * Called by the verb symbolize alone: the only writer of a database besides
 * the collector, and therefore never while that one runs.  One transaction:
 * killed in the middle, the database is as it was.
 */
#include "symbolize.h"

#include "capture_private.h"
#include "frames.h"
#include "upgrade.h"

#include "mmscope/schema.h"

#include <errno.h>
#include <stdio.h>

static int count_rest(sqlite3 *db, struct symbolize_result *ret)
{
	ret->n_unnamed = (size_t)db_int(db, "SELECT count(*) FROM frame WHERE function IS NULL", 0);
	ret->n_missing = (size_t)db_int(db, "SELECT count(*) FROM (SELECT DISTINCT path, build_id FROM module"
		" WHERE symbols = 'missing')", 0);
	return 0;
}

static int symbolize_open(sqlite3 *db, const struct symbol_options *options, struct symbolize_result *ret,
	char *reason, size_t room)
{
	struct frames_result result;
	int error, code;

	error = capture_check_version(db, reason, room);
	if (error)
		return error;
	if (capture_is_recorded(db)) {
		snprintf(reason, room, "is still being recorded");
		return -EBUSY;
	}
	error = upgrade(db, upgrade_steps, n_upgrade_steps, MMS_SCHEMA_VERSION);
	if (error) {
		snprintf(reason, room, "is of an older schema that cannot be upgraded");
		return error;
	}
	code = db_exec(db, "BEGIN IMMEDIATE");
	if (code != SQLITE_OK)
		return db_failure(db, code, reason, room);
	error = frames_again(db, options, &result);
	code = error ? SQLITE_OK : db_exec(db, "COMMIT");
	if (error == -ENOMEM) {
		snprintf(reason, room, "out of memory");
		return error;
	}
	if (error || code != SQLITE_OK)
		return db_failure(db, error ? sqlite3_extended_errcode(db) : code, reason, room);
	db_exec(db, "PRAGMA journal_mode = DELETE"); /* what a killed collector left behind */
	ret->n_addresses = result.n_addresses;
	ret->n_named = result.n_named;
	return count_rest(db, ret);
}

int store_symbolize(const char *path, const struct symbol_options *options, struct symbolize_result *ret,
	char *reason, size_t reason_size)
{
	sqlite3 *db = NULL;
	int code, error = capture_check_file(path, reason, reason_size);

	if (error)
		return error;
	code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code == SQLITE_OK)
		code = db_exec(db, "PRAGMA busy_timeout = 2000");
	error = code == SQLITE_OK ? symbolize_open(db, options, ret, reason, reason_size)
		: db_failure(db, code, reason, reason_size);
	sqlite3_close(db);
	return error;
}
