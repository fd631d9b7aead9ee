/*
 * cow_plane.c - sets of pages, as copy-on-write needs them.
 */
#include <stdlib.h>
#include <string.h>

#include "collect/cow_private.h"

void cow_plane_free(struct page_plane *p)
{
	struct page_shadow s;

	page_shadow_init(&s);
	s.plane[0] = *p;
	page_shadow_done(&s);
	memset(p, 0, sizeof(*p));
}

void cow_plane_add_common(struct page_plane *to, const struct page_plane *from, const struct page_plane *mask)
{
	struct page_run m = { .first = 0 }, r;

	while (page_plane_run(mask, m.first + m.n, 1ull << 36, &m)) {
		r = (struct page_run){ .first = m.first };
		while (page_plane_run(from, r.first + r.n, m.first + m.n, &r))
			page_plane_set(to, r.first, r.n);
	}
}

void cow_plane_take_away(struct page_plane *from, const struct page_plane *what)
{
	struct page_run r = { .first = 0 };

	while (page_plane_run(what, r.first + r.n, 1ull << 36, &r))
		page_plane_clear(from, r.first, r.n);
}

struct cow_run *cow_runs_of(const struct page_plane *p, size_t *ret_n)
{
	struct page_run r = { .first = 0 };
	size_t n = 0, room = 64;
	struct cow_run *runs = malloc(room * sizeof(*runs));

	while (runs && page_plane_run(p, r.first + r.n, 1ull << 36, &r)) {
		if (n == room) {
			struct cow_run *more = reallocarray(runs, room *= 2, sizeof(*runs));
			if (!more)
				free(runs);
			runs = more;
			if (!runs)
				break;
		}
		runs[n++] = (struct cow_run){ r.first, r.n };
	}
	*ret_n = runs ? n : 0;
	return runs;
}
