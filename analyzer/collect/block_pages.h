/*
 * block_pages.h - how much of a process's live blocks lies in pages that are in memory:
 * blocks and pages of one moment, both in the order of addresses.
 */
#ifndef COLLECT_BLOCK_PAGES_H
#define COLLECT_BLOCK_PAGES_H

#include <stdint.h>

#include "collect/copy.h"

struct block_pages {
	uint64_t touched, resident; /* bytes */
	uint64_t pages;             /* in memory, that no block before had a part of */
};

struct block_pages_pass {
	const struct copy *copy; /* its runs have been listed */
	size_t run;              /* the first that ends above the last block's begin */
	uint64_t counted;        /* pages below it belong to an earlier block */
};

/* The next block, above the one before. */
struct block_pages block_pages_next(struct block_pages_pass *h, uint64_t address, uint64_t size);

#endif
