/*
 * cow_set.h - a set of pages as sorted runs, with the number of pages before
 * each: how many lie between two pages is one search.
 */
#ifndef MODEL_COW_SET_H
#define MODEL_COW_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pages [page, page + n); page: address / page size.  A set is sorted and its
 * runs do not overlap. */
struct cow_run {
	uint64_t page, n;
};

struct cow_set {
	struct cow_run *run;
	uint64_t *before; /* pages in the runs before this one */
	size_t n;
	bool known;
};

void cow_set_done(struct cow_set *s);

/* Copies the runs; NULL: it stays unknown.  False: no memory, here and below. */
bool cow_set_copy(struct cow_set *s, const struct cow_run *run, size_t n);

/* Behind all that is there; *room: runs there is room for.  cow_set_index when
 * all are there. */
bool cow_set_append(struct cow_set *s, size_t *room, uint64_t page, uint64_t n);
bool cow_set_index(struct cow_set *s);

/* The set of pages that lie in both (all) or in one of them. */
bool cow_set_join(struct cow_set *to, const struct cow_set *a, const struct cow_set *b, bool all);

/* Runs that begin below `page`. */
size_t cow_set_runs_below(const struct cow_set *s, uint64_t page);

/* Of the pages [from, to); 0 of a set that is not known. */
uint64_t cow_set_count(const struct cow_set *s, uint64_t from, uint64_t to);

#endif
