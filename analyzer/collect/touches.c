/*
 * touches.c - when an area became real: how much of it had been used at the
 * looks at which that had grown.
 *
 *	look      1      2      3      4      5
 *	used      0      0      5      5     90
 *	kept      0             5            90
 *
 * At most TOUCHES an area; of a full list every second one goes, first and last
 * stay.  An area that grows or shrinks at its end keeps its list.
 * Called by spaces.c.
 */
#include <stdlib.h>

#include "collect/space.h"

#define TOUCHES 16u
#define ROWS_MAX 200000u

struct touch {
	uint64_t t_ns, pages, touched;
};

static void thin(struct area *x)
{
	unsigned n = 0;

	for (unsigned i = 0; i < x->n_touches; i++)
		if (i % 2 == 0 || i + 1 == x->n_touches)
			x->touch[n++] = x->touch[i];
	x->n_touches = n;
}

void touches_note(struct area *x, uint64_t t_ns)
{
	if (!x->a.known || (x->n_touches && x->touch[x->n_touches - 1].touched >= x->touched))
		return;
	if (x->n_touches == TOUCHES)
		thin(x);
	size_t room = x->n_touches == 0 ? 1 : TOUCHES; /* most areas never change */
	if (x->n_touches < 2) {
		void *more = reallocarray(x->touch, room, sizeof(*x->touch));
		if (!more)
			return;
		x->touch = more;
	}
	x->touch[x->n_touches++] = (struct touch){ t_ns, (x->a.end - x->a.start) >> 12, x->touched };
}

void touches_move(struct area *to, struct area *from)
{
	free(to->touch);
	to->touch = from->touch;
	to->n_touches = from->n_touches;
	from->touch = NULL;
	from->n_touches = 0;
}

void touches_write(struct spaces *s, const struct area *x)
{
	if (!*s->store || !x->id || x->n_touches < 2)
		return;
	if (s->n_touches + x->n_touches > ROWS_MAX) {
		s->n_touches_cut++;
		return;
	}
	s->n_touches += x->n_touches;
	for (unsigned i = 0; i < x->n_touches; i++)
		store_touch(*s->store, &(struct store_touch){ x->id, x->touch[i].t_ns, x->touch[i].pages, x->touch[i].touched });
}
