/*
 * sample_filter.h - the addresses of the samples that live.
 *
 * One set for the process, in private memory, so that a forked child has its
 * parent's.  An address may be in any of FILTER_WINDOW places that follow each
 * other from its hash on: what a free has to look at, four compares.
 *
 * THE LAW.  An address that was added is found until its owner removes it.
 * Who adds, looks for or removes an address is its owner: it was just given
 * out to this thread and nobody has it yet, or it is about to be given back.
 * It is added before the program gets it, and removed before the allocator
 * does; then the next owner cannot be hurt by a removal that comes late.
 * An address that stays behind although it was removed does no harm: its next
 * free is recorded, and is one of a block that the collector does not know.
 *
 *	grow    makes the larger set, `next` = it, copies, `current` = it, next = NULL
 *	add     puts into `current`, then looks for `next`: there as well; then
 *	        looks whether `current` is still the same, else once more
 *
 * Either the adder sees `next`, or the copy sees the address: each writes
 * before it reads what the other wrote.  Sets are never given back: a reader
 * may stand in them, and all former ones together are a seventh of the latest.
 */
#ifndef CAPTURE_SAMPLE_FILTER_H
#define CAPTURE_SAMPLE_FILTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ours.h"

#define FILTER_WINDOW 4u

struct filter_set {
	uint64_t shift;           /* 64 - log2 of the places */
	_Atomic uintptr_t *place; /* FILTER_WINDOW - 1 more than that; 0: empty */
};
/* NULL: nobody asks, every free is recorded. */
OURS extern _Atomic(const struct filter_set *) filter_current;

static inline const _Atomic uintptr_t *filter_window(const struct filter_set *f, uintptr_t address)
{
	return &f->place[(uint64_t)address * 0x9e3779b97f4a7c15ull >> f->shift];
}

/* Is p (not NULL) a sample?  Only where the session samples. */
static inline bool sample_filter_has(const void *p)
{
	uintptr_t a = (uintptr_t)p;
	const _Atomic uintptr_t *w =
		filter_window(atomic_load_explicit(&filter_current, memory_order_relaxed), a);
	return __builtin_expect(atomic_load_explicit(&w[0], memory_order_relaxed) == a, 0) ||
		__builtin_expect(atomic_load_explicit(&w[1], memory_order_relaxed) == a, 0) ||
		__builtin_expect(atomic_load_explicit(&w[2], memory_order_relaxed) == a, 0) ||
		__builtin_expect(atomic_load_explicit(&w[3], memory_order_relaxed) == a, 0);
}

void sample_filter_start(void);  /* the first, small set */
void sample_filter_forked(void); /* in a child: who was growing the set is not here */

/* False: there was no room and none could be made.  True without a set. */
bool sample_filter_add(const void *p);
void sample_filter_remove(const void *p);

#endif
