/*
 * ring.c - blocks of the ring, handed out without a lock.
 *
 * A block is claimed by one CAS on its owner word: a process that is killed
 * between the claim and the header leaves an owner, never a lost block.  The
 * scan starts at a shared hint, so that it is short while blocks are free.
 *
 * A target may wait for the collector but never depends on it: every wait is
 * bounded, and a collector that died (its robust mutex says so) is found out
 * by whoever waits.  Raw system calls only; errno untouched.
 * Called by thread.c and process.c.
 */
#include "ring.h"

#include <mmscope/launch.h>

#include "base/sys.h"
#include "capture/death.h"

/* Enough for the collector to wake up for (fewer cost a switch each), few
 * enough that a ring that may grow to 32 MiB stays at one or two. */
#define WAKE_BLOCKS 16u
#define POPULATE_WRITE 23 /* MADV_POPULATE_WRITE, since Linux 5.14 */

static uint32_t cells_usable(const struct mms_session *s)
{
	uint32_t n = atomic_load_explicit(&s->header->n_cells_ready, memory_order_acquire);
	return n < s->n_cells_mapped ? n : s->n_cells_mapped;
}

struct mms_block *ring_claim(const struct mms_session *s, uint64_t owner)
{
	struct mms_cell0 *c = s->cell0;
	uint32_t n = cells_usable(s);
	uint32_t at = atomic_load_explicit(&s->header->ring_hint, memory_order_relaxed) % n;
	for (uint32_t i = 0; i < n; i++, at = at + 1 < n ? at + 1 : 0) {
		uint64_t nobody = 0;
		if (c->cell_kind[at] != MMS_CELL_RING ||
			atomic_load_explicit(&c->owner[at], memory_order_relaxed) != 0)
			continue;
		/* Acquire: the collector's new generation comes with its zero. */
		if (!atomic_compare_exchange_strong_explicit(
			    &c->owner[at], &nobody, owner, memory_order_acquire, memory_order_relaxed))
			continue;
		atomic_store_explicit(&s->header->ring_hint, at + 1, memory_order_relaxed);
		return (struct mms_block *)(void *)mms_cell(s, at);
	}
	return NULL;
}

void ring_touch(struct mms_block *b)
{
	mms_madvise(b, MMS_CELL_SIZE, POPULATE_WRITE);
}

static void wake_collector(const struct mms_session *s)
{
	struct mms_header *h = s->header;
	atomic_fetch_add(&h->wake_seq, 1);
	if (atomic_load(&h->collector_sleeping))
		mms_futex_wake(&h->wake_seq, 1);
}

static uint32_t ring_cells(const struct mms_session *s)
{
	uint32_t n = cells_usable(s), found = 0;
	for (uint32_t i = 0; i < n; i++)
		found += s->cell0->cell_kind[i] == MMS_CELL_RING;
	return found;
}

void ring_close(const struct mms_session *s, struct mms_block *b, enum mms_closed how, bool may_call)
{
	atomic_store_explicit(&b->closed, how, memory_order_release);
	if (how != MMS_BLOCK_CLOSED)
		return;
	uint32_t full = atomic_fetch_add(&s->header->n_full, 1) + 1;
	if (may_call && atomic_load_explicit(&s->header->collector_sleeping, memory_order_relaxed) &&
		(full >= WAKE_BLOCKS || full * 8 >= ring_cells(s)))
		wake_collector(s);
}

void ring_want(const struct mms_session *s, enum mms_cell_kind kind, bool may_call)
{
	atomic_fetch_or(&s->header->want, 1u << kind);
	if (may_call)
		wake_collector(s);
}

enum mms_collector_state ring_collector(const struct mms_session *s)
{
	struct mms_header *h = s->header;
	uint32_t state = atomic_load_explicit(&h->collector_state, memory_order_acquire);
	if (state == MMS_COLLECTOR_ALIVE && death_is_marked(&h->collector_alive)) {
		atomic_compare_exchange_strong(&h->collector_state, &state, MMS_COLLECTOR_GONE);
		state = MMS_COLLECTOR_GONE;
	}
	return (enum mms_collector_state)state;
}

/* Every block is being filled by some thread and there will be no more: a
 * wait for the collector is a wait for a thread to end. */
static bool is_pinned(const struct mms_session *s)
{
	const struct mms_header *h = s->header;
	return atomic_load(&h->n_full) == 0 && atomic_load(&h->n_cells_ready) >= h->n_cells_max;
}

/* How long nothing may move before the wait is given up; 0: do not wait. */
static uint64_t patience_ns(const struct mms_session *s, bool again)
{
	enum mms_collector_state state = ring_collector(s);
	if (s->header->policy != MMS_POLICY_BLOCK)
		return 0;
	if (state == MMS_COLLECTOR_COMING)
		return RING_COMING_NS;
	if (state != MMS_COLLECTOR_ALIVE)
		return 0;
	if (!is_pinned(s))
		return RING_PATIENCE_NS;
	return again ? 0 : RING_PINNED_NS;
}

bool ring_wait(const struct mms_session *s, uint32_t seen, struct ring_patience *p)
{
	struct mms_header *h = s->header;
	uint64_t limit = patience_ns(s, p->again), now = mms_clock_ns(CLOCK_MONOTONIC);
	if (!p->since_ns || seen != p->seen)
		*p = (struct ring_patience){ .since_ns = now, .seen = seen, .again = p->again };
	if (now - p->since_ns >= limit)
		return false;
	atomic_fetch_add(&h->n_waiting, 1);
	wake_collector(s);
	mms_futex_wait(&h->free_seq, seen, RING_WAIT_NS);
	atomic_fetch_sub(&h->n_waiting, 1);
	return true;
}
