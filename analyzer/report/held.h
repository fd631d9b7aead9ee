/*
 * held.h - who holds which pages of a process: blocks and mappings against the
 * states of pages at the last look.
 *
 * HEAP PAGES are those of the areas in which live blocks lie, of the break
 * and of the C library.  What of them is no live block is slack: pages without
 * any (kept by the allocator), and the unused part of the others.
 */
#ifndef REPORT_HELD_H
#define REPORT_HELD_H

#include "report/space.h"

struct held_site {
	char id[SPACE_ID]; /* "" when no stack was captured */
	int64_t stack_id;  /* one of its stacks */
	uint64_t blocks, areas;
	uint64_t requested, touched, resident; /* bytes, at the end */
	uint64_t gone_count, gone_requested, gone_touched; /* given back: 1 MiB and more at once */
	uint64_t pinned_pages; /* pages with less than a tenth live, on which it has blocks */
};

/* Bytes in memory, by what they are. */
struct held_rss {
	int64_t total; /* -1: not known */
	uint64_t heap_live, slack_cached, slack_partial, mappings, stacks, file, shmem, profiler, other;
};

/* The allocator's own books, in bytes. */
struct held_allocator {
	char name[16];   /* "" when it was not asked */
	bool known;      /* it answered */
	uint64_t in_use, cached, fragmented, mapped;
};

struct held {
	struct space space;
	struct held_site *site; /* by requested and not touched, then requested */
	size_t n, capacity;
	struct held_rss rss;
	struct held_allocator allocator;
	uint64_t pinned_pages, pinned_live; /* pages with less than a tenth live, and that */
	uint64_t n_blocks;  /* live blocks that were seen here */
	bool counts_only;   /* states of some pages are not known one by one */
	bool blocks_known;  /* no while it is recorded: live blocks are written at the end */
};

/* False: the pages of this process were never looked at, or could not be. */
bool held_load(struct held *h, struct answer *a, const struct answer_process *p);
void held_done(struct held *h);
uint64_t held_heap(const struct held_rss *r); /* live and free */
int64_t held_unexplained(const struct held_rss *r); /* total must be known */

#endif
