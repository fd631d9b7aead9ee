/*
 * test_series.c - at most 600 buckets, and what they hold is what was put.
 */
#include "check.h"

#include "model/series.h"

/* Minimum, maximum and last of a step function, told without buckets. */
struct point {
	uint64_t t, v;
};

static void compare(const struct series *s, const struct point *p, size_t n)
{
	for (uint32_t i = 0; i < s->n; i++) {
		uint64_t low = s->start_ns + i * s->width_ns, high = low + s->width_ns;
		uint64_t min = UINT64_MAX, max = 0, last = 0;

		for (size_t k = 0; k < n && p[k].t < high; k++) {
			last = p[k].v;
			/* It stands in this bucket, or was carried over into it. */
			if (p[k].t < low && k + 1 < n && p[k + 1].t < low)
				continue;
			min = p[k].v < min ? p[k].v : min;
			max = p[k].v > max ? p[k].v : max;
		}
		CHECK_EQ(s->bucket[i].min, min);
		CHECK_EQ(s->bucket[i].max, max);
		CHECK_EQ(s->bucket[i].last, last);
	}
}

static void random_steps(unsigned with)
{
	static struct point p[5000];
	size_t n = 0;
	uint64_t t = 1000;
	struct series *s = series_new(1000, 100);

	srand(with);
	while (n < 5000) {
		t += (uint64_t)rand() % (rand() % 100 ? 30 : 20000);
		p[n] = (struct point){ t, (uint64_t)rand() % 1000 };
		/* The first value counts from the start on. */
		if (n == 0)
			p[n].t = t = 1000;
		series_note(s, t, p[n++].v);
		CHECK(s->n <= SERIES_MAX);
	}
	compare(s, p, n);
	series_free(s);
}

int main(void)
{
	struct series *s = series_new(0, 10);

	series_note(s, 5, 7);
	series_note(s, 1ull << 62, 9); /* a gap of a century does not take a century */
	CHECK(s->n <= SERIES_MAX);
	CHECK_EQ(s->bucket[0].max, 7);
	CHECK_EQ(s->bucket[s->n - 1].last, 9);
	series_note(s, 100, 3); /* before the current bucket: counts in it */
	CHECK_EQ(s->bucket[s->n - 1].last, 3);
	series_free(s);
	series_free(NULL);
	for (unsigned i = 1; i <= 20; i++)
		random_steps(i);
	return check_done();
}
