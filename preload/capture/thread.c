/*
 * thread.c - states of threads, and the slow path of a record.
 *
 * The slow path runs with all signals blocked, so a handler never sees half a
 * change.  Under a system call filter it makes no call at all: a nested
 * handler then finds slow_depth raised and its record is counted as lost.
 *
 * Fork:  parent  ...record...fork..................record...
 *        child                  \ slab wiped: cursor 0, head word 0
 *                                 first record -> thread_slow -> adopt():
 *                                 process slot, doorbell, state of the one
 *                                 thread that is left, head word READY
 * Threads that the child starts meanwhile wait for the head word, briefly.
 * Nothing is held over a fork: what another thread of the parent was doing
 * is wiped away with its state.
 *
 * A dead thread's state is found dead by the next thread that needs one (the
 * kernel marked its robust mutex, and the tid is gone); until then it stays
 * usable, for destructors that free after everybody else.
 */
#include "thread.h"

#include <errno.h>
#include <stddef.h>

#include <mmscope/launch.h>

#include "base/doorbell.h"
#include "base/own.h"
#include "base/sys.h"
#include "capture/death.h"
#include "capture/emit.h"
#include "capture/identity.h"
#include "capture/ring.h"
#include "capture/sample.h"

#define SLAB_BYTES (512u << 10)      /* 8,191 threads that live at once */
#define SLAB_BYTES_SMALL (64u << 10) /* where the address space is limited: 1,023 */
#define SLAB_SLOTS (SLAB_BYTES / sizeof(struct thread_state))
#define CHUNK_SLOTS 16u              /* stack_threads mapped at once */
#define REUSE_SCAN 64u               /* states looked at before a fresh one is taken */

struct thread_state thread_sentinel;
__thread struct thread_state *thread_current
	__attribute__((tls_model("initial-exec"))) = &thread_sentinel;
__thread struct stack_thread *thread_stack __attribute__((tls_model("initial-exec")));
static _Atomic bool touches_ahead; /* thread_touch_ahead */
static __thread uint32_t slow_depth __attribute__((tls_model("initial-exec")));

/* slots[0] is the head: its `taken` says whether this process has its own
 * identity (enum head).  The rest of this struct is not wiped by fork. */
enum head { HEAD_WIPED = 0, HEAD_BUSY = 1, HEAD_READY = 2 };
static struct {
	struct thread_state *slots;
	uint32_t capacity;
	uint32_t low;          /* slots below are not to be reused */
	_Atomic uint32_t high; /* slots from here on were never used */
	_Atomic uint32_t scan;
	_Atomic(uint8_t *) chunk[SLAB_SLOTS / CHUNK_SLOTS];
	_Atomic uint32_t thread_hint; /* thread slots of the session */
} slab;

static uintptr_t thread_pointer(void)
{
	return (uintptr_t)__builtin_thread_pointer();
}

static bool may_call(void)
{
	return !doorbell_is_silent();
}

