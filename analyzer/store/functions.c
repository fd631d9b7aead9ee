/*
 * functions.c - the SQL functions that mmscope adds to a connection.
 *
 * hex_address(x): addresses stand in the database as signed 64-bit integers;
 * people read them as 0x7f....  Called from capture.c for every database that
 * is opened for reading.
 */
#include "db.h"

#include <inttypes.h>
#include <stdio.h>

static void hex_address(sqlite3_context *context, int n_args, sqlite3_value **args)
{
	char text[24];

	(void)n_args;
	if (sqlite3_value_type(args[0]) == SQLITE_NULL) {
		sqlite3_result_null(context);
		return;
	}
	snprintf(text, sizeof(text), "0x%" PRIx64, (uint64_t)sqlite3_value_int64(args[0]));
	sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

int db_functions(sqlite3 *db)
{
	const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
	int code = sqlite3_create_function(db, "hex_address", 1, flags, NULL, hex_address, NULL, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_create_function(db, "page_runs", 1, flags, NULL, db_page_runs, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_create_function(db, "cow_runs", 1, flags, NULL, db_cow_runs, NULL, NULL);
	return code;
}
