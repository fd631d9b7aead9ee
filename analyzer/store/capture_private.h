/*
 * capture_private.h - the inside of struct capture.  Private to store/.
 */
#ifndef STORE_CAPTURE_PRIVATE_H
#define STORE_CAPTURE_PRIVATE_H

#include "capture.h"
#include "chains.h"
#include "db.h"

struct capture {
	sqlite3 *db;
	char *path;
	enum capture_state state;
	char error[256];
	struct pool pool;
	struct chains chains; /* loaded by the first capture_stack */
	bool has_chains;
	struct capture_stack **stacks; /* by id, made when asked for */
};

/* The refusals of capture_open, for others that open such a file. */
int capture_check_file(const char *path, char *reason, size_t room);
int capture_check_version(sqlite3 *db, char *reason, size_t room);
/* It is not finished, and its collector still runs. */
bool capture_is_recorded(sqlite3 *db);

#endif
