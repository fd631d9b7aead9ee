/*
 * cow_set.c - see cow_set.h.  Called by cow_sites.c.
 */
#include "model/cow_set.h"

#include <stdlib.h>
#include <string.h>

void cow_set_done(struct cow_set *s)
{
	free(s->run);
	free(s->before);
	*s = (struct cow_set){ .n = 0 };
}

bool cow_set_index(struct cow_set *s)
{
	uint64_t pages = 0;

	s->before = malloc((s->n + 1) * sizeof(*s->before));
	if (!s->before)
		return false;
	for (size_t i = 0; i < s->n; i++) {
		s->before[i] = pages;
		pages += s->run[i].n;
	}
	s->before[s->n] = pages;
	s->known = true;
	return true;
}

bool cow_set_copy(struct cow_set *s, const struct cow_run *run, size_t n)
{
	if (!run)
		return true;
	s->run = malloc((n + 1) * sizeof(*s->run));
	if (!s->run)
		return false;
	if (n)
		memcpy(s->run, run, n * sizeof(*run));
	s->n = n;
	return cow_set_index(s);
}

bool cow_set_append(struct cow_set *s, size_t *room, uint64_t page, uint64_t n)
{
	if (s->n && s->run[s->n - 1].page + s->run[s->n - 1].n == page) {
		s->run[s->n - 1].n += n;
		return true;
	}
	if (s->n == *room) {
		struct cow_run *more = reallocarray(s->run, *room = *room * 2 + 64, sizeof(*more));
		if (!more)
			return false;
		s->run = more;
	}
	s->run[s->n++] = (struct cow_run){ page, n };
	return true;
}

bool cow_set_join(struct cow_set *to, const struct cow_set *a, const struct cow_set *b, bool all)
{
	size_t i = 0, k = 0, room = 0;
	uint64_t at = 0;

	if (!a->known || !b->known)
		return true;
	while (i < a->n || k < b->n) {
		uint64_t a_from = i < a->n ? a->run[i].page : UINT64_MAX, b_from = k < b->n ? b->run[k].page : UINT64_MAX;
		uint64_t a_to = i < a->n ? a_from + a->run[i].n : UINT64_MAX, b_to = k < b->n ? b_from + b->run[k].n : UINT64_MAX;
		uint64_t from = a_from < b_from ? a_from : b_from;
		if (from < at)
			from = at;
		/* Up to here nothing begins or ends. */
		bool in_a = a_from <= from, in_b = b_from <= from;
		uint64_t to_page = in_a ? a_to : a_from, other = in_b ? b_to : b_from;
		if (other < to_page)
			to_page = other;
		if ((all ? in_a && in_b : in_a || in_b) && !cow_set_append(to, &room, from, to_page - from))
			return false;
		at = to_page;
		i += a_to == at;
		k += b_to == at;
	}
	return cow_set_index(to);
}

size_t cow_set_runs_below(const struct cow_set *s, uint64_t page)
{
	size_t low = 0, high = s->n;

	while (low < high) { /* the first run that does not begin below */
		size_t middle = (low + high) / 2;

		if (s->run[middle].page < page)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Pages of the set below `page`. */
static uint64_t cow_set_below(const struct cow_set *s, uint64_t page)
{
	size_t low = cow_set_runs_below(s, page);

	if (!low)
		return 0;
	uint64_t inside = page - s->run[low - 1].page;
	return s->before[low - 1] + (inside < s->run[low - 1].n ? inside : s->run[low - 1].n);
}

uint64_t cow_set_count(const struct cow_set *s, uint64_t from, uint64_t to)
{
	return s->known && from < to ? cow_set_below(s, to) - cow_set_below(s, from) : 0;
}
