/*
 * emit.c - records into the ring.
 *
 * One way in for heap events (16 bytes, or 32 where a value does not fit) and
 * one for everything else.  A record is reserved, filled and published by its
 * first word; between any two instructions a signal handler may come, record,
 * change the block, fork, or jump away for good.  Therefore block and
 * generation are taken from the reservation, never from the thread's state.
 *
 * No lock, no allocation, no libc, errno untouched.
 * Called by the wrappers, and by init.c to start.
 */
#include "emit.h"

#include <errno.h>

#include "base/enter.h"
#include "base/sys.h"
#include "capture/canonical.h"
#include "capture/emit_hot.h"
#include "capture/ring.h"
#include "capture/sample_filter.h"

static const _Atomic uint32_t off = MMS_RECORDING_OFF;
const _Atomic uint32_t *capture_word = &off;
bool emit_clock_is_tsc;

#define LONG_MAX_BYTES 60000u /* of one record: fits into an empty block */

int capture_start(const struct mms_session *session)
{
	uint64_t mask = mms_signals_block();
	int r = thread_init(session);
	if (r == 0)
		r = identity_begin(session);
	emit_clock_is_tsc = session->header->clock == MMS_CLOCK_TSC;
	mms_signals_set(mask);
	if (r == 0 && session->header->mode == MMS_MODE_SAMPLE)
		sample_filter_start();
	if (r == 0)
		__atomic_store_n(&capture_word, &session->header->recording, __ATOMIC_RELEASE);
	return r;
}

void capture_stop(void)
{
	__atomic_store_n(&capture_word, &off, __ATOMIC_RELAXED);
}

void capture_forked(void)
{
	if (capture_on())
		thread_forked();
}

void capture_touch_ahead(void)
{
	thread_touch_ahead();
}

void capture_thread_end(void)
{
	thread_end();
}

uint32_t capture_tid_of(uintptr_t thread)
{
	if (thread == (uintptr_t)__builtin_thread_pointer())
		return (uint32_t)mms_gettid();
	return capture_on() ? thread_tid_of(thread) : 0;
}

void capture_lost(void)
{
	if (capture_on())
		thread_lost();
}

struct mms_process *capture_process(void)
{
	return identity.slot;
}

const struct mms_session *capture_session(void)
{
	return identity.session.base ? &identity.session : NULL;
}

__attribute__((cold)) uint64_t emit_stamp_slow(void)
{
	return mms_stamp(identity.session.header->clock);
}

uint64_t capture_stamp(void)
{
	return emit_stamp();
}

void capture_set_context(uint32_t context)
{
	atomic_store_explicit(&identity.context, context, memory_order_release);
	if (identity.slot)
		atomic_store_explicit(&identity.slot->context, context, memory_order_release);
	canonical_context_is(context);
}

/* A frame lies in no module that was told.  There may be new ones; if there are
 * none, the common root is of no use to this process any more. */
static __attribute__((noinline, cold)) uint32_t capture_unknown(struct stack_thread *t, void *const *fp)
{
	bool looked = canonical_look && canonical_look();
	uint32_t id = STACK_UNKNOWN;

	if (looked)
		id = stack_capture(t, &identity.session, atomic_load(&canonical_root), fp);
	if (id != STACK_UNKNOWN)
		return id;
	if (looked)
		canonical_leave();
	return stack_capture(t, &identity.session, canonical_own_root(), fp);
}

uint32_t capture_stack(void *const *fp)
{
	struct stack_thread *t = thread_stack;
	if (__builtin_expect(!t, 0))
		t = thread_make_stack();
	uint32_t id = stack_capture(t, &identity.session,
		atomic_load_explicit(&canonical_root, memory_order_relaxed), fp);
	return __builtin_expect(id == STACK_UNKNOWN, 0) ? capture_unknown(t, fp) : id;
}

/* ---- publishing ---- */

__attribute__((cold)) void emit_ext(
	enum mms_op op, uint64_t address, uint64_t size, uint32_t stack)
{
	uintptr_t p;
	op = op < MMS_OP_REALLOC_FAIL ? op + (MMS_OP_MALLOC_EXT - MMS_OP_MALLOC) : op;
	for (;;) {
		p = thread_reserve(thread_get(), 32);
		if (thread_spent(p)) {
			if (!thread_slow())
				return;
		} else if ((p & 0xffff) + 32 > MMS_BLOCK_END) {
			emit_publish(p, mms_w1(0, MMS_OP_PAD, 1), 0); /* one slot was left */
		} else {
			break;
		}
	}
	((uint64_t *)p)[2] = size;
	((uint64_t *)p)[3] = address;
	emit_publish(p, mms_w1(0, op, 0), stack);
}

/* As in emit_heap, then. */
__attribute__((cold)) void emit_again(
	enum mms_op op, uint64_t address, uint64_t size, uint32_t stack)
{
	while (thread_slow()) {
		uintptr_t p = thread_reserve(thread_get(), 16);
		if (thread_spent(p))
			continue;
		emit_publish(p, mms_w1(address >> 3, op, (uint32_t)size), stack);
		return;
	}
}

void emit_heap(enum mms_op op, const void *ptr, size_t size, uint32_t stack)
{
	emit_heap_hot(op, ptr, size, stack);
}

/* ---- long records ---- */

/* Reserves `bytes` in one block; fills up a block that has not enough left.
 * By compare-and-exchange, not by xadd: a big reservation must not carry the
 * cursor over the end of the block, where it would look valid again.
 * 0: lost. */
static uintptr_t reserve_long(uintptr_t bytes)
{
	for (;;) {
		struct thread_state *st = thread_get();
		uintptr_t p = __atomic_load_n(&st->cursor, __ATOMIC_RELAXED);
		if (thread_spent(p)) {
			if (!thread_slow())
				return 0;
			continue;
		}
		uintptr_t room = MMS_BLOCK_END - (p & 0xffff);
		uintptr_t take = bytes < room ? bytes : room;
		if (!thread_move_cursor(st, p, p + take))
			continue; /* a handler was quicker */
		if (take == bytes)
			return p;
		emit_publish(p, mms_w1(0, MMS_OP_PAD, (uint32_t)(take / 16)), 0);
	}
}

static uint8_t *put(uint8_t *to, const uint8_t *end, const void *from, size_t n)
{
	for (size_t i = 0; i < n && to < end; i++)
		*to++ = ((const uint8_t *)from)[i];
	return to;
}

void emit_long(enum mms_long type, uint32_t stack, const void *payload, size_t payload_bytes,
	const void *s1, size_t n1, const void *s2, size_t n2)
{
	size_t total = 16 + payload_bytes + n1 + n2;
	if (!capture_on())
		return;
	total = total > LONG_MAX_BYTES ? LONG_MAX_BYTES : (total + 15) & ~(size_t)15;
	uintptr_t p = reserve_long(total);
	if (!p)
		return;
	uint8_t *at = (uint8_t *)p + 16, *end = (uint8_t *)p + total;
	at = put(at, end, payload, payload_bytes);
	at = put(at, end, s1, n1);
	at = put(at, end, s2, n2);
	while (at < end)
		*at++ = 0;
	emit_publish(p, mms_w1(type, MMS_OP_LONG, (uint32_t)(total / 16)), stack);
}
