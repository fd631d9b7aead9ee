/*
 * pair.c - tolerant pairing: what does not fit when it comes.
 *
 * Stamps of different threads slip by up to 0.3 us (PIPELINE 2), so a free
 * may come before its allocation, and an allocation before the free of the
 * block that had its address.  Both wait PAIR_WINDOW_NS in a list.  The lists
 * are empty nearly always and never long: what is older than the window is
 * decided at the next event.  A process with one thread never waits.
 *
 *   early    free X (B) ................ alloc X (A): pair them.
 *            Only of ANOTHER thread, whose records are not ordered with these.
 *            (But see struct recent.)
 *   pending  alloc X (A), alloc X (B) .. free X (C != B): the first is freed,
 *            the second takes its place.
 *            A free by B itself is of its own block: records of one thread
 *            are in order.
 *   decided  a pending one whose free never came: the outer of two calls of
 *            one thread that gave the same block (calloc calling malloc; the
 *            inner is taken back), or the free was lost.
 */
#include "model/process.h"

#include <errno.h>
#include <string.h>

/* ---- early frees ---- */

void pair_free_unknown(struct model_process *p, uint64_t address)
{
	struct estimate_part part;

	if (inherit_find(p, address, &part))
		inherit_gone(p, address, &part);
	else if (!*p->state->partial)
		p->unknown_frees++;
}

/* Has another thread's free just taken a block at this address? */
static bool freed_just_now(const struct process_state *st, uint64_t address, uint32_t thread, uint64_t t_ns)
{
	for (size_t i = 0; i < RECENT_FREES; i++) {
		const struct recent *r = &st->recent[i];

		if (r->address == address && r->thread != thread && t_ns - r->t_ns <= PAIR_WINDOW_NS)
			return true;
	}
	return false;
}

void pair_early_add(struct model *m, struct model_process *p, uint64_t address, uint32_t thread,
	bool in_flight, uint64_t t_ns)
{
	struct process_state *st = p->state;
	struct estimate_part part;

	/* An inherited block cannot be given out again before it is freed: this
	 * is that free, no other can be meant. */
	if (!in_flight && (p->n_threads <= 1 || inherit_find(p, address, &part))) {
		pair_free_unknown(p, address);
		return;
	}
	if (!model_reserve(&st->early, &st->early_capacity, st->n_early, sizeof(*st->early))) {
		model_dropped(m);
		return;
	}
	st->early[st->n_early++] = (struct early){
		.address = address, .t_ns = t_ns, .thread = thread, .in_flight = in_flight,
		.any_thread = freed_just_now(st, address, thread, t_ns) };
}

static void early_remove(struct process_state *st, size_t at)
{
	st->n_early--;
	memmove(&st->early[at], &st->early[at + 1], (st->n_early - at) * sizeof(*st->early));
}

/* The realloc that waits with this address. */
static struct flight *flight_of(struct model_process *p, uint32_t thread, uint64_t address, enum flight_kind kind)
{
	uint32_t at = thread_at(p, thread, 0);
	struct thread_state *th = &p->state->thread_state[at];

	for (uint32_t i = 0; at != INDEX_NONE && i < th->n_flights; i++)
		if (th->flights[i].kind == kind && th->flights[i].block.address == address)
			return &th->flights[i];
	return NULL;
}

static bool early_fits(const struct early *e, const struct live_block *b)
{
	return e->address == b->address && (e->thread != b->thread || e->any_thread);
}

bool pair_early_match(struct model *m, struct model_process *p, const struct live_block *b, bool realloc_in)
{
	struct process_state *st = p->state;
	struct flight *f = NULL;
	size_t i = 0;

	while (i < st->n_early && !early_fits(&st->early[i], b))
		i++;
	if (i == st->n_early)
		return false;
	struct early e = st->early[i];
	early_remove(st, i);
	count_alloc(m, p, b, realloc_in);
	p->repaired++;
	pair_note_free(st, e.address, e.thread, b->t_ns);
	if (e.in_flight)
		f = flight_of(p, e.thread, e.address, FLIGHT_EARLY);
	if (f) {
		f->kind = FLIGHT_KNOWN;
		f->block = *b;
	} else {
		count_free(m, p, b, e.thread, false, b->t_ns);
	}
	return true;
}

void pair_early_landed(struct model_process *p, uint64_t address, uint32_t thread, bool failed)
{
	struct process_state *st = p->state;

	for (size_t i = 0; i < st->n_early; i++) {
		if (st->early[i].address != address || st->early[i].thread != thread || !st->early[i].in_flight)
			continue;
		st->early[i].in_flight = false;
		if (failed)
			early_remove(st, i);
		return;
	}
}

/* Its allocation did not come. */
static void early_decide(struct model_process *p, const struct early *e)
{
	struct flight *f = e->in_flight ? flight_of(p, e->thread, e->address, FLIGHT_EARLY) : NULL;

	if (f)
		f->kind = FLIGHT_UNKNOWN; /* counted when the realloc ends: it may fail */
	else
		pair_free_unknown(p, e->address);
}

/* ---- pending allocations ---- */

static void pending_remove(struct process_state *st, size_t at)
{
	st->n_pending--;
	memmove(&st->pending[at], &st->pending[at + 1], (st->n_pending - at) * sizeof(*st->pending));
}

