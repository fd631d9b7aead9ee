/*
 * inherit.c - blocks that came over a fork.
 *
 *   parent  alloc X .. fork .............. free X
 *   child              | (has a copy of X) ........ free X
 *
 * The parent's table is not copied: that would cost a forking server its
 * whole heap per child.  A child's free of an address that it never got is
 * looked up in the parent: live there and older than the fork, or freed there
 * after the fork.  For the latter a parent remembers ("ghosts") the blocks
 * older than its last fork that it frees while an heir is not finished; an
 * heir of an heir counts.  From the fork record on (which stands before the
 * parent's later frees) until the child shows up, an "open fork" does the
 * same, and holds the parent's totals at the fork.
 *
 * Not handled: a child in whose parent another thread frees between the fork
 * and the parent's record of it: such a free of the child counts as unknown.
 */
#include "model/process.h"

#include <stdlib.h>
#include <string.h>

#define OPEN_FORK_NS 10000000000u /* a child that never records is given up */

static void ghosts_clear(struct process_state *st)
{
	st->ghosting = false;
	st->n_ghosts = st->ghosts_capacity = 0;
	free(st->ghosts);
	st->ghosts = NULL;
	index_done(&st->ghost_index);
}

static void ghosting_update(struct process_state *st)
{
	if (st->n_heirs || st->n_open_forks)
		st->ghosting = true;
	else if (st->ghosting)
		ghosts_clear(st);
}

void inherit_freed(struct model_process *p, const struct live_block *b, uint64_t t_ns)
{
	struct process_state *st = p->state;
	uint32_t at = (uint32_t)st->n_ghosts;
	struct index_slot *slot;

	if (b->t_ns > st->last_fork_ns ||
		!model_reserve(&st->ghosts, &st->ghosts_capacity, st->n_ghosts, sizeof(*st->ghosts)))
		return;
	struct ghost g = { .address = b->address, .size = b->size, .alloc_ns = b->t_ns, .free_ns = t_ns,
		.site = b->site, .thread = b->thread };
	slot = st->ghost_index.slot ? index_slot_of(&st->ghost_index, b->address) : NULL;
	if (slot && slot->value_plus_1) {
		g.next_plus_1 = slot->value_plus_1;
		slot->value_plus_1 = at + 1;
	} else if (index_put(&st->ghost_index, b->address, at) < 0) {
		return;
	}
	st->ghosts[st->n_ghosts++] = g;
}

static bool find_ghost(const struct model_process *p, uint64_t address, uint64_t fork_ns, struct estimate_part *ret)
{
	const struct process_state *st = p->state;
	uint32_t at = index_find(&st->ghost_index, address);

	while (at != INDEX_NONE) {
		const struct ghost *g = &st->ghosts[at];

		if (g->alloc_ns <= fork_ns && g->free_ns >= fork_ns) {
			struct live_block b = { .address = address, .size = g->size, .t_ns = g->alloc_ns,
				.thread = g->thread };
			*ret = part_of(p, &b);
			return true;
		}
		at = g->next_plus_1 - 1;
	}
	return false;
}

/* In the middle of a realloc of the parent. */
static bool find_flight(const struct model_process *p, uint64_t address, uint64_t fork_ns, struct estimate_part *ret)
{
	for (size_t i = 0; i < p->n_threads; i++) {
		const struct thread_state *th = &p->state->thread_state[i];

		for (uint32_t k = 0; k < th->n_flights; k++) {
			const struct flight *f = &th->flights[k];

			if (f->kind == FLIGHT_KNOWN && f->block.address == address && f->block.t_ns <= fork_ns) {
				*ret = part_of(p, &f->block);
				return true;
			}
		}
	}
	return false;
}

