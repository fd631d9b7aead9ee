/*
 * stack_same.h - the stack that was captured last, met again: the way that a
 * loop which allocates goes, compiled into the wrappers.
 *
 * The law of stack.c holds.  The level is marked here as for any other walk,
 * and the ticket is asked for at the end: a handler that comes in between finds
 * what it always finds.
 */
#ifndef CAPTURE_STACK_SAME_H
#define CAPTURE_STACK_SAME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "capture/stack.h"
#include "capture/unwind_thread.h"

#define STACK_LEVELS 2 /* walks that may be under way in one thread, with room of their own */

struct stack_level {
	/* Atomic against signal handlers of the same thread only. */
	_Atomic uintptr_t busy;  /* the wrapper's frame while a walk is under way */
	_Atomic uint32_t ticket; /* of the walk that had the level last */
};

struct stack_thread {
	struct stack_level level[STACK_LEVELS];
	uint32_t cache_misses;              /* since the cache last grew */
	_Atomic uintptr_t cache;            /* address | log2 of its entries; both change at once */
	unwind_frame *frames[STACK_LEVELS]; /* level_depth() each */
};

#define STACK_HEAD_BYTES 128u
_Static_assert(sizeof(struct stack_thread) <= STACK_HEAD_BYTES, "head of a thread's memory");

/* The unwinder's part stands behind. */
static inline struct unwind_thread *stack_unwind(struct stack_thread *t)
{
	return (struct unwind_thread *)(void *)((char *)t + STACK_HEAD_BYTES);
}

static inline uintptr_t stack_busy(const struct stack_level *l)
{
	return atomic_load_explicit(&l->busy, memory_order_relaxed);
}

static inline bool stack_is_busy(const struct stack_thread *t)
{
	_Static_assert(STACK_LEVELS == 2, "both are looked at");
	return (stack_busy(&t->level[0]) | stack_busy(&t->level[1])) != 0;
}

/* Returns the ticket. */
static inline uint32_t stack_mark_level(struct stack_level *l, uintptr_t fp)
{
	uint32_t ticket = atomic_load_explicit(&l->ticket, memory_order_relaxed) + 1;

	atomic_store_explicit(&l->ticket, ticket, memory_order_relaxed);
	atomic_store_explicit(&l->busy, fp, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	return ticket;
}

/* No other walk has had the level meanwhile. */
static inline bool stack_holds_level(const struct stack_level *l, uint32_t ticket)
{
	atomic_signal_fence(memory_order_seq_cst);
	return atomic_load_explicit(&l->ticket, memory_order_relaxed) == ticket;
}

/* False: another walk had the level meanwhile. */
static inline bool stack_give_level(struct stack_level *l, uint32_t ticket)
{
	if (__builtin_expect(!stack_holds_level(l, ticket), 0))
		return false;
	atomic_store_explicit(&l->busy, 0, memory_order_relaxed);
	return true;
}

/* The id of the stack from fp when it is the last one once more; 0: it is not,
 * or that cannot be said here: stack_capture. */
static inline __attribute__((always_inline)) uint32_t stack_same(struct stack_thread *t, uint32_t context, void *const *fp)
{
	if (__builtin_expect(!t || stack_is_busy(t), 0))
		return 0;
	uint32_t ticket = stack_mark_level(&t->level[0], (uintptr_t)fp);
	uint32_t id = unwind_same(stack_unwind(t), fp, context);
	if (__builtin_expect(!stack_give_level(&t->level[0], ticket), 0)) {
		unwind_forget(stack_unwind(t));
		return 0;
	}
	return id;
}

/* stack_capture, by the shortest way there is. */
static inline uint32_t stack_find(struct stack_thread *t, const struct mms_session *s, uint32_t context,
	void *const *fp)
{
	uint32_t id = stack_same(t, context, fp);

	return id ? id : stack_capture(t, s, context, fp);
}

#endif
