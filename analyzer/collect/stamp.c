/*
 * stamp.c - the targets' clock against CLOCK_MONOTONIC.
 *
 * A line (base, rate) that is replaced by a new one, starting where the old
 * one is, each time the rate can be told better.  An error that has built up
 * is not corrected by a step but by the slope of the next line: times never
 * run backwards.  Called by drain only.
 */
#include "collect/stamp.h"

#include <time.h>

#include <mmscope/launch.h>

#define FIRST_SPAN_NS 200000u         /* least time between the two readings of the first rate */
#define REFINE_MAX_NS 10000000000ull
#define SAME_BOOT_NS 60000000000ull   /* what two clocks may differ by */

static uint64_t clock_ns(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t stamp_now(const struct stamp_clock *c)
{
	return mms_stamp(c->header->clock);
}

/* Both clocks at one moment: the closest of a few tries. */
static void read_both(const struct stamp_clock *c, uint64_t *ret_stamp, uint64_t *ret_ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 5; i++) {
		uint64_t before = stamp_now(c);
		uint64_t ns = clock_ns(CLOCK_MONOTONIC);
		uint64_t after = stamp_now(c);

		if (after - before >= best)
			continue;
		best = after - before;
		*ret_stamp = before + (after - before) / 2;
		*ret_ns = ns;
	}
}

/* ns per tick, 32.32, from two readings. */
static uint64_t rate_of(const struct stamp_clock *c, uint64_t stamps, uint64_t ns)
{
	return stamps ? (uint64_t)(((unsigned __int128)ns << (32 + c->shift)) / stamps) : 0;
}

/* The rate measured here and now, when the header's start is of no use
 * (another boot: a session file that was left behind). */
static uint64_t rate_now(const struct stamp_clock *c)
{
	uint64_t s0, s1, t0, t1;

	read_both(c, &s0, &t0);
	do
		read_both(c, &s1, &t1);
	while (t1 - t0 < FIRST_SPAN_NS);
	return rate_of(c, s1 - s0, t1 - t0);
}

static bool start_is_usable(const struct mms_header *h, uint64_t stamp, uint64_t ns)
{
	return stamp > h->start_stamp && ns > h->start_monotonic_ns + FIRST_SPAN_NS;
}

bool stamp_same_boot(const struct stamp_clock *c)
{
	const struct mms_header *h = c->header;
	uint64_t lived = clock_ns(CLOCK_MONOTONIC) - h->start_monotonic_ns;
	uint64_t passed = clock_ns(CLOCK_REALTIME) - h->start_realtime_ns;

	return stamp_now(c) >= h->start_stamp && lived - passed + SAME_BOOT_NS <= 2 * SAME_BOOT_NS;
}

void stamp_open(struct stamp_clock *c, const struct mms_header *h)
{
	uint64_t stamp = 0, ns = 0;

	*c = (struct stamp_clock){ .header = h, .shift = h->clock_shift & 31 };
	c->base_ticks = h->start_stamp >> c->shift;
	read_both(c, &stamp, &ns);
	if (h->clock_hz)
		c->rate = rate_of(c, h->clock_hz, 1000000000u);
	else if (start_is_usable(h, stamp, ns))
		c->rate = rate_of(c, stamp - h->start_stamp, ns - h->start_monotonic_ns);
	if (!c->rate)
		c->rate = rate_now(c);
	c->refine_ticks = (stamp >> c->shift) + (1u << 20);
}

void stamp_refine(struct stamp_clock *c)
{
	const struct mms_header *h = c->header;
	uint64_t stamp = 0, ns = 0;

	if (h->clock_hz || stamp_now(c) >> c->shift < c->refine_ticks)
		return;
	read_both(c, &stamp, &ns);
	if (!start_is_usable(h, stamp, ns)) {
		c->refine_ticks = UINT64_MAX;
		return;
	}
	uint64_t ticks = stamp >> c->shift;
	uint64_t true_ns = ns - h->start_monotonic_ns;
	uint64_t here_ns = stamp_ns(c, ticks);
	uint64_t rate = rate_of(c, stamp - h->start_stamp, true_ns);
	/* The next line lasts as long as the capture has lasted, at most 10 s. */
	uint64_t span_ns = true_ns < REFINE_MAX_NS ? true_ns : REFINE_MAX_NS;
	double slope = ((double)true_ns - (double)here_ns + (double)span_ns) / (double)span_ns;

	slope = slope < 0.5 ? 0.5 : slope > 2 ? 2 : slope;
	c->base_ns = here_ns;
	c->base_ticks = ticks;
	c->rate = (uint64_t)((double)rate * slope);
	c->refine_ticks = ticks + (uint64_t)(((unsigned __int128)span_ns << 32) / rate);
}
