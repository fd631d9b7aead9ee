/*
 * exit.c - the last word of a process.
 *
 * The exit handler (init.c) covers exit and the return from main; _exit,
 * _Exit and quick_exit run no handlers and are wrapped.  Wrappers go on
 * working after the last word: destructors that run later are recorded.
 * What ends without a word (a signal, a raw exit_group) is told by the
 * collector's pidfd.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <mmscope/launch.h>

#include "base/doorbell.h"
#include "base/enter.h"
#include "base/next.h"
#include "base/own.h"
#include "base/sys.h"
#include "capture/emit.h"
#include "capture/ring.h"
#include "mirror/mm_self.h"
#include "wrap/cow.h"
#include "wrap/process.h"
#include "wrap/space.h"

/* Under a filter nobody is asked for a pid: getpid may be what it kills for. */
bool process_is_own(void)
{
	struct mms_process *p = capture_on() && !doorbell_is_silent() ? capture_process() : NULL;
	return p && p->pid == (uint32_t)mms_getpid();
}

/* A look takes 0.1 to 0.2 ms, half of it the kernel's.  The thousands of
 * little children of a script are not worth that: whoever lived shorter than
 * about 10 ms (25 million ticks of the processor) has touched little, of our
 * memory less than who forked it, and tells its high-water mark alone.  The main
 * process is always looked at. */
#define SHORT_TICKS 25000000u

static bool worth_a_look(const struct mms_process *p)
{
	return p->pid == capture_session()->header->creator_pid || capture_stamp() - p->begin_stamp > SHORT_TICKS;
}

/* Pages in use in our own areas, the shared session file apart, where a look
 * could not tell: 20 us, for most of what is reserved (a place for the stacks of
 * each thread) is never touched. */
static uint64_t own_bytes(void)
{
	const struct mms_session *s = capture_session();
	uintptr_t base = (uintptr_t)s->base, start, end = 0;
	uint64_t n_pages = 0;
	unsigned char vec[512];

	while (own_next(end, &start, &end)) {
		for (uintptr_t at = start; at < end && start != base; at += sizeof(vec) << 12) {
			size_t n = (end - at) >> 12 < sizeof(vec) ? (end - at) >> 12 : sizeof(vec);

			if (mms_mincore(at, n << 12, vec) < 0)
				break;
			for (size_t i = 0; i < n; i++)
				n_pages += vec[i] & 1;
		}
	}
	return n_pages << 12;
}

/* A process that lives shorter than the collector's second between two looks
 * is told of by itself alone. */
void process_look(enum mms_look look)
{
	struct mms_process *p = capture_process();
	if (!p)
		return;
	cow_last_word(look);
	if (doorbell_is_silent())
		return;
	uint64_t hiwater = 0, own = 0;
	if (worth_a_look(p)) {
		hiwater = space_look(look, &own);
		p->self_bytes = own ? own : own_bytes();
	}
	if (!hiwater)
		hiwater = mm_hiwater(p->begin == MMS_BEGIN_FORK);
	atomic_store_explicit(&p->hiwater_bytes, hiwater, memory_order_relaxed);
}

#define ASKED_NS 2000000000ull    /* a collector that does not answer is busy with others */
#define COMPARE_NS 10000000000ull /* it is read much, and what is not compared is not known */
#define READING_NS 60000000000ull /* one that has answered says when it is done */
#define SLICE_NS 50000000ull      /* between two looks at whether it lives */

/* Or will have one: who was started with us is there in some milliseconds. */
static bool has_collector(const struct mms_session *s)
{
	enum mms_collector_state state = ring_collector(s);

	return state == MMS_COLLECTOR_ALIVE || state == MMS_COLLECTOR_COMING;
}

static bool go_on_waiting(const struct mms_session *s, uint32_t state, uint64_t since_ns)
{
	uint64_t waited = mms_clock_ns(CLOCK_MONOTONIC) - since_ns;

	bool read = state == MMS_REACH_READING || state == MMS_REACH_COPYING;
	uint64_t limit = read ? READING_NS : state == MMS_REACH_COMPARE ? COMPARE_NS : ASKED_NS;

	return waited < limit && has_collector(s);
}