int thread_init(const struct mms_session *s)
{
	size_t bytes = mms_session_is_small(s) ? SLAB_BYTES_SMALL : SLAB_BYTES;
	long at = own_map(bytes, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	if (mms_is_error(at))
		return (int)at;
	/* Refused before Linux 4.14: a child could not be told from its parent,
	 * and both would write into one block. */
	int r = mms_madvise((void *)at, bytes, MADV_WIPEONFORK);
	if (r < 0) {
		own_unmap((void *)at, bytes);
		return r;
	}
	mms_madvise((void *)at, bytes, MADV_NOHUGEPAGE);
	slab.slots = (struct thread_state *)at;
	slab.capacity = (uint32_t)(bytes / sizeof(struct thread_state));
	slab.low = 1;
	atomic_store(&slab.high, 1);
	atomic_store_explicit(&slab.slots[0].taken, HEAD_READY, memory_order_release);
	return 0;
}

/* ---- a state of one's own ---- */

/* st is ours alone; everything but `taken` is written. */
static void fill_state(struct thread_state *st)
{
	st->cursor = 0;
	st->block = NULL;
	st->shared = NULL;
	st->shared_plus_1 = st->flags = st->slotless_seq = 0;
	st->self = thread_pointer();
	st->tid = (uint32_t)mms_gettid();
	st->number = atomic_fetch_add(&identity.next_thread, 1);
}

/* Nobody can use this state any more.  What is read may be changing hands;
 * then take_state finds that it did. */
static __attribute__((no_sanitize("thread"))) bool is_dead(const struct thread_state *st)
{
	const struct mms_thread *t = st->shared;
	if (t && (st->flags & THREAD_ROBUST) &&
		atomic_load(&t->process) == identity.index + 1 && !death_is_marked(&t->alive))
		return false;
	return may_call() && mms_tgkill((int)identity.pid, (int)st->tid, 0) == -ESRCH;
}

/* Only one of those who look at a free or dead state gets it. */
static bool take_state(struct thread_state *st)
{
	uint32_t was = atomic_load(&st->taken), kind = was & THREAD_MASK;
	if (kind == THREAD_CHANGING || (kind == THREAD_TAKEN && !is_dead(st)))
		return false;
	return atomic_compare_exchange_strong(
		&st->taken, &was, (was | THREAD_MASK) + 1 + THREAD_CHANGING);
}

static void keep_state(struct thread_state *st)
{
	uint32_t changing = atomic_load(&st->taken);
	atomic_store_explicit(&st->taken, (changing & ~(uint32_t)THREAD_MASK) | THREAD_TAKEN,
		memory_order_release);
}

static bool is_taken(const struct thread_state *st)
{
	return (atomic_load(&st->taken) & THREAD_MASK) == THREAD_TAKEN;
}

/* A state nobody has, or a dead thread's; NULL: as many threads live as there
 * are states.  *fresh: its stack memory was never touched. */
static struct thread_state *find_state(bool *fresh)
{
	uint32_t low = slab.low, high = atomic_load(&slab.high);
	uint32_t used = high - low, at = atomic_fetch_add(&slab.scan, REUSE_SCAN);
	*fresh = false;
	for (uint32_t i = 0; i < used && i < REUSE_SCAN; i++) {
		struct thread_state *st = &slab.slots[low + (at + i) % used];
		if (take_state(st))
			return st;
	}
	*fresh = true;
	while (high < slab.capacity) {
		if (!atomic_compare_exchange_weak(&slab.high, &high, high + 1))
			continue;
		/* From here on a scan of another thread may find it, too. */
		if (take_state(&slab.slots[high]))
			return &slab.slots[high];
		high = atomic_load(&slab.high);
	}
	return NULL;
}

/* Stack memory comes with the place in the slab, 16 at a time. */
static uint8_t *stack_memory(struct thread_state *st)
{
	uint32_t index = (uint32_t)(st - slab.slots);
	_Atomic(uint8_t *) *chunk = &slab.chunk[index / CHUNK_SLOTS];
	size_t each = stack_thread_bytes();
	uint8_t *at = atomic_load(chunk);
	if (!at) {
		long r = own_map(each * CHUNK_SLOTS, PROT_READ | PROT_WRITE, MAP_NORESERVE);
		if (mms_is_error(r))
			return NULL;
		mms_madvise((void *)r, each * CHUNK_SLOTS, MADV_NOHUGEPAGE);
		if (atomic_compare_exchange_strong(chunk, &at, (uint8_t *)r))
			at = (uint8_t *)r;
		else
			own_unmap((void *)r, each * CHUNK_SLOTS);
	}
	return at + index % CHUNK_SLOTS * each;
}

static void give_stack(struct thread_state *st, bool fresh)
{
	if (thread_stack || !may_call())
		return;
	uint8_t *memory = stack_memory(st);
	if (!memory)
		return;
	if (!fresh) /* zero again, and no memory until it is used */
		mms_madvise(memory, stack_thread_bytes(), MADV_DONTNEED);
	thread_stack = stack_thread_init(memory, 0, 0);
}

static bool is_mine(const struct thread_state *st)
{
	return st != &thread_sentinel && is_taken(st) &&
		st->self == thread_pointer();
}

static struct thread_state *own_state(void)
{
	struct thread_state *st = thread_get();
	bool fresh;
	if (is_mine(st))
		return st;
	st = find_state(&fresh);
	if (!st)
		return NULL;
	fill_state(st);
	give_stack(st, fresh);
	keep_state(st);
	__atomic_store_n(&thread_current, st, __ATOMIC_RELAXED);
	return st;
}

/* ---- the forked child ---- */

/* The slab is wiped.  When the thread that survived comes first, as it does
 * but for raw clones, it keeps its place, and all other places are free; else
 * the survivor may still write through its pointer, and no old place is. */
static void adopt(void)
{
	struct thread_state *st = thread_get();
	bool survivor = st != &thread_sentinel;
	slab.low = survivor ? 1 : atomic_load(&slab.high);
	sample_forked();
	if (identity_fork() < 0) {
		capture_stop();
		return;
	}
	if (!survivor)
		return;
	fill_state(st);
	keep_state(st);
}

/* True when this process has a slot of its own. */
static bool have_identity(void)
{
	_Atomic uint32_t *head = &slab.slots[0].taken;
	uint32_t word = HEAD_WIPED;
	if (atomic_load_explicit(head, memory_order_acquire) == HEAD_READY)
		return identity.slot != NULL;
	if (atomic_compare_exchange_strong(head, &word, HEAD_BUSY)) {
		adopt();
		atomic_store_explicit(head, HEAD_READY, memory_order_release);
	}
	/* Another thread is at it: 14 us, but it may have to wait for a slot. */
	for (int i = 0; i < 10000 && atomic_load(head) != HEAD_READY; i++)
		mms_sched_yield();
	return atomic_load(head) == HEAD_READY && identity.slot;
}

/* ---- the slow path ---- */

/* A place in the session's table of threads, and the kernel's promise. */
static void claim_shared(struct thread_state *st)
{
	const struct mms_session *s = &identity.session;
	uint32_t n = MMS_THREADS_INLINE +
		atomic_load_explicit(&s->header->n_thread_cells, memory_order_acquire) *
			(uint32_t)MMS_THREADS_PER_CELL;
	uint32_t from = atomic_load_explicit(&slab.thread_hint, memory_order_relaxed);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = (from + i) % n, nobody = 0;
		struct mms_thread *t = mms_thread_slot(s, index);
		if (!t || atomic_load_explicit(&t->process, memory_order_relaxed) != 0 ||
			!atomic_compare_exchange_strong(&t->process, &nobody, identity.index + 1))
			continue;
		t->tid = st->tid;
		atomic_store_explicit(&t->n_lost, 0, memory_order_relaxed);
		atomic_store_explicit(&t->next_seq, 0, memory_order_relaxed);
		atomic_store_explicit(&t->barred, 0, memory_order_relaxed);
		atomic_store_explicit(&slab.thread_hint, index + 1, memory_order_relaxed);
		st->shared_plus_1 = index + 1;
		st->shared = t;
		return;
	}
	ring_want(s, MMS_CELL_THREADS, may_call());
}

