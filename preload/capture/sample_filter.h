/*
 * sample_filter.h - the addresses of the samples that live.
 *
 * One set for the process, in private memory, so that a forked child has its
 * parent's.  An address may be in any of FILTER_WINDOW places that follow each
 * other from its hash on.  Beside the places are counters, a byte each: how many
 * addresses with the same low bits are in the set.  A free looks at one of them,
 * and at the places only where it is not 0: one of fifty, at most, where the set
 * has grown as far as it does.  Neighbours have neighbouring counters, so that
 * the frees of a loop stay in few lines of the cache.
 *
 * THE LAW.  An address that was added is found until its owner removes it.
 * Who adds, looks for or removes an address is its owner: it was just given
 * out to this thread and nobody has it yet, or it is about to be given back.
 * It is added before the program gets it, and removed before the allocator
 * does; then the next owner cannot be hurt by a removal that comes late.
 * An address that stays behind although it was removed does no harm: its next
 * free is recorded, and is one of a block that the collector does not know.
 * A counter goes up before a place is taken and down after it was cleared, so
 * that it is never too low; one that was ever full stays so.
 *
 *	grow    makes the larger set, `next` = it, copies, `current` = it, next = NULL
 *	add     puts into `current`, then looks for `next`: there as well; then
 *	        looks whether `current` is still the same, else once more
 *
 * Either the adder sees `next`, or the copy sees the address: each writes
 * before it reads what the other wrote.  Sets are never given back: a reader
 * may stand in them, and all former ones together are a seventh of the latest.
 *
 * Where births are not sampled the set is filter_all, which has every address.
 *
 * `current` is one word, so that a free reads a set and its mask as they belong
 * together.
 */
#ifndef CAPTURE_SAMPLE_FILTER_H
#define CAPTURE_SAMPLE_FILTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ours.h"

#define FILTER_WINDOW 4u
#define FILTER_COUNTERS 8u /* for each place */

struct filter_set {
	uintptr_t mask;           /* counters - 1 */
	_Atomic uintptr_t *place; /* 0: empty; FILTER_WINDOW - 1 more than log says */
	uint32_t log;             /* log2 of its places */
	_Atomic uint8_t counter[];
};
OURS extern struct filter_set filter_all; /* has every address */
OURS extern struct filter_set *_Atomic filter_current;

static inline _Atomic uint8_t *filter_counter(struct filter_set *f, uintptr_t address)
{
	return &f->counter[address >> 4 & f->mask]; /* blocks lie 16 bytes apart, as a rule */
}

/* May p (or NULL) be a sample?  What a free asks first. */
static inline bool sample_filter_may_have(const void *p)
{
	struct filter_set *f = atomic_load_explicit(&filter_current, memory_order_relaxed);
	return __builtin_expect(
		atomic_load_explicit(filter_counter(f, (uintptr_t)p), memory_order_relaxed) != 0, 0);
}

/* Is p (not NULL) a sample? */
bool sample_filter_has(const void *p);

void sample_filter_start(void);  /* the first, small set */
void sample_filter_forked(void); /* in a child: who was growing the set is not here */

/* False: there was no room and none could be made.  True without a set. */
bool sample_filter_add(const void *p);
void sample_filter_remove(const void *p);

#endif
