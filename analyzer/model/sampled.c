/*
 * sampled.c - what a sampled block counts for, and what sums of them rest on.
 *
 * A block's part is made from its size and the interval that its thread used
 * when it was born, found by thread and time: the thread told it before that
 * birth.  At the block's end the same part comes out again, so the books
 * close.  Called by sites.c and inherit.c, only for sampled processes.
 */
#include "model/process.h"

#include <stdlib.h>

void model_sampling(struct model *m, struct model_process *p, uint32_t thread, uint64_t interval, uint64_t t_ns)
{
	uint32_t at = thread_at(p, thread, t_ns);
	struct thread_state *th = at == INDEX_NONE ? NULL : &p->state->thread_state[at];

	if (!th || !model_reserve(&th->told, &th->told_capacity, th->n_told, sizeof(*th->told))) {
		model_dropped(m);
		return;
	}
	th->told[th->n_told++] = (struct told){ .t_ns = t_ns, .interval = interval };
	p->sampled = p->sampled || interval != 0;
}

static uint64_t interval_of(const struct model_process *p, const struct live_block *b)
{
	uint32_t at = index_find(&p->state->threads, b->thread);
	const struct thread_state *th = at == INDEX_NONE ? NULL : &p->state->thread_state[at];

	if (!th && p->n_merged)
		return p->state->merged_interval;
	for (size_t i = th ? th->n_told : 0; i-- > 0;)
		if (th->told[i].t_ns <= b->t_ns)
			return th->told[i].interval;
	return p->state->untold_interval;
}

struct estimate_part sampled_part(const struct model_process *p, const struct live_block *b)
{
	return estimate_part(b->size, interval_of(p, b), b->address ^ b->t_ns << 20);
}

void sampled_alloc(struct model *m, struct model_process *p, struct heap_site *s, const struct estimate_part *part)
{
	if (!s->sampled && !(s->sampled = calloc(1, sizeof(*s->sampled)))) {
		model_dropped(m);
		return;
	}
	estimate_add(&p->sums.alloc, part);
	estimate_add(&p->sums.live, part);
	estimate_add(&s->sampled->alloc, part);
	estimate_add(&s->sampled->live, part);
}

void sampled_free(struct model_process *p, struct heap_site *s, const struct estimate_part *part)
{
	estimate_subtract(&p->sums.live, part);
	if (s->sampled)
		estimate_subtract(&s->sampled->live, part);
}
