/*
 * sample.h - which births are recorded when not all of them are.
 *
 * Poisson sampling by bytes: sample points lie on the bytes that a thread
 * allocates, at exponential distances with the session's interval T as their
 * mean.  A block is a sample when a point falls on it, so with probability
 * 1 - exp(-(size + 1) / T), whatever happened before: after a sample the
 * distance is drawn anew, and because the exponential has no memory a thread
 * may change T there without any bias.  The byte beside the size is for blocks
 * of no size, which could never be samples.
 *
 * Here are the countdown and what is told about a sample; addresses of samples
 * are kept by sample_filter.h.  Integers alone: the program's floating point
 * flags and traps are its own.
 *
 * THE COUNTDOWN IS ALL THAT A BIRTH ASKS.  While it is not spent, the birth is
 * no sample, whatever is recorded now: what the collector has changed meanwhile
 * is seen at the thread's next point, and it makes no difference before.  Where
 * every birth is to be asked about (all are recorded, or none for a time, or
 * nothing is known yet) it is SAMPLE_ASK, which is spent by any size.
 */
#ifndef CAPTURE_SAMPLE_H
#define CAPTURE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLE_ASK (-1) /* no point was drawn */

/* What each birth and each free moves; one line of the cache for both. */
struct sample_count {
	int64_t left;   /* bytes to the next point */
	uint64_t frees; /* that were no samples */
} __attribute__((aligned(16)));
extern __thread struct sample_count sample_count __attribute__((tls_model("initial-exec")));

static inline bool sample_spent(void)
{
	return __builtin_expect(sample_count.left < 0, 0);
}

/* A block is about to be allocated.  True: the countdown is spent.  Of
 * sizes that no allocator has, PTRDIFF_MAX and more, it may be otherwise, and
 * what is left is wrong then: sample_refused. */
static inline bool sample_countdown(size_t size)
{
	sample_count.left = (int64_t)((uint64_t)sample_count.left - (uint64_t)size - 1);
	return sample_spent();
}

/* The next birth asks again. */
static inline void sample_ask(void)
{
	sample_count.left = SAMPLE_ASK;
}

/* No block of this size was given out. */
static inline void sample_refused(size_t size)
{
	if (size >= PTRDIFF_MAX)
		sample_ask();
}

/* The countdown is spent, and births are sampled: is this block a sample?  Then
 * the thread's interval has been told, and the next distance is drawn. */
bool sample_due(size_t size);

/* p was given out as a sample: its free will be seen.  False: there was no
 * room to remember it; it must not be recorded (and is counted as lost). */
bool sample_keep(const void *p);

/* p, which may be a sample, is about to be given back by this thread.
 * 1: the thread did nothing else since it got it; else 0. */
uint32_t sample_dying(const void *p);

/* The calling thread is that of a forked child: its points are its own. */
void sample_forked(void);

/* Distance to the next point for 64 random bits, in bytes. */
uint64_t sample_distance(uint64_t random, uint64_t interval);

#endif
