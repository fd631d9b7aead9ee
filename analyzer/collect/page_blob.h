/*
 * page_blob.h - states of pages as bytes for a column of the database: takes
 * what page_runs (mirror/page_runs.h) writes.
 */
#ifndef COLLECT_PAGE_BLOB_H
#define COLLECT_PAGE_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mirror/page_runs.h"

struct page_blob {
	struct page_runs runs;
	uint8_t buffer[4096];
	uint8_t *bytes;
	size_t n, capacity;
	bool failed; /* no memory */
};

/* Then page_runs_add(&b->runs, ...), in the order of pages. */
void page_blob_begin(struct page_blob *b, uint64_t first);
/* false: failed.  The bytes are b's until page_blob_free. */
bool page_blob_end(struct page_blob *b);
void page_blob_free(struct page_blob *b);

#endif
