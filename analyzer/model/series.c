/*
 * series.c - a value over time in at most 600 buckets, for ever.
 *
 * Called by the model for each heap event (through series_note, which stays
 * in the current bucket nearly always).  When a value lies beyond the last
 * bucket that fits, neighbours are merged in pairs until it fits: minimum of
 * the two, maximum of the two, last of the second.
 */
#include "model/series.h"

#include <stdlib.h>

struct series *series_new(uint64_t start_ns, uint64_t width_ns)
{
	struct series *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->start_ns = start_ns;
	s->width_ns = width_ns ? width_ns : 1;
	return s;
}

void series_free(struct series *s)
{
	if (s)
		free(s->bucket);
	free(s);
}

static void series_halve(struct series *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i += 2) {
		struct series_bucket b = s->bucket[i];

		if (i + 1 < s->n) {
			const struct series_bucket *c = &s->bucket[i + 1];

			b.min = c->min < b.min ? c->min : b.min;
			b.max = c->max > b.max ? c->max : b.max;
			b.last = c->last;
		}
		s->bucket[n++] = b;
	}
	s->n = n;
	s->width_ns *= 2;
}

static int series_reserve(struct series *s, uint32_t n)
{
	uint32_t capacity = s->capacity ? s->capacity : 4;

	if (n <= s->capacity)
		return 0;
	while (capacity < n)
		capacity *= 2;
	if (capacity > SERIES_MAX)
		capacity = SERIES_MAX;
	struct series_bucket *b = realloc(s->bucket, capacity * sizeof(*b));
	if (!b)
		return -1;
	s->bucket = b;
	s->capacity = capacity;
	return 0;
}

void series_put(struct series *s, uint64_t t_ns, uint64_t v)
{
	uint64_t at = t_ns > s->start_ns ? t_ns - s->start_ns : 0;

	while (at / s->width_ns >= SERIES_MAX)
		series_halve(s);
	uint32_t i = (uint32_t)(at / s->width_ns);
	if (s->n && i < s->n)
		i = s->n - 1;
	if (series_reserve(s, i + 1) < 0)
		return; /* no memory: the series ends here, the totals do not need it */
	if (i >= s->n) {
		/* The value was `before` up to now, also for a part of this bucket. */
		uint64_t before = s->n ? s->bucket[s->n - 1].last : v;

		while (s->n <= i)
			s->bucket[s->n++] = (struct series_bucket){ before, before, before };
	}
	struct series_bucket *b = &s->bucket[i];
	b->min = v < b->min ? v : b->min;
	b->max = v > b->max ? v : b->max;
	b->last = v;
}