bool inherit_find(const struct model_process *p, uint64_t address, struct estimate_part *ret)
{
	uint64_t fork_ns = p->state->fork_ns;
	struct live_block b;

	if (index_find(&p->state->inherited_gone, address) != INDEX_NONE)
		return false;
	for (const struct model_process *q = p->state->parent; q; q = q->state->parent) {
		if (live_find(q->live, address, &b) && b.t_ns <= fork_ns) {
			*ret = part_of(q, &b);
			return true;
		}
		if (find_ghost(q, address, fork_ns, ret) || find_flight(q, address, fork_ns, ret))
			return true;
		fork_ns = q->state->fork_ns;
	}
	return false;
}

struct heirloom {
	const struct model_process *heir;
	uint64_t fork_ns;
	void (*fn)(void *arg, uint64_t address, uint64_t size);
	void *arg;
};

static void hand_down(const struct heirloom *h, uint64_t address, uint64_t size)
{
	if (index_find(&h->heir->state->inherited_gone, address) == INDEX_NONE)
		h->fn(h->arg, address, size);
}

static void hand_down_live(void *arg, const struct live_block *b)
{
	const struct heirloom *h = arg;

	if (b->t_ns <= h->fork_ns)
		hand_down(h, b->address, b->size);
}

void model_inherited_blocks(const struct model_process *p,
	void (*fn)(void *arg, uint64_t address, uint64_t size), void *arg)
{
	struct heirloom h = { .heir = p, .fork_ns = p->state->fork_ns, .fn = fn, .arg = arg };

	for (const struct model_process *q = p->state->parent; q; q = q->state->parent) {
		live_each(q->live, hand_down_live, &h);
		for (size_t i = 0; i < q->state->n_ghosts; i++) {
			const struct ghost *g = &q->state->ghosts[i];

			if (g->alloc_ns <= h.fork_ns && g->free_ns >= h.fork_ns)
				hand_down(&h, g->address, g->size);
		}
		h.fork_ns = q->state->fork_ns;
	}
}

void inherit_gone(struct model_process *p, uint64_t address, const struct estimate_part *part)
{
	index_put(&p->state->inherited_gone, address, 0); /* no memory: a second free is not told apart */
	p->inherited_freed += part->blocks;
	p->inherited_freed_bytes += part->bytes;
}

/* What a child of p would have in its memory now. */
static void totals_of(const struct model_process *p, uint64_t *ret_blocks, uint64_t *ret_bytes)
{
	*ret_blocks = p->live_blocks + p->inherited_blocks - p->inherited_freed;
	*ret_bytes = p->live_bytes + p->inherited_bytes - p->inherited_freed_bytes;
}

static void open_fork_remove(struct process_state *st, size_t at)
{
	st->n_open_forks--;
	memmove(&st->open_forks[at], &st->open_forks[at + 1],
		(st->n_open_forks - at) * sizeof(*st->open_forks));
}

/* The parent's record of the fork that made this child, if it came first. */
static bool open_fork_take(struct process_state *st, const struct model_process *child, struct open_fork *ret)
{
	for (size_t i = 0; i < st->n_open_forks; i++) {
		uint32_t pid = st->open_forks[i].child_pid;

		if (pid && pid != child->ns_pid && pid != child->pid)
			continue;
		*ret = st->open_forks[i];
		open_fork_remove(st, i);
		return true;
	}
	return false;
}

void inherit_begin(struct model_process *child, struct model_process *parent, uint64_t t_ns)
{
	struct process_state *st = parent->state;
	struct open_fork f;

	if (child->state->parent || child == parent)
		return;
	if (open_fork_take(st, child, &f)) {
		child->inherited_blocks = f.blocks;
		child->inherited_bytes = f.bytes;
		child->state->fork_ns = f.t_ns;
	} else {
		totals_of(parent, &child->inherited_blocks, &child->inherited_bytes);
		child->state->fork_ns = t_ns;
	}
	child->state->parent = parent;
	child->family = parent->family;
	if (child->state->fork_ns > st->last_fork_ns)
		st->last_fork_ns = child->state->fork_ns;
	st->n_heirs++;
	ghosting_update(st);
}

