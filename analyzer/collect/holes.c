/*
 * holes.c - records that came after the reader had gone on without them.
 *
 * read.c leaves a hole behind when it was not filled in time, or at once when
 * its writer may be waiting for a block that the hole keeps from being freed.
 * The slots are remembered here and looked at in each round, before anything
 * else of the round is delivered.  That keeps the order: a record that is not
 * there now is published after the round's horizon, and so is all that rests
 * on it, since its own thread goes on only then.
 *
 *   target:    reserves R . handler records, waits . R's first word . goes on
 *   collector:              leaves R .................. ^ delivers R
 *
 * Its time is that of the round when it is older: times never run backwards.
 * Not handled: a collector that was killed had left R, and R came afterwards;
 * `recover` does not look for it.
 * Called by drain.c and read.c.
 */
#include <stdlib.h>

#include "collect/stream.h"

#define LOOK_INSIDE 16u /* slots looked at behind the first */

struct hole {
	struct hole *next; /* an older one: inner handlers end first */
	uint32_t cell, from, to;
};

/* A record that does not come is lost to its process; one that comes late is
 * not, by = -1. */
static void count(struct stream *s, uint64_t by)
{
	struct seen_process *p = slots_process(s->d, s->who.process);

	s->family->lane->stats.n_holes += by;
	if (p)
		p->lost += by;
}

void holes_leave(struct stream *s, uint32_t cell, uint32_t from, uint32_t to)
{
	struct hole *h = s->dead ? NULL : malloc(sizeof(*h));

	count(s, 1);
	s->d->cells[cell].n_holes++;
	if (!h)
		return; /* nothing comes, or it is lost, as it was counted */
	*h = (struct hole){ .next = s->holes, .cell = cell, .from = from, .to = to };
	s->holes = h;
}

/* Offset of the first record in the hole; 0: none.  The first slot is one as
 * soon as it is valid; those behind it may be payload that looks alike. */
static uint32_t find_inside(const struct stream *s, const struct hole *h)
{
	uint32_t end = h->from + 16 + LOOK_INSIDE * 16;

	if (stream_late_slots(s, h->cell, h->from))
		return h->from;
	for (uint32_t at = h->from + 16; at < end && at < h->to; at += 16)
		if (stream_late_plausible(s, h->cell, at))
			return at;
	return 0;
}

/* Delivers what came; true: nothing is missing any more. */
static bool fill(struct stream *s, struct hole *h)
{
	uint32_t at = find_inside(s, h), n;

	if (!at)
		return false;
	if (at > h->from) { /* an inner handler's, while the outer one's is missing */
		holes_leave(s, h->cell, h->from, at);
		h->from = at;
	}
	while (h->from < h->to && (n = stream_late_slots(s, h->cell, h->from)) > 0) {
		stream_late(s, h->cell, h->from);
		h->from += n * 16;
	}
	return h->from >= h->to;
}

static void remove_hole(struct stream *s, struct hole **link)
{
	struct hole *h = *link;

	*link = h->next;
	s->d->cells[h->cell].n_holes--;
	free(h);
}

void holes_read(struct stream *s)
{
	struct hole **link = &s->holes;

	while (*link) {
		struct hole *h = *link;

		if (fill(s, h)) {
			while (*link != h) /* what it left stands before it */
				link = &(*link)->next;
			count(s, (uint64_t)-1);
			remove_hole(s, link);
		} else {
			link = &h->next;
		}
	}
}

void holes_forget(struct stream *s, uint32_t cell)
{
	struct hole **link = &s->holes;

	while (*link)
		if (cell == NO_CELL || (*link)->cell == cell)
			remove_hole(s, link);
		else
			link = &(*link)->next;
}
