/*
 * upgrade.h - from an older schema to this one.  Private to store/ and its
 * tests.
 */
#ifndef STORE_UPGRADE_H
#define STORE_UPGRADE_H

#include <sqlite3.h>
#include <stddef.h>

/* One step: brings a database of version `from` to `from + 1`. */
struct upgrade_step {
	int from;
	const char *sql;
};

/* One file a step. */
extern const char upgrade_to_2[], upgrade_to_3[], upgrade_to_4[];

/* The steps that this mmscope knows, in order. */
extern const struct upgrade_step upgrade_steps[];
extern const size_t n_upgrade_steps;

/* Runs the steps from the database's user_version up to `target`, each in its
 * own transaction.  Returns 0, -ENOTSUP when a step is missing, or -errno; a
 * failed step leaves the database at the version before it. */
int upgrade(sqlite3 *db, const struct upgrade_step *steps, size_t n_steps, int target);

#endif
