/*
 * sites.c - totals per process, thread and site; peak, lifetimes, series.
 *
 * Called by model.c and pair.c for each allocation and free that counts.
 *
 * PEAK.  The composition of the peak is kept without copying: the epoch goes
 * up with each new peak; before a site changes, a site of an older epoch
 * notes what it has ("at_peak", the composition of the last peak).  A site
 * that did not change since the peak is what it was then (PIPELINE 4).  Of
 * equal peaks the first one counts.
 */
#include "model/count.h"

#include <stdlib.h>
#include <string.h>

#define SERIES_WIDTH_NS 10000000u /* 10 ms */
/* A site gets a series when it first has this much live; the bound doubles
 * with each 512 series, so that they stay below a few MiB in all. */
#define SERIES_STEP 512u

/* The look-up by hash takes longer, and misses the caches where there are many
 * sites.  Ids are given out in order: a plain array of them is a fifth of the
 * memory, and at most 96 bytes a site. */
#define DENSE_IDS 16u   /* ids a site */

static void dense_note(struct model_process *p, uint32_t stack)
{
	struct process_state *st = p->state;
	uint32_t n = stack + stack / 2 + 1;

	if (stack < st->n_dense)
		st->dense[stack] = (uint32_t)p->n_sites;
	if (stack < st->n_dense || stack / DENSE_IDS >= p->n_sites)
		return;
	uint32_t *dense = realloc(st->dense, n * sizeof(*dense));
	if (!dense)
		return; /* the index has them all */
	memset(dense, 0, n * sizeof(*dense));
	for (size_t i = 0; i < p->n_sites; i++)
		if (p->sites[i]->stack < n)
			dense[p->sites[i]->stack] = (uint32_t)i + 1;
	st->dense = dense;
	st->n_dense = n;
}

static struct heap_site *site_new(struct model_process *p, uint32_t stack, uint64_t t_ns)
{
	struct process_state *st = p->state;
	struct heap_site *s;

	if (!model_reserve(&p->sites, &st->sites_capacity, p->n_sites, sizeof(*p->sites)))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	if (index_put(&st->stacks, stack, (uint32_t)p->n_sites) < 0) {
		free(s);
		return NULL;
	}
	s->stack = stack;
	s->min_size = UINT64_MAX;
	s->first_ns = t_ns;
	p->sites[p->n_sites++] = s;
	dense_note(p, stack);
	return s;
}

uint32_t site_find(struct model *m, struct model_process *p, uint32_t stack, uint64_t t_ns)
{
	struct process_state *st = p->state;
	uint32_t at = st->site_at;

	if (at < p->n_sites && p->sites[at]->stack == stack)
		return at;
	at = stack < st->n_dense ? st->dense[stack] - 1 : index_find(&st->stacks, stack);
	if (at == INDEX_NONE) {
		if (!site_new(p, stack, t_ns)) {
			model_dropped(m);
			return INDEX_NONE;
		}
		at = (uint32_t)p->n_sites - 1;
	}
	st->site_at = at;
	return at;
}

void process_series_begin(struct model_process *p, uint64_t t_ns)
{
	p->series = series_new(t_ns, SERIES_WIDTH_NS);
	if (p->series)
		series_put(p->series, t_ns, p->live_bytes);
}

void site_series_begin(struct model *m, struct heap_site *s, uint64_t t_ns)
{
	model_turn(m, t_ns);
	if (s->live_bytes < m->series_worth)
		return; /* another family's turn was before */
	s->series = series_new(t_ns, SERIES_WIDTH_NS);
	if (!s->series)
		return;
	m->n_series++;
	__atomic_store_n(&m->series_worth, (uint64_t)SERIES_WORTH_BYTES << (m->n_series / SERIES_STEP), __ATOMIC_RELAXED);
	series_put(s->series, t_ns, s->live_bytes);
}

void count_alloc(struct model *m, struct model_process *p, const struct live_block *b, bool realloc_in)
{
	struct model_thread *th = &p->threads[thread_at(p, b->thread, b->t_ns)];
	struct estimate_part part = part_of(p, b);

	count_in(m, p, p->sites[b->site], th, b, &part, realloc_in);
}

void count_free(struct model *m, struct model_process *p, const struct live_block *b, uint32_t thread,
	bool temporary, uint64_t t_ns)
{
	struct estimate_part part = part_of(p, b);

	count_out(m, p, p->sites[b->site], b, &part, thread, temporary, t_ns);
	if (p->state->ghosting)
		inherit_freed(p, b, t_ns);
}

void uncount_alloc(struct model *m, struct model_process *p, const struct live_block *b)
{
	struct heap_site *s = p->sites[b->site];
	struct model_thread *th = &p->threads[thread_at(p, b->thread, b->t_ns)];
	struct estimate_part part = part_of(p, b);

	site_touch(p->state, s);
	s->alloc_blocks -= part.blocks;
	s->alloc_bytes -= part.bytes;
	s->live_blocks -= part.blocks;
	s->live_bytes -= part.bytes;
	th->alloc_blocks -= part.blocks;
	th->alloc_bytes -= part.bytes;
	p->alloc_blocks -= part.blocks;
	p->alloc_bytes -= part.bytes;
	p->live_blocks -= part.blocks;
	p->live_bytes -= part.bytes;
	if (p->sampled) {
		sampled_free(p, s, &part);
		estimate_subtract(&p->sums.alloc, &part);
		if (s->sampled)
			estimate_subtract(&s->sampled->alloc, &part);
	}
	note_series(m, p, s, b->t_ns);
}

void sites_settle(struct model *m, struct model_process *p)
{
	uint64_t now = p->end_ns ? p->end_ns : m->now_ns;

	for (size_t i = 0; i < p->n_sites; i++) {
		struct heap_site *s = p->sites[i];
		bool at_peak = s->epoch == p->state->epoch;

		s->peak_blocks = at_peak ? s->at_peak_blocks : s->live_blocks;
		s->peak_bytes = at_peak ? s->at_peak_bytes : s->live_bytes;
		if (s->sampled)
			s->sampled->peak = at_peak ? s->sampled->at_peak : s->sampled->live;
		if (s->series)
			series_note(s->series, now, s->live_bytes);
	}
	if (p->series)
		series_note(p->series, now, p->live_bytes);
}
