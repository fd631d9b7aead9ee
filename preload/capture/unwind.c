/*
 * unwind.c - the engine behind unwind.h: choice, audit, invalidation.
 *
 * Called by stack.c for every event that wants a stack, by the start, and by
 * who sees that something was unloaded.
 *
 * The audit compares one stack in N, and the first AUDIT_FIRST of a process,
 * with a walk that uses no cache and all registers.  A difference means that
 * a rule was wrong: all rules are dropped, the full walk's answer is used,
 * and the report says so.
 *
 * Law: no lock, no allocation, errno untouched; everything here may be
 * interrupted by a signal handler that comes back in.
 */
#include "unwind.h"

#include <stdatomic.h>

#include <mmscope/session.h>
#include <mmscope/stacks.h>

#include "capture/emit.h"
#include "capture/unwind_full.h"
#include "capture/unwind_join.h"
#include "capture/unwind_libunwind.h"
#include "capture/unwind_own.h"
#include "capture/unwind_thread.h"

#define AUDIT_FIRST 64u
#define AUDIT_DEPTH UNWIND_AUDIT_DEPTH

static int engine = MMS_ENGINE_OWN;
static uint32_t audit_every;
static uint32_t n_first; /* audits of the first stacks */
static uint64_t n_audited, n_audit_failed, n_invalidated;

int unwind_init(int wanted, uint32_t every)
{
	int e = 0;

	audit_every = every;
	rules_init();
	if (wanted == MMS_ENGINE_LIBUNWIND) {
		struct mms_process *p = capture_process();
		e = libunwind_open();
		if (!e)
			engine = MMS_ENGINE_LIBUNWIND;
		if (p)
			p->engine = (uint32_t)engine; /* what is really used */
	}
	return e;
}

/* Walks until a thread's next audit. */
static uint32_t next_audit(void)
{
	return audit_every && __atomic_load_n(&n_first, __ATOMIC_RELAXED) < AUDIT_FIRST ? 1 : audit_every;
}

size_t unwind_thread_bytes(void)
{
	return (sizeof(struct unwind_thread) + 4095) & ~(size_t)4095;
}

void unwind_thread_init(struct unwind_thread *t, uintptr_t stack_low, uintptr_t stack_high)
{
	t->stack_low = stack_low;
	t->stack_high = stack_high;
	t->audit_left = next_audit();
	if (stack_low >= stack_high)
		reach_own_stack((uintptr_t)__builtin_frame_address(0), &t->stack_low, &t->stack_high);
}

static void begin(const struct unwind_thread *t, void *const *fp, struct reach *ret)
{
	reach_init(ret, (uintptr_t)(fp + 2), t ? t->stack_low : 0, t ? t->stack_high : 0);
}

/* Keeps what a walk has learnt of the thread's own stack. */
static void end(struct unwind_thread *t, const struct reach *reach)
{
	if (t && reach->own_low != t->stack_low)
		t->stack_low = reach->own_low;
}

/* Counts here, and in the process's slot for the collector. */
static void count_audit(uint64_t *here, _Atomic uint64_t *there)
{
	__atomic_fetch_add(here, 1, __ATOMIC_RELAXED);
	if (there)
		atomic_fetch_add_explicit(there, 1, memory_order_relaxed);
}

/* The walk that uses no rules, into t->audit. */
static size_t audit_walk(struct unwind_thread *t, void *const *fp)
{
	struct mms_process *p = capture_process();
	struct reach reach;

	__atomic_fetch_add(&n_first, __atomic_load_n(&n_first, __ATOMIC_RELAXED) < AUDIT_FIRST,
		__ATOMIC_RELAXED);
	count_audit(&n_audited, p ? &p->n_audited : NULL);
	t->audit_left = next_audit();
	begin(t, fp, &reach);
	return full_walk(&reach, fp, t->audit, AUDIT_DEPTH);
}

static void audit_failed(void)
{
	struct mms_process *p = capture_process();

	count_audit(&n_audit_failed, p ? &p->n_audit_failed : NULL);
	unwind_invalidate();
}

/* Compares what the rules found; on a difference the other answer is taken. */
static size_t audit(struct unwind_thread *t, void *const *fp, unwind_frame *frames, size_t n)
{
	size_t n_full = audit_walk(t, fp), i = 0;

	while (i < n && i < n_full && mms_node_pc(frames[i]) == mms_node_pc(t->audit[i]))
		i++;
	if (i == n_full && (n == n_full || n_full == AUDIT_DEPTH))
		return n;
	audit_failed();
	for (i = 0; i < n_full; i++)
		frames[i] = t->audit[i];
	return n_full;
}

size_t unwind_walk(struct unwind_thread *t, void *const *fp, unwind_frame *frames, size_t max)
{
	struct reach reach;

	if (__builtin_expect(engine == MMS_ENGINE_LIBUNWIND, 0))
		return libunwind_walk(fp, frames, max);
	begin(t, fp, &reach);
	size_t n = own_walk_any(&reach, fp, frames, max);
	end(t, &reach);
	if (t && t->audit_left && !--t->audit_left && max >= AUDIT_DEPTH)
		n = audit(t, fp, frames, n);
	return n;
}

static bool joined_is_right(struct unwind_thread *t, void *const *fp, struct joined s)
{
	size_t n = audit_walk(t, fp), i = 0;

	while (i < n && i < s.n && mms_node_pc(s.frame[s.n - 1 - i].key) == mms_node_pc(t->audit[i]))
		i++;
	return i == n && (n == s.n || n == AUDIT_DEPTH);
}

struct joined unwind_joined(struct unwind_thread *t, void *const *fp, uint32_t context)
{
	static const struct joined none;
	struct reach reach;

	if (__builtin_expect(engine == MMS_ENGINE_LIBUNWIND, 0))
		return none;
	begin(t, fp, &reach);
	struct joined s = join_walk(&t->join, &reach, fp, context);
	end(t, &reach);
	if (s.n && __builtin_expect(t->audit_left && !--t->audit_left, 0) && !joined_is_right(t, fp, s)) {
		audit_failed();
		t->audit_left = 1; /* the plain walk that follows is compared too */
		return none;
	}
	return s;
}

void unwind_abandoned(struct unwind_thread *t)
{
	join_abandon(&t->join);
}

void unwind_forget(struct unwind_thread *t)
{
	join_forget(&t->join);
}

void unwind_invalidate(void)
{
	rules_clear();
	__atomic_fetch_add(&n_invalidated, 1, __ATOMIC_RELAXED);
}

void unwind_forking(bool quiet)
{
	__atomic_fetch_add(&join_forks, 1, __ATOMIC_RELAXED);
	if (!quiet)
		rules_share();
}

void unwind_counters(struct unwind_counters *ret)
{
	ret->n_audited = __atomic_load_n(&n_audited, __ATOMIC_RELAXED);
	ret->n_audit_failed = __atomic_load_n(&n_audit_failed, __ATOMIC_RELAXED);
	ret->n_rules = rules_count();
	ret->n_invalidated = __atomic_load_n(&n_invalidated, __ATOMIC_RELAXED);
}
