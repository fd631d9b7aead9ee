/*
 * emit_hot.h - emit.h for the two calls that programs make most, malloc and
 * free: the same functions, compiled into the wrapper.
 *
 * What is rare stays in emit.c, so that the wrapper saves few registers.  The
 * law of emit.c holds.
 */
#ifndef CAPTURE_EMIT_HOT_H
#define CAPTURE_EMIT_HOT_H

#include <mmscope/launch.h>

#include "capture/canonical.h"
#include "capture/emit.h"
#include "capture/identity.h"
#include "capture/stack_same.h"
#include "capture/thread.h"

#define EMIT_HOT static inline __attribute__((always_inline))

OURS extern bool emit_clock_is_tsc; /* written before capture_word */
uint64_t emit_stamp_slow(void);

EMIT_HOT uint64_t emit_stamp(void)
{
	return __builtin_expect(emit_clock_is_tsc, 1) ? mms_rdtsc() : emit_stamp_slow();
}

/* Stamped here, between the reservation and the publication: whoever reads
 * the clock for a horizon and then finds the record missing knows that its
 * stamp is later, but for the few ns that the processor may reorder. */
EMIT_HOT void emit_publish(uintptr_t p, uint64_t w1, uint32_t stack)
{
	uint64_t *word = (uint64_t *)p;
	uint64_t w0 = mms_w0(emit_stamp() >> 4, stack, mms_block_of(p)->gen);
	__atomic_store_n(&word[1], w1, __ATOMIC_RELAXED);
	__atomic_store_n(&word[0], w0, __ATOMIC_RELEASE);
}

/* What does not fit into 16 bytes. */
void emit_ext(enum mms_op op, uint64_t address, uint64_t size, uint32_t stack);
/* Another block first. */
void emit_again(enum mms_op op, uint64_t address, uint64_t size, uint32_t stack);

EMIT_HOT void emit_heap_hot(enum mms_op op, const void *ptr, size_t size, uint32_t stack)
{
	uint64_t address = (uintptr_t)ptr;
	if (__builtin_expect(size >= MMS_SIZE_EXT || address >= MMS_PTR_LIMIT || (address & 7), 0)) {
		emit_ext(op, address, size, stack);
		return;
	}
	uintptr_t p = thread_reserve(thread_get(), 16);
	if (thread_spent(p))
		emit_again(op, address, size, stack);
	else
		emit_publish(p, mms_w1(address >> 3, op, (uint32_t)size), stack);
}

EMIT_HOT uint32_t capture_stack_hot(void *const *fp)
{
	uint32_t id = stack_same(thread_stack,
		atomic_load_explicit(&canonical_root, memory_order_relaxed), fp);
	return __builtin_expect(id != 0, 1) ? id : capture_stack(fp);
}

#endif
