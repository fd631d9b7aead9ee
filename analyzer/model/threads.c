/*
 * threads.c - a process that starts short threads for months, in bounded memory.
 *
 * Of threads that ended long ago only the sum is kept.  The newest keep their
 * rows, and so does the last owner of each stack: whoever looks for pointers
 * must know which stacks are dead.  Blocks of a merged thread keep its number.
 * Called by model_round, when nobody holds a position.
 */
#include "model/process.h"

#include <stdlib.h>

#define KEPT (MODEL_THREADS_MAX / 4) /* newest ended ones; and as many stacks more */
#define SETTLED_NS 1000000u          /* after its last event: nothing of it is pending */

struct merge {
	struct model_process *p;
	struct index stacks; /* of threads that stay, by thread pointer */
	size_t n_newest, n_stacks;
	uint64_t now_ns;
};

/* With which interval all its births were sampled, where it is one. */
static bool one_interval(const struct process_state *st, const struct thread_state *th, uint64_t *ret)
{
	*ret = th->n_told ? th->told[0].interval : st->untold_interval;
	return th->n_told <= 1;
}

static bool is_settled(const struct merge *g, size_t at, uint64_t *ret_interval)
{
	const struct thread_state *th = &g->p->state->thread_state[at];

	return th->read && !th->n_flights && g->p->threads[at].end_ns + SETTLED_NS < g->now_ns &&
		one_interval(g->p->state, th, ret_interval);
}

/* A block's part is found by the interval of its thread: merged threads must
 * all have the same, that of the first. */
static bool may_go(const struct merge *g, size_t at)
{
	uint64_t interval;

	return is_settled(g, at, &interval) && interval == g->p->state->merged_interval;
}

static void choose_interval(const struct merge *g)
{
	for (size_t i = 0; i < g->p->n_threads; i++)
		if (is_settled(g, i, &g->p->state->merged_interval))
			return;
}

/* The newest come first. */
static bool stays(struct merge *g, size_t at)
{
	const struct model_thread *t = &g->p->threads[at];
	bool is_owner = t->tcb && index_find(&g->stacks, t->tcb) == INDEX_NONE;

	if (may_go(g, at)) {
		bool is_newest = g->n_newest < KEPT;
		if (!is_newest && !(is_owner && g->n_stacks < KEPT))
			return false;
		g->n_newest += is_newest;
		g->n_stacks += !is_newest;
	}
	if (is_owner)
		index_put(&g->stacks, t->tcb, (uint32_t)at); /* no memory: one stack more may stay */
	return true;
}

static void take(struct model_process *p, size_t at)
{
	const struct model_thread *t = &p->threads[at];
	struct thread_state *th = &p->state->thread_state[at];
	struct model_thread *sum = &p->merged;

	sum->begin_ns = !p->n_merged || t->begin_ns < sum->begin_ns ? t->begin_ns : sum->begin_ns;
	p->n_merged++;
	sum->end_ns = t->end_ns > sum->end_ns ? t->end_ns : sum->end_ns;
	sum->alloc_blocks += t->alloc_blocks;
	sum->alloc_bytes += t->alloc_bytes;
	free(th->flights);
	free(th->told);
}

/* The rest moves together; positions are new. */
static void close_up(struct model_process *p, const bool *gone, struct index *threads)
{
	struct process_state *st = p->state;
	size_t n = 0;

	for (size_t i = 0; i < p->n_threads; i++) {
		if (gone[i]) {
			take(p, i);
			continue;
		}
		p->threads[n] = p->threads[i];
		st->thread_state[n] = st->thread_state[i];
		*index_slot_of(threads, p->threads[n].number) = (struct index_slot){ p->threads[n].number, (uint32_t)n + 1 };
		threads->n++;
		n++;
	}
	p->n_threads = n;
	p->thread_merges++;
	st->thread_at = 0;
}

void threads_merge(struct model_process *p, uint64_t now_ns)
{
	struct process_state *st = p->state;
	struct merge g = { .p = p, .now_ns = now_ns };
	bool *gone = calloc(p->n_threads, sizeof(*gone));
	struct index threads = { 0 };
	size_t n_gone = 0;

	if (!p->n_merged)
		choose_interval(&g);
	for (size_t i = gone ? p->n_threads : 0; i-- > 0;) {
		gone[i] = !stays(&g, i);
		n_gone += gone[i];
	}
	if (n_gone && index_like(&threads, &st->threads)) {
		close_up(p, gone, &threads);
		index_done(&st->threads);
		st->threads = threads;
	}
	/* Of many that live: not asked again at once. */
	st->merge_at = 2 * p->n_threads > MODEL_THREADS_MAX ? 2 * p->n_threads : MODEL_THREADS_MAX;
	index_done(&g.stacks);
	free(gone);
}
