/*
 * frames.h - symbols and site ids inside a database.  Private to store/ and
 * the verb symbolize.
 */
#ifndef STORE_FRAMES_H
#define STORE_FRAMES_H

#include "symbol/resolve.h"

#include <sqlite3.h>
#include <stddef.h>

struct frames_result {
	size_t n_addresses; /* distinct addresses that were looked up */
	size_t n_named;     /* of these, with a function */
	size_t n_missing;   /* modules whose file is not here, or is another build */
};

/* Names every node of `stack` that has no frame yet, and gives every stack
 * that something refers to its site.  Call inside a transaction.  Returns 0,
 * or -errno with the connection's error set for SQLite's failures. */
int frames_resolve(sqlite3 *db, const struct symbol_options *options, struct frames_result *ret);

/* Looks again at modules whose symbols were not complete; frames are replaced
 * only where a file tells more than before. */
int frames_again(sqlite3 *db, const struct symbol_options *options, struct frames_result *ret);

/* Site rows for all stacks that are referred to; a part of frames_resolve. */
int frames_sites(sqlite3 *db);

#endif
