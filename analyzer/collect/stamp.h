/*
 * stamp.h - from the targets' clock stamps to ns since the capture's start.
 *
 * A tick is a stamp without its low bits (clock >> clock_shift), 64 bit, not
 * relative to anything.  The rate is measured against CLOCK_MONOTONIC and
 * refined while the capture runs; times of increasing ticks never decrease.
 */
#ifndef COLLECT_STAMP_H
#define COLLECT_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include <mmscope/session.h>

struct stamp_clock {
	const struct mms_header *header;
	uint32_t shift;
	uint64_t base_ticks, base_ns; /* the line starts here */
	uint64_t rate;                /* ns per tick, 32.32 */
	uint64_t refine_ticks;        /* next refinement is due here */
};

/* Measures the rate; takes up to 0.2 ms on a session that has just begun. */
void stamp_open(struct stamp_clock *c, const struct mms_header *h);

/* The session's clock now, full stamp. */
uint64_t stamp_now(const struct stamp_clock *c);

/* Is the clock now the one that the session's stamps were taken from?  False
 * when that is not sure: a file of another boot, time set by hand, a sleep. */
bool stamp_same_boot(const struct stamp_clock *c);

/* Corrects the rate when that is due.  Called between rounds. */
void stamp_refine(struct stamp_clock *c);

static inline uint64_t stamp_ns(const struct stamp_clock *c, uint64_t ticks)
{
	if (ticks >= c->base_ticks)
		return c->base_ns +
			(uint64_t)((unsigned __int128)(ticks - c->base_ticks) * c->rate >> 32);
	uint64_t back = (uint64_t)((unsigned __int128)(c->base_ticks - ticks) * c->rate >> 32);
	return back < c->base_ns ? c->base_ns - back : 0;
}

/* A full stamp, as it stands in process slots and fork notes, in ns. */
static inline uint64_t stamp_full_ns(const struct stamp_clock *c, uint64_t stamp)
{
	return stamp_ns(c, stamp >> c->shift);
}

#endif
