/*
 * limit_rows.h - limits and debts on their way into the database.
 */
#ifndef COLLECT_LIMIT_ROWS_H
#define COLLECT_LIMIT_ROWS_H

#include <stdint.h>

#include "collect/limit.h"
#include "model/model.h"

struct store;

/* Rows of a look; process 0: they belong to the place (its index).  Limits that
 * seldom move have one only where they are not as in `before`.  store NULL: none. */
void limit_rows(struct store *store, unsigned place, uint64_t process, uint64_t t_ns,
	const struct limit_points *points, const struct limit_points *before);

/* What a process told of itself when it was refused, at that moment; and the pool
 * that had no huge pages for it. */
void limit_rows_refused(struct store *store, unsigned place, const struct model_failure *f);

/* What it owed then, as of t_ns: of one that was over before it was looked at. */
void limit_rows_owed(struct store *store, unsigned place, const struct model_failure *f, uint64_t t_ns);

/* What was promised and is not used. */
uint64_t limit_debt(uint64_t promised, uint64_t used);

#endif
