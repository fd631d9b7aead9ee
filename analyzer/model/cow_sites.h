/*
 * cow_sites.h - whose blocks and mappings the pages are that a fork shared.
 *
 * Pages come as sets, blocks as they were at the fork (model_blocks_at: the
 * parent's, which the child inherited).  A page counts once for every stack
 * that has a block on it; a block counts when at least one of its pages was
 * shared.  Sets may be of some pieces of memory only: then counts are what the
 * bytes of a stack's blocks in these pieces say about all its bytes
 * (cow_estimate.h), and stacks of which no page was seen have no row.
 *
 *	cow_sites_new .. cow_sites_add * .. cow_sites_count
 *	cow_sites_new .. cow_sites_add * .. cow_sites_diff * .. cow_sites_broken
 *		.. cow_sites_count	where pages can be compared (witness), and
 *		what was broken is known later than the first of them
 *
 * One owner.
 */
#ifndef MODEL_COW_SITES_H
#define MODEL_COW_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/cow_diff.h"
#include "model/cow_estimate.h"
#include "model/cow_set.h"

/* What is not known has a NULL set; an empty set has n 0. */
struct cow_sets {
	const struct cow_run *shared, *parent, *child; /* child and parent: broken by them */
	size_t n_shared, n_parent, n_child;
	uint32_t page_size;
	uint32_t share; /* of MMS_COW_SHARE_ALL: mms_cow_is_chosen says what the sets are of; 0: of all */
};

/* Figures of a site that are estimates where the sets are of a part. */
enum cow_site_range { COW_SITE_SHARED, COW_SITE_PARENT, COW_SITE_CHILD, COW_SITE_BOTH, COW_SITE_RANGES };

struct cow_site_row {
	uint32_t stack; /* 0: pages without a block or mapping of a known stack */
	uint64_t pages_shared, parent_broke, child_broke, both_broke;
	uint64_t blocks, bytes; /* at the fork, on shared pages; where the sets are of a part: all of the site */
	/* Of pages that were compared; cow_totals.compared tells whether any was. */
	uint64_t false_blocks; /* on broken pages, themselves unchanged */
	uint64_t bytes_changed;
	uint64_t identical_pages, counter_pages;
	struct cow_range range[COW_SITE_RANGES]; /* of the first four; nothing where the sets are of all */
};

/* Sums over all compared pages; a page that two sides broke counts once, with
 * the class that weighs more. */
struct cow_totals {
	bool parent_known, child_known; /* the sets were there */
	bool compared; /* at least one page was */
	bool estimated; /* the sets were of a part */
	uint64_t bytes_changed;
	uint64_t pages[N_COW_CLASSES];
};

struct cow_sites;

/* The sets are copied.  NULL: no memory. */
struct cow_sites *cow_sites_new(const struct cow_sets *sets);
void cow_sites_free(struct cow_sites *cs); /* accepts NULL */

/* A block that was live at the fork; arg is the struct cow_sites, so that it
 * can be given to model_blocks_at. */
void cow_sites_add(void *arg, uint64_t address, uint64_t size, uint32_t stack);

/* A mapping that the target made, [start, end) in bytes, whole pages; by
 * address, without overlaps, before cow_sites_count.  stack: not 0. */
void cow_sites_add_area(struct cow_sites *cs, uint64_t start, uint64_t end, uint32_t stack);

/* A broken page as it was at the fork and as one side has it now; once for
 * each side that broke it, after all blocks were added. */
void cow_sites_diff(struct cow_sites *cs, uint64_t page, const void *before, const void *after);

/* What was broken, if that was not known to cow_sites_new; before the count.
 * compared: every broken page that is still there was given to cow_sites_diff,
 * so that none means that nothing changed.  False: no memory. */
bool cow_sites_broken(struct cow_sites *cs, const struct cow_sets *sets, bool compared);

/* Rows by pages broken, most first.  They belong to cs.  0 or -ENOMEM, also
 * when memory ran out in one of the calls before. */
int cow_sites_count(struct cow_sites *cs, const struct cow_site_row **ret_rows, size_t *ret_n);

/* Of the compared pages [from, to), after cow_sites_count. */
struct cow_changes {
	uint64_t bytes, identical_pages, counter_pages;
};
struct cow_changes cow_sites_changes(const struct cow_sites *cs, uint64_t from, uint64_t to);

struct cow_totals cow_sites_totals(const struct cow_sites *cs); /* after cow_sites_count */

#endif
