/*
 * thread.h - what a thread needs to record, and the way to its block.
 *
 * The state of a thread is one 64-byte slot of a slab that the kernel wipes
 * in the child of a fork (MADV_WIPEONFORK).  A wiped cursor is 0, and 0 is a
 * spent cursor: so the one test of the hot path sees a full block, a new
 * thread and a forked child alike.
 *
 * A thread without state points to a shared sentinel.  Several threads may
 * bump it at once; what they get lies below the first 64 KiB of the address
 * space, which is the second half of the test (thread_spent).
 */
#ifndef CAPTURE_THREAD_H
#define CAPTURE_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include <mmscope/ring.h>
#include <mmscope/session.h>

#include "base/ours.h"
#include "capture/stack.h"

struct thread_state {
	uintptr_t cursor;          /* where the next record goes; 0: nowhere yet */
	struct mms_block *block;   /* the one being filled, NULL: none */
	struct mms_thread *shared; /* NULL: no thread slot was free */
	uintptr_t self;            /* thread pointer of the owner */
	_Atomic uint32_t taken;    /* enum thread_taken in the low two bits, above them how
	                            * often: a state that died and was taken again in
	                            * between is not the one that was looked at */
	uint32_t shared_plus_1;    /* index of the thread slot + 1 */
	uint32_t tid;
	uint32_t number;           /* in the process, from 1 */
	uint32_t flags;            /* enum thread_flag */
	uint32_t drop_seq;         /* free_seq when the ring was found full */
	uint32_t drop_cells;       /* n_cells_ready then */
	uint32_t slotless_seq;     /* block count of a thread without a slot */
};
_Static_assert(sizeof(struct thread_state) == 64, "one slot");

enum thread_taken { THREAD_FREE = 0, THREAD_TAKEN = 1, THREAD_CHANGING = 2, THREAD_MASK = 3 };
enum thread_flag {
	THREAD_DROPPING = 1, /* no block, and no use in asking before something moves */
	THREAD_ROBUST = 2,   /* the kernel will tell of our death */
};

OURS extern struct thread_state thread_sentinel;
extern __thread struct thread_state *thread_current __attribute__((tls_model("initial-exec")));
extern __thread struct stack_thread *thread_stack __attribute__((tls_model("initial-exec")));

/* Reserves n bytes.  One instruction without a lock prefix: atomic against
 * the signals of this thread, and nobody else uses the cursor. */
static inline uintptr_t thread_reserve(struct thread_state *st, uintptr_t n)
{
	__asm__ volatile("xaddq %0, %1" : "+r"(n), "+m"(st->cursor) : : "memory", "cc");
	return n;
}

/* Moves the cursor from `from` to `to` unless a handler was quicker. */
static inline bool thread_move_cursor(struct thread_state *st, uintptr_t from, uintptr_t to)
{
	bool done;
	__asm__ volatile("cmpxchgq %3, %1"
			 : "+a"(from), "+m"(st->cursor), "=@ccz"(done)
			 : "r"(to)
			 : "memory");
	return done;
}

static inline struct thread_state *thread_get(void)
{
	return __atomic_load_n(&thread_current, __ATOMIC_RELAXED); /* handlers change it */
}

/* Nothing may be written at p. */
static inline bool thread_spent(uintptr_t p)
{
	return __builtin_expect(mms_cursor_spent(p) || !mms_block_of(p), 0);
}

/* First call of the process: the slab.  0 or -errno. */
int thread_init(const struct mms_session *s);

/* After a spent cursor.  True: reserve again; false: the record is lost, and
 * counted. */
bool thread_slow(void);

/* Gives this thread a stack_thread; NULL when that is not possible. */
struct stack_thread *thread_make_stack(void);

/* A forked child that has no identity of its own yet. */
bool thread_is_new_child(void);

/* A record that could not be made is counted as lost. */
void thread_lost(void);

/* In a forked child: its own identity, now. */
void thread_forked(void);

/* From now on blocks are touched when they are taken: page faults are counted. */
void thread_touch_ahead(void);

/* Closes the block of the calling thread, to be given back soon. */
void thread_end(void);

/* tid of the thread with this thread pointer; 0: it has no state. */
uint32_t thread_tid_of(uintptr_t self);

#endif
