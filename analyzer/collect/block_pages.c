/*
 * block_pages.c - see block_pages.h.
 *
 *	runs     [ present     ][ absent ][ swapped ]
 *	blocks     [ a ][b]  [      c       ]  [d]
 *
 * Absent pages are no run.  Called by snapshot.c.
 */
#include "collect/block_pages.h"

static uint64_t common(uint64_t a, uint64_t b, uint64_t low, uint64_t high)
{
	uint64_t from = a > low ? a : low, to = b < high ? b : high;

	return to > from ? to - from : 0;
}

struct block_pages block_pages_next(struct block_pages_pass *h, uint64_t address, uint64_t size)
{
	const struct copy *c = h->copy;
	struct block_pages x = { .touched = 0 };
	uint64_t first = address >> 12, end = ((size ? address + size - 1 : address) >> 12) + 1;

	while (h->run < c->n_runs && c->runs[h->run].first + c->runs[h->run].n <= first)
		h->run++;
	uint64_t from = first > h->counted ? first : h->counted;
	for (size_t i = h->run; i < c->n_runs && c->runs[i].first < end; i++) {
		const struct copy_run *r = &c->runs[i];
		uint64_t bytes = common(address, address + size, r->first << 12, (r->first + r->n) << 12);

		x.touched += bytes;
		if (r->state != MMS_PAGE_PRESENT && r->state != MMS_PAGE_HUGE)
			continue;
		x.resident += bytes;
		x.pages += common(from, end, r->first, r->first + r->n);
	}
	h->counted = end;
	return x;
}