void inherit_fork_seen(struct model_process *parent, struct model_process *child, uint32_t child_pid, uint64_t t_ns)
{
	struct process_state *st = parent->state;

	if (child) {
		if (child->state->parent == parent && t_ns < child->state->fork_ns)
			child->state->fork_ns = t_ns;
		return;
	}
	if (!model_reserve(&st->open_forks, &st->open_forks_capacity, st->n_open_forks, sizeof(*st->open_forks)))
		return;
	struct open_fork *f = &st->open_forks[st->n_open_forks++];
	*f = (struct open_fork){ .t_ns = t_ns, .child_pid = child_pid };
	totals_of(parent, &f->blocks, &f->bytes);
	if (t_ns > st->last_fork_ns)
		st->last_fork_ns = t_ns;
	ghosting_update(st);
}

/* Somebody may still ask what was in its memory. */
static bool is_needed(const struct process_state *st)
{
	return !st->ended || st->n_heirs || st->n_open_forks;
}

/* A process that is read to its end and has no heirs needs its parent no more.
 * A child that has not shown up yet (a daemon whose parent is over at once)
 * is an heir until its fork is given up. */
void inherit_ended(struct model_process *p)
{
	p->state->ended = true;
	while (p && !is_needed(p->state)) {
		struct model_process *parent = p->state->parent;

		index_done(&p->state->inherited_gone);
		ghosting_update(p->state);
		if (!parent || p->state->let_go)
			return;
		p->state->let_go = true;
		parent->state->n_heirs--;
		ghosting_update(parent->state);
		p = parent;
	}
}

void inherit_round(struct model_process *p, uint64_t horizon_ns)
{
	struct process_state *st = p->state;

	while (st->n_open_forks && (horizon_ns == UINT64_MAX || st->open_forks[0].t_ns + OPEN_FORK_NS < horizon_ns))
		open_fork_remove(st, 0);
	if (st->ended && !st->n_open_forks)
		inherit_ended(p);
	else
		ghosting_update(st);
}

bool model_blocks_hold(struct model_process *p)
{
	struct process_state *st = p->state;

	if (!is_needed(st))
		return false;
	st->n_heirs++;
	ghosting_update(st);
	return true;
}

void model_blocks_release(struct model_process *p)
{
	struct process_state *st = p->state;

	st->n_heirs--;
	if (st->ended)
		inherit_ended(p);
	else
		ghosting_update(st);
}

struct blocks_at {
	const struct model_process *p;     /* whose memory it is */
	const struct model_process *owner; /* who allocated: p, or who it came from */
	uint64_t t_ns;
	void (*fn)(void *arg, uint64_t address, uint64_t size, uint32_t stack);
	void *arg;
};

static void block_at(const struct blocks_at *at, uint64_t address, uint64_t size, uint32_t site)
{
	for (const struct model_process *q = at->p; q != at->owner; q = q->state->parent)
		if (index_find(&q->state->inherited_gone, address) != INDEX_NONE)
			return;
	at->fn(at->arg, address, size, site < at->owner->n_sites ? at->owner->sites[site]->stack : 0);
}

static void live_at(void *arg, const struct live_block *b)
{
	const struct blocks_at *at = arg;

	if (b->t_ns <= at->t_ns)
		block_at(at, b->address, b->size, b->site);
}

void model_blocks_at(const struct model_process *p, uint64_t t_ns,
	void (*fn)(void *arg, uint64_t address, uint64_t size, uint32_t stack), void *arg)
{
	struct blocks_at at = { .p = p, .t_ns = t_ns, .fn = fn, .arg = arg };

	for (at.owner = p; at.owner; at.owner = at.owner->state->parent) {
		const struct process_state *st = at.owner->state;

		live_each(at.owner->live, live_at, &at);
		for (size_t i = 0; i < st->n_ghosts; i++) {
			const struct ghost *g = &st->ghosts[i];
			if (g->alloc_ns <= at.t_ns && g->free_ns >= at.t_ns)
				block_at(&at, g->address, g->size, g->site);
		}
		at.t_ns = st->fork_ns;
	}
}
