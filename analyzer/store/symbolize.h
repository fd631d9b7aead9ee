/*
 * symbolize.h - names for a database that could not be given all of them where
 * it was recorded.
 */
#ifndef STORE_SYMBOLIZE_H
#define STORE_SYMBOLIZE_H

#include "symbol/resolve.h"

struct symbolize_result {
	size_t n_addresses; /* distinct addresses that were looked up now */
	size_t n_named;     /* of these, with a function */
	size_t n_unnamed;   /* addresses of the database that have no function still */
	size_t n_missing;   /* module files that are not here, or are another build */
};

/* Looks again at every module whose symbols are not complete and writes what
 * is new into the file.  What is known already is never lost.  0 or -errno
 * with a reason; a database that is being recorded is -EBUSY. */
int store_symbolize(const char *path, const struct symbol_options *options, struct symbolize_result *ret,
	char *reason, size_t reason_size);

#endif
