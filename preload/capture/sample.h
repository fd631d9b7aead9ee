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
 * are kept by sample_filter.h.  A birth that is no sample costs one subtraction
 * of a thread's own counter.  Integers alone: the program's floating point
 * flags and traps are its own.
 */
#ifndef CAPTURE_SAMPLE_H
#define CAPTURE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern __thread int64_t sample_left __attribute__((tls_model("initial-exec")));   /* bytes to the next point */
extern __thread uint64_t sample_frees __attribute__((tls_model("initial-exec"))); /* frees that were no samples */

/* A block is about to be allocated.  True: ask sample_due. */
static inline bool sample_countdown(size_t size)
{
	sample_left = (int64_t)((uint64_t)sample_left - (uint64_t)size - 1);
	return __builtin_expect(sample_left < 0, 0);
}

/* The countdown is spent: is this block a sample?  Then the thread's interval
 * has been told, and the next distance is drawn. */
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
