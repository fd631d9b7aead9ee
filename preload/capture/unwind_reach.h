/*
 * unwind_reach.h - which stack memory may be read without asking.
 *
 * A step that unwind data prescribes reads what a full unwinder would read,
 * and needs no proof.  A guess (frame pointer) may point anywhere: what it
 * leads to is read only where it is known or proven to be readable.  Known:
 * from the walk's sp to the top of the thread's own stack.  Proven: page by
 * page, by a system call that fails without harm; the proof holds for one
 * walk, because a coroutine's stack may be unmapped before the next.
 */
#ifndef CAPTURE_UNWIND_REACH_H
#define CAPTURE_UNWIND_REACH_H

#include <stdbool.h>
#include <stdint.h>

struct reach {
	uintptr_t low, high;         /* readable: [low, high) */
	uintptr_t limit;             /* no frame of this stack lies above */
	uintptr_t own_low, own_high; /* the thread's own stack: from any sp in here up to
	                              * own_high all is readable.  Empty (low == high): only
	                              * its top is known, the rest is proven when needed */
	bool distrust;               /* after a guess or a signal frame: test each read */
};

/* The stack of the calling thread, as far as it can be seen without asking
 * anybody: the main thread's by what the loader noted, another's by its TCB,
 * which libc puts at the top. */
void reach_own_stack(uintptr_t sp, uintptr_t *ret_low, uintptr_t *ret_high);

#define REACH_PAGE 4096ull

/* The walk goes on at sp, perhaps on another stack (behind a signal frame). */
static inline void reach_move(struct reach *r, uintptr_t sp)
{
	r->low = sp;
	if (__builtin_expect(sp >= r->own_low && sp < r->own_high, 1)) {
		r->high = r->limit = r->own_high;
		return;
	}
	/* What was pushed last lies in this page. */
	r->high = ((sp - 8) & ~(REACH_PAGE - 1)) + REACH_PAGE;
	r->limit = (uintptr_t)1 << 47;
}

/* The reach of a walk that starts at sp. */
static inline void reach_init(struct reach *r, uintptr_t sp, uintptr_t own_low, uintptr_t own_high)
{
	r->own_low = own_low;
	r->own_high = own_high;
	r->distrust = false;
	reach_move(r, sp);
}

/* Readable, as far as is known; asks the kernel where it is not known. */
bool reach_prove(struct reach *r, uintptr_t at, uintptr_t bytes);

static inline bool reach_has(struct reach *r, uintptr_t at, uintptr_t bytes)
{
	if (at >= r->low && at < r->high && bytes <= r->high - at)
		return true;
	return reach_prove(r, at, bytes);
}

/* One word of stack; false: it may not be read. */
static inline bool reach_read(struct reach *r, uintptr_t at, uint64_t *ret)
{
	if (__builtin_expect(r->distrust, 0) && !reach_has(r, at, sizeof(*ret)))
		return false;
	*ret = *(const volatile uint64_t *)at;
	return true;
}

/* The frame-pointer guess: CFA = rbp + 16.  False when rbp cannot be a frame
 * pointer.  On success the caller's pc and rbp. */
bool reach_guess(struct reach *r, uint64_t sp, uint64_t rbp, uint64_t *ret_pc, uint64_t *ret_rbp);

#endif
