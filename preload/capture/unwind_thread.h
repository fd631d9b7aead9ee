/*
 * unwind_thread.h - what the unwinder keeps for a thread, and its shortest way.
 */
#ifndef CAPTURE_UNWIND_THREAD_H
#define CAPTURE_UNWIND_THREAD_H

#include <stddef.h>
#include <stdint.h>

#include "capture/unwind.h"
#include "capture/unwind_join.h"

#define UNWIND_AUDIT_DEPTH 2048u /* deeper stacks are compared so far */

struct unwind_thread {
	uintptr_t stack_low, stack_high;
	uint32_t audit_left; /* walks until the next audit; 0: never */
	struct join join;
	unwind_frame audit[UNWIND_AUDIT_DEPTH];
};

/* unwind_joined() where it would find the last stack again, and need not be
 * audited: its id; else 0, and nothing has changed. */
static inline __attribute__((always_inline)) uint32_t unwind_same(struct unwind_thread *t, void *const *fp, uint32_t context)
{
	uint32_t left = t->audit_left;
	const struct join_frame *top = left == 1 ? NULL : join_same(&t->join, fp, context);

	if (__builtin_expect(!top, 0))
		top = left == 1 ? NULL : join_branched(&t->join, fp, context);
	if (__builtin_expect(!top, 0))
		return 0;
	if (left && join_id(top))
		t->audit_left = left - 1;
	return join_id(top);
}

#endif
