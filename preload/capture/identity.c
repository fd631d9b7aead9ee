/*
 * identity.c - claims the process slot of an image or of a forked child.
 *
 *	T  CAS state FREE -> CLAIMED, fills in, state LIVE (release), doorbell
 *	C  reads it, and sets it FREE when the process is gone and read
 *
 * A process that is killed in between leaves CLAIMED; the doorbell that never
 * rang tells nobody, and the slot stays taken for the session.
 *
 * How an image began is read from the slots of the others: our own pid in a
 * slot that did not exit is the image that was replaced (exec), our parent's
 * pid is a parent that started us without a fork of this image.
 * Called with all signals blocked, by emit.c (start) and thread.c (fork).
 */
#include "identity.h"

#include <errno.h>

#include <mmscope/launch.h>

#include "base/doorbell.h"
#include "base/sys.h"
#include "capture/canonical.h"
#include "capture/ring.h"

struct identity identity;

static uint32_t slot_capacity(void)
{
	return MMS_PROCESSES_INLINE +
		atomic_load_explicit(&identity.session.header->n_process_cells, memory_order_acquire) *
		(uint32_t)MMS_PROCESSES_PER_CELL;
}

/* The first free slot from `from` on, taken. */
static struct mms_process *try_slot(uint32_t from, uint32_t *ret_index)
{
	uint32_t n = slot_capacity();
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = (from + i) % n, nobody = MMS_SLOT_FREE;
		struct mms_process *p = mms_process_slot(&identity.session, index);
		if (!p || atomic_load_explicit(&p->state, memory_order_relaxed) != MMS_SLOT_FREE)
			continue;
		if (!atomic_compare_exchange_strong_explicit(
			    &p->state, &nobody, MMS_SLOT_CLAIMED, memory_order_acquire, memory_order_relaxed))
			continue;
		*ret_index = index;
		return p;
	}
	return NULL;
}

/* All slots taken: asks for more and gives the collector a moment. */
static struct mms_process *claim_slot(uint32_t from, uint32_t *ret_index)
{
	const struct mms_session *s = &identity.session;
	bool may_wait = !doorbell_is_silent();
	struct ring_patience patience = { 0 };
	for (int i = 0; i < 20; i++) {
		uint32_t seen = atomic_load(&s->header->free_seq);
		struct mms_process *p = try_slot(from, ret_index);
		if (p)
			return p;
		ring_want(s, MMS_CELL_PROCESSES, may_wait);
		if (!may_wait || !ring_wait(s, seen, &patience))
			break;
	}
	atomic_fetch_add(&s->header->lost_processes, 1);
	return NULL;
}

struct origin {
	uint32_t begin, parent_pid;
	uint64_t parent_number;
};

/* Fills every field: the slot may have had another owner. */
static void fill_slot(struct mms_process *p, const struct origin *o)
{
	const struct mms_header *h = identity.session.header;
	p->pid = identity.pid;
	p->parent_pid = o->parent_pid;
	p->begin = o->begin;
	p->number = identity.number;
	p->parent_number = o->parent_number;
	p->begin_stamp = mms_stamp(h->clock);
	atomic_store_explicit(&p->end_stamp, 0, memory_order_relaxed);
	atomic_store_explicit(&p->end, MMS_END_NONE, memory_order_relaxed);
	atomic_store_explicit(&p->status, 0, memory_order_relaxed);
	atomic_store_explicit(&p->context, atomic_load(&identity.context), memory_order_relaxed);
	atomic_store_explicit(
		&p->coverage, doorbell_is_silent() ? MMS_COV_SECCOMP : 0, memory_order_relaxed);
	atomic_store_explicit(&p->n_nested, 0, memory_order_relaxed);
	atomic_store_explicit(&p->n_audited, 0, memory_order_relaxed);
	atomic_store_explicit(&p->n_audit_failed, 0, memory_order_relaxed);
	atomic_store_explicit(&p->n_lost, 0, memory_order_relaxed);
	atomic_store_explicit(&p->reach, MMS_REACH_NONE, memory_order_relaxed);
	p->engine = h->engine;
	p->self_bytes = 0; /* not known before the last word */
	atomic_store_explicit(&p->hiwater_bytes, 0, memory_order_relaxed);
	atomic_store_explicit(&p->cow_over, 0, memory_order_relaxed);
	atomic_store_explicit(&p->state, MMS_SLOT_LIVE, memory_order_release);
}

static int take_identity(uint32_t from, const struct origin *o)
{
	identity.slot = NULL;
	struct mms_process *p = claim_slot(from, &identity.index);
	if (!p)
		return -ENOSPC;
	identity.number =
		atomic_fetch_add_explicit(&identity.session.header->next_process, 1, memory_order_relaxed);
	atomic_store(&identity.next_thread, 1);
	fill_slot(p, o);
	identity.slot = p;
	doorbell_ring(&identity.session, identity.index, o->begin, identity.number);
	return 0;
}

/* The latest image with this pid that did not say good-bye; 0: none. */
static uint64_t find_number(uint32_t pid)
{
	uint64_t found = 0;
	uint32_t n = slot_capacity();
	for (uint32_t i = 0; i < n; i++) {
		const struct mms_process *p = mms_process_slot(&identity.session, i);
		if (!p || atomic_load_explicit(&p->state, memory_order_acquire) != MMS_SLOT_LIVE)
			continue;
		if (p->pid == pid && p->number > found &&
			atomic_load_explicit(&p->end, memory_order_relaxed) != MMS_END_EXIT)
			found = p->number;
	}
	return found;
}

int identity_begin(const struct mms_session *s)
{
	identity.session = *s;
	identity.pid = (uint32_t)mms_getpid();
	struct origin o = { .begin = MMS_BEGIN_EXEC, .parent_pid = (uint32_t)mms_getppid() };
	o.parent_number = find_number(identity.pid);
	if (!o.parent_number) {
		o.parent_number = find_number(o.parent_pid);
		bool first = !o.parent_number &&
			(s->header->creator_pid == identity.pid ||
				atomic_load(&s->header->next_process) == 1);
		o.begin = first ? MMS_BEGIN_START : MMS_BEGIN_SPAWN;
	}
	atomic_store(&identity.context, atomic_fetch_add(&s->header->next_context, 1));
	canonical_start(atomic_load(&identity.context));
	return take_identity(0, &o);
}

int identity_fork(void)
{
	struct origin o = { MMS_BEGIN_FORK, (uint32_t)mms_getppid(), identity.number };
	identity.pid = (uint32_t)mms_getpid();
	return take_identity(identity.index + 1, &o);
}