static void prepare_shared(struct thread_state *st)
{
	if (!st->shared)
		claim_shared(st);
	if (st->shared && !(st->flags & THREAD_ROBUST) && may_call() &&
		death_register(&st->shared->alive, st->tid))
		st->flags |= THREAD_ROBUST;
}

static uint32_t next_seq(struct thread_state *st)
{
	if (!st->shared)
		return st->slotless_seq++;
	return atomic_fetch_add_explicit(&st->shared->next_seq, 1, memory_order_relaxed);
}

static void open_block(struct thread_state *st, struct mms_block *b)
{
	b->process_number = identity.number;
	b->pid = identity.pid;
	b->tid = st->tid;
	b->thread_number = st->number;
	b->thread_seq = next_seq(st);
	b->tcb = (uintptr_t)__builtin_thread_pointer();
	atomic_store_explicit(&b->closed, MMS_BLOCK_OPEN, memory_order_relaxed);
	atomic_store_explicit(
		&b->base_stamp, mms_stamp(identity.session.header->clock), memory_order_release);
	st->block = b;
	st->flags &= ~(uint32_t)THREAD_DROPPING;
	__atomic_store_n(&st->cursor, (uintptr_t)b + MMS_BLOCK_FIRST, __ATOMIC_RELEASE);
}

/* The collector says that it left too many records unfinished. */
static bool is_barred(const struct thread_state *st)
{
	return st->shared && atomic_load_explicit(&st->shared->barred, memory_order_relaxed);
}

enum advance { ADVANCED, NO_BLOCK, NO_STATE /* nor will there be a block */ };

/* Brings the thread to a cursor that is not spent.  *seen: free_seq before
 * the ring was found full. */
static enum advance advance(uint32_t *seen)
{
	const struct mms_session *s = &identity.session;
	struct thread_state *st = have_identity() ? own_state() : NULL;
	if (!st)
		return NO_STATE;
	if (!thread_spent(__atomic_load_n(&st->cursor, __ATOMIC_RELAXED)))
		return ADVANCED; /* a handler was here */
	if (st->block)
		ring_close(s, st->block, MMS_BLOCK_CLOSED, may_call());
	st->block = NULL;
	prepare_shared(st);
	if (is_barred(st))
		return NO_STATE;
	*seen = atomic_load(&s->header->free_seq);
	st->drop_seq = *seen;
	st->drop_cells = atomic_load(&s->header->n_cells_ready);
	struct mms_block *b = ring_claim(s, mms_owner_word(identity.index, st->shared_plus_1));
	if (!b) {
		ring_want(s, MMS_CELL_RING, may_call());
		return NO_BLOCK;
	}
	if (atomic_load_explicit(&touches_ahead, memory_order_relaxed) && may_call())
		ring_touch(b);
	open_block(st, b);
	return ADVANCED;
}

