/*
 * model.c - heap events: what was given out, given back, moved.
 *
 * Called by collect/feed.c in the order of time; by tests.  An event that
 * fits (allocation of an address that is not live, free of one that is) is
 * counted at once; what does not fit goes to pair.c.  Knows neither rings nor
 * SQLite; prints nothing.
 *
 * realloc: between begin and end the old block is in flight: out of the live
 * table, since its address may be given out again at once, but still counted,
 * so that the total does not dip and a failure is undone exactly.
 *
 * Millions of events a second come here.  The usual ones (is_plain) run through
 * one function without a call: what they touch is a group of the live table, the
 * site and the process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/count.h"
#include "model/live_group.h"

#define INLINE static inline __attribute__((always_inline)) /* part of every event */

/* What every event does first: position of its thread.  INDEX_NONE: no memory. */
INLINE uint32_t begin(struct model *m, struct model_process *p, uint32_t thread, uint64_t t_ns)
{
	struct process_state *st = p->state;
	uint32_t at;

	if (t_ns > m->now_ns)
		m->now_ns = t_ns;
	at = thread_at(p, thread, t_ns);
	if (__builtin_expect(at == INDEX_NONE, 0))
		model_dropped(m);
	if (__builtin_expect((st->n_early | st->n_pending) != 0, 0))
		pair_expire(m, p, t_ns);
	return at;
}

/* The same for events that are not the usual ones. */
static struct thread_state *begin_rare(struct model *m, struct model_process *p, uint32_t thread, uint64_t t_ns)
{
	uint32_t at = begin(m, p, thread, t_ns);

	return at == INDEX_NONE ? NULL : &p->state->thread_state[at];
}

/* Nothing waits for a partner, blocks count for themselves and nobody wants to
 * know what is freed. */
INLINE bool is_plain(const struct model_process *p)
{
	const struct process_state *st = p->state;

	return !(st->n_early | st->n_pending | p->sampled | st->ghosting);
}

INLINE const struct estimate_part *one_block(struct estimate_part *part, uint64_t size)
{
	*part = (struct estimate_part){ .blocks = 1, .bytes = size };
	return part;
}

static __attribute__((noinline)) void alloc_rare(struct model *m, struct model_process *p, uint32_t at,
	const struct live_block *b, bool realloc_in)
{
	struct thread_state *th = &p->state->thread_state[at];
	bool again = th->last_alloc == b->address;
	int r;

	th->last_alloc = b->address;
	if (p->state->n_early && pair_early_match(m, p, b, realloc_in)) {
		th->last_alloc = 0;
		return;
	}
	r = live_insert(p->live, b);
	if (r == 0) {
		count_alloc(m, p, b, realloc_in);
	} else if (r == -EEXIST) {
		pair_pending_add(m, p, &(struct pending){ .block = *b, .nested = again, .realloc_in = realloc_in });
	} else {
		model_dropped(m);
	}
}

INLINE void alloc_event(struct model *m, struct model_process *p, uint32_t thread, uint64_t address,
	uint64_t size, uint32_t stack, uint64_t t_ns, bool realloc_in)
{
	uint32_t at = begin(m, p, thread, t_ns);
	struct live_block b = { .address = address, .size = size, .t_ns = t_ns, .thread = thread };
	struct estimate_part part;

	if (at == INDEX_NONE || !address)
		return;
	b.site = site_at(m, p, stack, t_ns);
	if (b.site == INDEX_NONE)
		return;
	if (__builtin_expect(!is_plain(p) || !live_insert_home(p->live, &b), 0)) {
		struct live_block rare = b;

		alloc_rare(m, p, at, &rare, realloc_in);
		return;
	}
	p->state->thread_state[at].last_alloc = address;
	count_in(m, p, p->sites[b.site], &p->threads[at], &b, one_block(&part, size), realloc_in);
}

void model_alloc(struct model *m, struct model_process *p, uint32_t thread, uint64_t address,
	uint64_t size, uint32_t stack, uint64_t t_ns)
{
	alloc_event(m, p, thread, address, size, stack, t_ns, false);
}