void process_be_read(struct mms_process *p, uint32_t state)
{
	const struct mms_session *s = capture_session();
	struct mms_header *h = s->header;
	uint64_t since_ns = mms_clock_ns(CLOCK_MONOTONIC);

	if (!has_collector(s))
		return;
	atomic_store(&p->reach, state);
	atomic_fetch_add(&h->n_reach, 1);
	mms_futex_wake(&h->n_reach, 1);
	atomic_fetch_add(&h->wake_seq, 1);
	mms_futex_wake(&h->wake_seq, 1);
	while (state != MMS_REACH_DONE && go_on_waiting(s, state, since_ns)) {
		mms_futex_wait(&p->reach, state, SLICE_NS);
		state = atomic_load(&p->reach);
	}
	atomic_store(&p->reach, MMS_REACH_NONE);
}

/* Half a millisecond and more: of short children the first of a session alone,
 * which are all of them but under a script of thousands. */
#define FIRST_SHORT 64u

static bool worth_a_copy(const struct mms_process *p)
{
	return worth_a_look(p) || atomic_load_explicit(&capture_session()->header->n_reach, memory_order_relaxed) < FIRST_SHORT;
}

/* Which blocks can still be reached is found out from outside, while we stand
 * still for a copy of what is in memory.  The answer is not waited for. */
static void let_read(struct mms_process *p, const struct mms_roots *roots)
{
	const struct mms_session *s = capture_session();

	if (s->header->no_reach || doorbell_is_silent() || !worth_a_copy(p) || !has_collector(s))
		return;
	emit_long(MMS_LONG_ROOTS, 0, roots, sizeof(*roots), NULL, 0, NULL, 0);
	process_be_read(p, MMS_REACH_ASKED);
}

/* Read first thing in a function: what its callers hold. */
static inline __attribute__((always_inline)) void callers_registers(uint64_t ret[6])
{
	__asm__ volatile("movq %%rbx, 0(%0)\n\tmovq %%rbp, 8(%0)\n\tmovq %%r12, 16(%0)\n\t"
		"movq %%r13, 24(%0)\n\tmovq %%r14, 32(%0)\n\tmovq %%r15, 40(%0)" : : "r"(ret) : "memory");
}

void process_last_word(int status, uint32_t how)
{
	struct mms_roots roots = { .sp = (uintptr_t)__builtin_frame_address(0) };
	callers_registers(roots.registers);
	if (!capture_on())
		return;
	capture_forked(); /* a child of a raw clone that never allocated */
	struct mms_process *p = capture_process();
	/* a vfork child leaves by _exit, so the exit handler is surely ours */
	bool surely = how == PROCESS_EXIT && doorbell_is_silent();
	if (!p || !(surely || process_is_own()))
		return;
	process_look(MMS_LOOK_EXIT);
	let_read(p, &roots);
	struct mms_exit note = { .status = status & 0xff, .how = how };
	emit_long(MMS_LONG_EXIT, 0, &note, sizeof(note), NULL, 0, NULL, 0);
	atomic_store_explicit(&p->status, status & 0xff, memory_order_relaxed);
	atomic_store_explicit(&p->end_stamp, capture_stamp(), memory_order_relaxed);
	atomic_store_explicit(&p->end, MMS_END_EXIT, memory_order_release);
}

static void last_word(int status, enum process_exit how)
{
	if (capture_on() || preload_enter())
		process_last_word(status, how);
}

WRAPPER void _exit(int status)
{
	last_word(status, PROCESS_UNDERSCORE);
	next._exit(status);
	mms_exit_group(status);
}

WRAPPER void _Exit(int status)
{
	last_word(status, PROCESS_UNDERSCORE);
	next._exit(status);
	mms_exit_group(status);
}

WRAPPER void quick_exit(int status)
{
	last_word(status, PROCESS_QUICK);
	next.quick_exit(status);
	mms_exit_group(status);
}
