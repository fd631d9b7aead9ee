/*
 * stack.h - from a wrapper's frame to an interned stack id.
 *
 * Walks with the chosen engine (unwind.h), looks the stack up by its
 * cumulative hash, first in the thread's own cache, then in the session's
 * table (stacks.h), and inserts what is new.  Lock-free, no system call on
 * the hot path, callable from a signal handler that interrupted itself.
 */
#ifndef CAPTURE_STACK_H
#define CAPTURE_STACK_H

#include <stddef.h>
#include <stdint.h>

#include <mmscope/session.h>
#include <mmscope/stacks.h>

struct stack_thread; /* engine state, id cache, busy word: per thread */

size_t stack_thread_bytes(void); /* multiple of 4096; reserve, touched on demand */

/* mem: zeroed, stack_thread_bytes() long.  Stack bounds may be 0, 0. */
struct stack_thread *stack_thread_init(void *mem, uintptr_t stack_low, uintptr_t stack_high);

/* Returns the id, 0 when the table has no room (counted in lost_stacks; with
 * policy block the call waits for the collector for a bounded time first).
 * t may be NULL.  context: where pcs are to be read: MMS_CONTEXT_COMMON, or the
 * module context of the process.  STACK_UNKNOWN: there is a frame in it that has
 * no place under the common root. */
#define STACK_UNKNOWN UINT32_MAX
uint32_t stack_capture(struct stack_thread *t, const struct mms_session *s, uint32_t context,
	void *const *fp);

/* Interns frames given innermost first (tests, and the engine itself). */
uint32_t stack_intern(const struct mms_session *s, uint32_t context, const uint64_t *frames, size_t n);

#endif