static __attribute__((noinline)) void release_rare(struct model *m, struct model_process *p, uint32_t thread,
	uint64_t address, bool temporary, uint64_t t_ns)
{
	struct live_block b;

	if (p->state->n_pending && pair_pending_free(m, p, address, thread, temporary, t_ns))
		return;
	if (!live_take(p->live, address, &b)) {
		pair_early_add(m, p, address, thread, false, t_ns);
		return;
	}
	if (p->n_threads > 1)
		pair_note_free(p->state, address, thread, t_ns);
	count_free(m, p, &b, thread, temporary, t_ns);
}

void model_release(struct model *m, struct model_process *p, uint32_t thread, uint64_t address, bool alone,
	uint64_t t_ns)
{
	uint32_t at = begin(m, p, thread, t_ns);
	struct live_block b;
	struct estimate_part part;

	if (at == INDEX_NONE || !address)
		return;
	struct thread_state *th = &p->state->thread_state[at];
	bool temporary = p->sampled ? alone : th->last_alloc == address;
	th->last_alloc = 0;
	if (__builtin_expect(!is_plain(p) || !live_take_home(p->live, address, &b), 0)) {
		release_rare(m, p, thread, address, temporary, t_ns);
		return;
	}
	if (p->n_threads > 1)
		pair_note_free(p->state, address, thread, t_ns);
	count_out(m, p, p->sites[b.site], &b, one_block(&part, b.size), thread, temporary, t_ns);
}

/* A begin that never got its end (longjmp out of a realloc): the block lives. */
static void flight_forget_oldest(struct model *m, struct model_process *p, struct thread_state *th, uint64_t t_ns)
{
	struct flight f = th->flights[0];

	th->n_flights--;
	memmove(th->flights, th->flights + 1, th->n_flights * sizeof(f));
	if (f.kind == FLIGHT_KNOWN && live_insert(p->live, &f.block) < 0)
		count_free(m, p, &f.block, f.block.thread, false, t_ns);
}

void model_realloc_begin(struct model *m, struct model_process *p, uint32_t thread, uint64_t old, uint64_t t_ns)
{
	struct thread_state *th = begin_rare(m, p, thread, t_ns);
	struct process_state *st = p->state;
	struct flight f = { .kind = FLIGHT_KNOWN };
	bool taken = false;
	struct estimate_part part;

	if (!th || !old)
		return;
	if (!th->flights && !(th->flights = calloc(FLIGHTS_MAX, sizeof(*th->flights)))) {
		model_dropped(m);
		return;
	}
	if (th->n_flights == FLIGHTS_MAX)
		flight_forget_oldest(m, p, th, t_ns);
	f.was_last = th->last_alloc == old && !p->sampled;
	th->last_alloc = 0;
	if (st->n_pending && pair_pending_take(p, old, thread, t_ns))
		f.kind = FLIGHT_PENDING;
	else if (!live_take(p->live, old, &f.block))
		f.kind = p->n_threads > 1 && !inherit_find(p, old, &part) ? FLIGHT_EARLY : FLIGHT_UNKNOWN;
	else
		taken = true;
	f.block.address = old;
	th->flights[th->n_flights++] = f;
	if (taken) {
		pair_note_free(st, old, thread, t_ns);
		if (st->n_pending)
			pair_pending_activate(m, p, old);
	}
	if (f.kind == FLIGHT_EARLY)
		pair_early_add(m, p, old, thread, true, t_ns);
}

void model_realloc_end(struct model *m, struct model_process *p, uint32_t thread, uint64_t address,
	uint64_t size, uint32_t stack, uint64_t t_ns)
{
	struct thread_state *th = begin_rare(m, p, thread, t_ns);

	if (th && th->n_flights) {
		struct flight *f = &th->flights[--th->n_flights];

		if (f->kind == FLIGHT_KNOWN)
			count_free(m, p, &f->block, thread, false, t_ns);
		else if (f->kind == FLIGHT_EARLY)
			pair_early_landed(p, f->block.address, thread, false);
		else if (f->kind == FLIGHT_UNKNOWN)
			pair_free_unknown(p, f->block.address);
	}
	alloc_event(m, p, thread, address, size, stack, t_ns, true);
}

/* Takes the flight of that block out, the latest first.  The record of a
 * failure holds bits 3 to 46 of the address. */
