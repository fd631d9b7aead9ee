/*
 * series.h - a value over time in at most 600 buckets, for ever.
 *
 * Buckets have one width; when the series is full, neighbours are merged in
 * pairs and the width doubles.  A bucket keeps the minimum, the maximum and
 * the last value seen in it; the value carried over from before counts for
 * its minimum and maximum.
 */
#ifndef MODEL_SERIES_H
#define MODEL_SERIES_H

#include <stddef.h>
#include <stdint.h>

#define SERIES_MAX 600

struct series_bucket {
	uint64_t min, max, last;
};

struct series {
	uint64_t start_ns, width_ns;
	uint32_t n; /* buckets in use */
	uint32_t capacity;
	struct series_bucket *bucket;
};

/* width_ns: width of a bucket at the start, e.g. 10 ms.  NULL: no memory. */
struct series *series_new(uint64_t start_ns, uint64_t width_ns);
void series_free(struct series *s);

/* The value is v from t_ns on.  Buckets between the last and this one are
 * filled with the last value.  Times before the current bucket count in it. */
void series_put(struct series *s, uint64_t t_ns, uint64_t v);

/* The same, fast while the current bucket lasts. */
static inline void series_note(struct series *s, uint64_t t_ns, uint64_t v)
{
	if (__builtin_expect(!s->n || t_ns >= s->start_ns + s->n * s->width_ns, 0)) {
		series_put(s, t_ns, v);
		return;
	}
	struct series_bucket *b = &s->bucket[s->n - 1];
	b->min = v < b->min ? v : b->min;
	b->max = v > b->max ? v : b->max;
	b->last = v;
}

#endif