/* A spent cursor back to where the next reservation is spent as well: left
 * alone it would run into the next block. */
static void rewind_cursor(struct thread_state *st)
{
	uintptr_t at = __atomic_load_n(&st->cursor, __ATOMIC_RELAXED);
	if (thread_spent(at) && at)
		thread_move_cursor(st, at, 0);
}

static bool lost(void)
{
	struct thread_state *st = thread_get();
	if (is_mine(st) && st->shared)
		atomic_fetch_add_explicit(&st->shared->n_lost, 1, memory_order_relaxed);
	else if (identity.slot)
		atomic_fetch_add_explicit(&identity.slot->n_lost, 1, memory_order_relaxed);
	rewind_cursor(st);
	return false;
}

/* The ring is full and nobody will empty it: what follows is dropped without
 * asking again until a block or a cell has come back. */
static bool give_up(void)
{
	struct thread_state *st = thread_get();
	if (is_mine(st))
		st->flags |= THREAD_DROPPING;
	if (ring_collector(&identity.session) == MMS_COLLECTOR_GONE) {
		atomic_fetch_or(&identity.slot->coverage, MMS_COV_COLLECTOR_GONE);
		capture_stop();
	}
	return lost();
}

static bool is_dropping(void)
{
	const struct thread_state *st = thread_get();
	const struct mms_header *h = identity.session.header;
	if (!st->block && is_mine(st) && is_barred(st))
		return true;
	return (st->flags & THREAD_DROPPING) &&
		atomic_load_explicit(&h->free_seq, memory_order_relaxed) == st->drop_seq &&
		atomic_load_explicit(&h->n_cells_ready, memory_order_relaxed) == st->drop_cells;
}

/* Runs one attempt with no signal able to come between. */
static enum advance advance_alone(uint32_t *seen)
{
	bool calls = may_call();
	if (!calls && slow_depth)
		return NO_STATE;
	uint64_t mask = calls ? mms_signals_block() : 0;
	slow_depth++;
	enum advance r = advance(seen);
	slow_depth--;
	if (calls)
		mms_signals_set(mask);
	return r;
}

bool thread_slow(void)
{
	struct ring_patience patience = { .again = thread_get()->flags & THREAD_DROPPING };
	if (!slab.slots)
		return false;
	for (;;) {
		uint32_t seen = 0;
		rewind_cursor(thread_get());
		if (is_dropping())
			return lost();
		switch (advance_alone(&seen)) {
		case ADVANCED:
			return true;
		case NO_STATE:
			return lost();
		case NO_BLOCK:
			/* Waits with the target's signals let through. */
			if (!may_call() || !ring_wait(&identity.session, seen, &patience))
				return give_up();
		}
	}
}

/* ---- the rest ---- */

struct stack_thread *thread_make_stack(void)
{
	if (!may_call())
		return NULL;
	uint64_t mask = mms_signals_block();
	struct thread_state *st = have_identity() ? own_state() : NULL;
	if (st && !thread_stack)
		give_stack(st, false);
	mms_signals_set(mask);
	return thread_stack;
}

bool thread_is_new_child(void)
{
	return slab.slots && atomic_load_explicit(&slab.slots[0].taken, memory_order_acquire) != HEAD_READY;
}

void thread_touch_ahead(void)
{
	struct thread_state *st = thread_get();

	atomic_store(&touches_ahead, true);
	if (is_mine(st) && st->block)
		ring_touch(st->block);
}

void thread_lost(void)
{
	lost();
}

void thread_forked(void)
{
	bool calls = may_call();
	uint64_t mask = calls ? mms_signals_block() : 0;
	have_identity();
	if (calls)
		mms_signals_set(mask);
}

void thread_end(void)
{
	struct thread_state *st = thread_get();
	bool calls = may_call();
	if (!slab.slots || !is_mine(st))
		return;
	uint64_t mask = calls ? mms_signals_block() : 0;
	struct mms_block *b = st->block;
	__atomic_store_n(&st->cursor, 0, __ATOMIC_RELAXED);
	st->block = NULL;
	if (b)
		ring_close(&identity.session, b, MMS_BLOCK_RETURNED, calls);
	if (calls)
		mms_signals_set(mask);
}

uint32_t thread_tid_of(uintptr_t self)
{
	uint32_t high = atomic_load(&slab.high);
	for (uint32_t i = 1; i < high; i++)
		if (is_taken(&slab.slots[i]) && slab.slots[i].self == self)
			return slab.slots[i].tid;
	return 0;
}