/* The address is free now: the allocation counts. */
static void pending_activate(struct model *m, struct model_process *p, const struct pending *w)
{
	struct live_block b;

	if (live_insert(p->live, &w->block) < 0) {
		model_dropped(m);
		return;
	}
	count_alloc(m, p, &w->block, w->realloc_in);
	if (w->freed && live_take(p->live, w->block.address, &b))
		count_free(m, p, &b, w->block.thread, w->temporary, w->freed_ns);
}

/* In their order, as far as each was freed. */
bool pair_pending_activate(struct model *m, struct model_process *p, uint64_t address)
{
	struct process_state *st = p->state;
	bool again = true, any = false;

	for (size_t i = 0; i < st->n_pending && again;) {
		struct pending w = st->pending[i];

		if (w.block.address != address) {
			i++;
			continue;
		}
		pending_remove(st, i);
		pending_activate(m, p, &w);
		again = w.freed;
		any = true;
	}
	p->repaired += any;
	return any;
}

/* It was given and freed by its own thread before the block that is live now
 * was given: only the stamp of that one had slipped. */
static bool was_first(const struct model_process *p, const struct pending *w)
{
	struct live_block old;

	return w->freed && !w->nested && live_find(p->live, w->block.address, &old) &&
		w->block.t_ns - old.t_ns <= PAIR_WINDOW_NS;
}

/* No free came: the outer of two calls, or a lost free. */
static void pending_decide(struct model *m, struct model_process *p, const struct pending *w)
{
	struct live_block old;

	if (was_first(p, w)) {
		count_alloc(m, p, &w->block, w->realloc_in);
		count_free(m, p, &w->block, w->block.thread, w->temporary, w->freed_ns);
		p->repaired++;
		return;
	}
	if (live_take(p->live, w->block.address, &old)) {
		if (w->nested) {
			uncount_alloc(m, p, &old);
			p->nested_allocs++;
		} else {
			count_free(m, p, &old, w->block.thread, false, w->block.t_ns);
			p->replaced++;
		}
	}
	pending_activate(m, p, w);
}

void pair_pending_add(struct model *m, struct model_process *p, const struct pending *new)
{
	struct process_state *st = p->state;
	struct live_block old;
	struct pending w = *new;

	if (live_find(p->live, w.block.address, &old) &&
		((old.thread ^ w.block.thread) & LIVE_THREAD_MASK))
		w.nested = false;
	if (p->n_threads <= 1) {
		pending_decide(m, p, &w);
		return;
	}
	if (!model_reserve(&st->pending, &st->pending_capacity, st->n_pending, sizeof(*st->pending))) {
		model_dropped(m);
		return;
	}
	st->pending[st->n_pending++] = w;
}

/* This thread's own allocation of the address that is pending and not freed. */
static struct pending *pending_own(struct process_state *st, uint64_t address, uint32_t thread)
{
	for (size_t i = st->n_pending; i-- > 0;) {
		struct pending *w = &st->pending[i];

		if (w->block.address == address && w->block.thread == thread && !w->freed)
			return w;
	}
	return NULL;
}

bool pair_pending_free(struct model *m, struct model_process *p, uint64_t address, uint32_t thread,
	bool temporary, uint64_t t_ns)
{
	struct process_state *st = p->state;
	struct pending *own = pending_own(st, address, thread);
	struct live_block old;
	size_t i = 0;

	if (own) {
		own->freed = true;
		own->temporary = temporary;
		own->freed_ns = t_ns;
		return true;
	}
	while (i < st->n_pending && st->pending[i].block.address != address)
		i++;
	if (i == st->n_pending || !live_take(p->live, address, &old))
		return false;
	pair_note_free(st, address, thread, t_ns);
	count_free(m, p, &old, thread, false, t_ns);
	pair_pending_activate(m, p, address);
	return true;
}

bool pair_pending_take(struct model_process *p, uint64_t address, uint32_t thread, uint64_t t_ns)
{
	struct pending *own = pending_own(p->state, address, thread);

	if (!own)
		return false;
	own->freed = true;
	own->freed_ns = t_ns;
	return true;
}

void pair_pending_restore(struct model_process *p, uint64_t address, uint32_t thread)
{
	struct process_state *st = p->state;

	for (size_t i = st->n_pending; i-- > 0;) {
		struct pending *w = &st->pending[i];

		if (w->block.address == address && w->block.thread == thread && w->freed) {
			w->freed = false;
			return;
		}
	}
}

void pair_expire(struct model *m, struct model_process *p, uint64_t now_ns)
{
	struct process_state *st = p->state;

	while (st->n_early && (now_ns == UINT64_MAX || st->early[0].t_ns + PAIR_WINDOW_NS < now_ns)) {
		struct early e = st->early[0];

		early_remove(st, 0);
		early_decide(p, &e);
	}
	while (st->n_pending &&
		(now_ns == UINT64_MAX || st->pending[0].block.t_ns + PAIR_WINDOW_NS < now_ns)) {
		struct pending w = st->pending[0];

		pending_remove(st, 0);
		pending_decide(m, p, &w);
	}
}
