/*
 * order.c - merges sources by time, up to a horizon.
 *
 * A binary heap of the sources that have something to deliver.  The smallest
 * runs while it is not later than the second smallest, so a thread that is
 * alone costs no heap operation at all.  Called by drain once a round.
 */
#include "collect/order.h"

#include <errno.h>
#include <stdlib.h>

void order_init(struct order *o)
{
	*o = (struct order){ 0 };
}

void order_done(struct order *o)
{
	free(o->heap);
	order_init(o);
}

static void sift_down(struct order *o, size_t at)
{
	struct order_source *s = o->heap[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= o->n)
			break;
		if (child + 1 < o->n && o->heap[child + 1]->ticks < o->heap[child]->ticks)
			child++;
		if (s->ticks <= o->heap[child]->ticks)
			break;
		o->heap[at] = o->heap[child];
		at = child;
	}
	o->heap[at] = s;
}

static void sift_up(struct order *o, size_t at)
{
	struct order_source *s = o->heap[at];

	while (at && s->ticks < o->heap[(at - 1) / 2]->ticks) {
		o->heap[at] = o->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	o->heap[at] = s;
}

int order_add(struct order *o, struct order_source *s)
{
	if (o->n == o->capacity) {
		size_t capacity = o->capacity ? o->capacity * 2 : 16;
		struct order_source **heap = realloc(o->heap, capacity * sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		o->heap = heap;
		o->capacity = capacity;
	}
	o->heap[o->n++] = s;
	sift_up(o, o->n - 1);
	return 0;
}

/* Stamp of the source that is next after the first. */
static uint64_t second_ticks(const struct order *o)
{
	if (o->n < 2)
		return UINT64_MAX;
	if (o->n == 2 || o->heap[1]->ticks < o->heap[2]->ticks)
		return o->heap[1]->ticks;
	return o->heap[2]->ticks;
}

void order_merge(struct order *o, uint64_t horizon_ticks)
{
	o->horizon = horizon_ticks;
	while (o->n && o->heap[0]->ticks <= o->horizon) {
		struct order_source *s = o->heap[0];
		uint64_t limit = second_ticks(o);

		if (limit > o->horizon)
			limit = o->horizon;
		if (!s->run(s, limit))
			o->heap[0] = o->heap[--o->n];
		if (o->n)
			sift_down(o, 0);
	}
	o->n = 0;
}