#define FAIL_ADDRESS_BITS 0x7ffffffffff8ull
static bool flight_take(struct thread_state *th, uint64_t old, struct flight *ret)
{
	for (uint32_t i = th->n_flights; i-- > 0;) {
		if ((th->flights[i].block.address ^ old) & FAIL_ADDRESS_BITS)
			continue;
		*ret = th->flights[i];
		th->n_flights--;
		memmove(&th->flights[i], &th->flights[i + 1], (th->n_flights - i) * sizeof(*ret));
		return true;
	}
	return false;
}

static void flight_undo(struct model *m, struct model_process *p, uint32_t thread, const struct flight *f, uint64_t t_ns)
{
	if (f->kind == FLIGHT_EARLY)
		pair_early_landed(p, f->block.address, thread, true);
	else if (f->kind == FLIGHT_PENDING)
		pair_pending_restore(p, f->block.address, thread);
	else if (f->kind == FLIGHT_KNOWN && live_insert(p->live, &f->block) < 0)
		count_free(m, p, &f->block, thread, false, t_ns);
}

void model_realloc_fail(struct model *m, struct model_process *p, uint32_t thread, uint64_t old, bool freed, uint64_t t_ns)
{
	struct thread_state *th = begin_rare(m, p, thread, t_ns);
	struct flight f;

	if (!th || !flight_take(th, old, &f))
		return;
	if (!freed) {
		flight_undo(m, p, thread, &f, t_ns);
		return;
	}
	if (f.kind == FLIGHT_KNOWN)
		count_free(m, p, &f.block, thread, f.was_last, t_ns);
	else if (f.kind == FLIGHT_EARLY)
		pair_early_landed(p, f.block.address, thread, false);
	else if (f.kind == FLIGHT_UNKNOWN)
		pair_free_unknown(p, f.block.address);
}

bool model_is_large(const struct model_process *p)
{
	return p->live->n > LIVE_AHEAD_WORTH;
}

void model_ahead_far(const struct model_process *p, uint64_t address)
{
	live_ahead_far(p->live, address);
}

void model_ahead_near(const struct model_process *p, uint64_t address)
{
	live_ahead_near(p->live, address);
}

void model_round(struct model *m, uint64_t horizon_ns)
{
	struct lineage *l = m->lineage;
	size_t n = 0;

	for (size_t i = 0; i < l->n_active; i++) {
		struct model_process *p = l->active[i];

		if (p->state->n_early || p->state->n_pending)
			pair_expire(m, p, horizon_ns);
		if (p->state->n_open_forks)
			inherit_round(p, horizon_ns);
		if (p->n_threads > p->state->merge_at)
			threads_merge(p, m->now_ns);
		if (process_is_active(p->state))
			l->active[n++] = p;
	}
	l->n_active = n;
}

void model_settle(struct model *m)
{
	for (size_t i = 0; i < m->n_processes; i++)
		sites_settle(m, m->processes[i]);
}

struct live_walk {
	const struct model_process *p;
	void (*fn)(void *arg, uint64_t address, uint64_t size, uint32_t stack, uint32_t thread, uint64_t t_ns);
	void *arg;
};

static void live_walk_one(void *arg, const struct live_block *b)
{
	struct live_walk *w = arg;

	w->fn(w->arg, b->address, b->size, w->p->sites[b->site]->stack, b->thread, b->t_ns);
}

bool model_is_moving(const struct model_process *p)
{
	for (size_t i = 0; i < p->n_threads; i++)
		if (p->state->thread_state[i].n_flights)
			return true;
	return false;
}

void model_live_blocks(const struct model_process *p,
	void (*fn)(void *arg, uint64_t address, uint64_t size, uint32_t stack, uint32_t thread, uint64_t t_ns),
	void *arg)
{
	struct live_walk walk = { .p = p, .fn = fn, .arg = arg };

	live_each(p->live, live_walk_one, &walk);
	for (size_t i = 0; i < p->n_threads; i++) {
		const struct thread_state *th = &p->state->thread_state[i];

		for (uint32_t k = 0; k < th->n_flights; k++)
			if (th->flights[k].kind == FLIGHT_KNOWN)
				live_walk_one(&walk, &th->flights[k].block);
	}
}
