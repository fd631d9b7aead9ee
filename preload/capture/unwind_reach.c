/*
 * unwind_reach.c - proof that stack memory can be read, and the guess that
 * needs it.
 *
 * Called by the walks once unwind data has run out (assembly, JIT code).
 * Law: the only system call is rt_sigprocmask with an impossible `how`, which
 * changes nothing and tells whether an address can be read; it is not made
 * once a system call filter is on (doorbell_is_silent), the stack then ends.
 */
#include "unwind_reach.h"

#include <stddef.h>

#include "base/doorbell.h"
#include "base/sys.h"

#define PAGE REACH_PAGE
#define GUESS_SPAN (1ull << 20) /* how far above sp a frame pointer is believed */
#define MAIN_STACK_SPAN (128ull << 20) /* the kernel keeps this much free below a stack */

extern void *__libc_stack_end __attribute__((weak)); /* glibc: sp at the program's entry */

void reach_own_stack(uintptr_t sp, uintptr_t *ret_low, uintptr_t *ret_high)
{
	uintptr_t end = &__libc_stack_end ? (uintptr_t)__libc_stack_end : 0;

	if (sp < end && end - sp <= MAIN_STACK_SPAN) {
		*ret_low = end - MAIN_STACK_SPAN;
		*ret_high = end;
		return;
	}
	__asm__("movq %%fs:0, %0" : "=r"(end));
	*ret_low = *ret_high = end;
}

static bool prove_pages(uintptr_t from, uintptr_t to)
{
	for (; from < to; from += PAGE)
		if (!mms_readable((const void *)from))
			return false;
	return true;
}

/* The thread's own stack reaches from here to its top, when all between can
 * be read: a guard page parts it from everything else. */
static bool learn_own_stack(struct reach *r)
{
	if (r->low >= r->own_low || r->own_low - r->low > GUESS_SPAN ||
		!prove_pages(r->high, r->own_low))
		return false;
	r->own_low = r->low;
	r->high = r->limit = r->own_high;
	return true;
}

bool reach_prove(struct reach *r, uintptr_t at, uintptr_t bytes)
{
	uintptr_t first = at & ~(PAGE - 1), end = ((at + bytes - 1) & ~(PAGE - 1)) + PAGE;

	if (at < PAGE || at >= (uintptr_t)1 << 47 || doorbell_is_silent())
		return false;
	if (at >= r->low && at < r->own_high && learn_own_stack(r))
		return at < r->high && bytes <= r->high - at;
	bool upward = at >= r->low && first <= r->high;
	if (!prove_pages(upward ? r->high : first, end))
		return false;
	if (!upward)
		r->low = first;
	r->high = end;
	return true;
}

bool reach_guess(struct reach *r, uint64_t sp, uint64_t rbp, uint64_t *ret_pc, uint64_t *ret_rbp)
{
	if (rbp < sp || rbp - sp > GUESS_SPAN || rbp & 7 || rbp + 16 > r->limit)
		return false;
	r->distrust = true;
	return reach_read(r, rbp + 8, ret_pc) && reach_read(r, rbp, ret_rbp);
}
