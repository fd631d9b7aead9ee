/*
 * page_blob.c - see page_blob.h.  Called by spaces.c and cow_result.c.
 */
#include "collect/page_blob.h"

#include <stdlib.h>
#include <string.h>

static void keep(void *arg, uint64_t first, const uint8_t *bytes, size_t n)
{
	struct page_blob *b = arg;

	(void)first;
	if (b->n + n > b->capacity) {
		size_t capacity = b->capacity * 2 + n + 4096;
		void *more = realloc(b->bytes, capacity);
		if (!more) {
			b->failed = true;
			return;
		}
		b->bytes = more;
		b->capacity = capacity;
	}
	memcpy(b->bytes + b->n, bytes, n);
	b->n += n;
}

void page_blob_begin(struct page_blob *b, uint64_t first)
{
	b->runs = (struct page_runs){ .buffer = b->buffer, .room = sizeof(b->buffer), .full = keep, .arg = b };
	b->bytes = NULL;
	b->n = b->capacity = 0;
	b->failed = false;
	page_runs_begin(&b->runs, first);
}

bool page_blob_end(struct page_blob *b)
{
	page_runs_end(&b->runs);
	keep(b, 0, b->buffer, b->runs.used);
	return !b->failed;
}

void page_blob_free(struct page_blob *b)
{
	free(b->bytes);
	b->bytes = NULL;
}
