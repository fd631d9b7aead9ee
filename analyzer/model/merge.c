/*
 * merge.c - one ended process is added to the sum of those of its program.
 *
 * What is a number of things or bytes adds up.  A peak does not: the sum has
 * the highest of one process, and its sites have what they held in that one
 * then.  Stacks of different processes are the same site of the sum when their
 * frames are the same in their files; the first one stands for all.  Of live
 * blocks stays what the look for pointers found, by site.  Series, threads and
 * whatever is an address go.
 *
 * Called by processes.c.
 */
#include "model/process.h"

#include <stdlib.h>
#include <string.h>

#include "model/series.h"

struct model_process *merge_begin(struct model *m, const struct model_process *p)
{
	struct model_process *sum = process_new(m, p->number);

	if (sum && p->exe && !(sum->exe = strdup(p->exe))) {
		process_free(sum);
		return NULL;
	}
	if (!sum)
		return NULL;
	sum->begin = p->begin;
	sum->end = p->end;
	sum->status = p->status;
	sum->status_known = p->status_known;
	sum->unrecorded = p->unrecorded;
	sum->sampled = p->sampled;
	sum->engine = p->engine;
	sum->context = p->context;
	sum->parent = p->parent;
	sum->begin_ns = p->begin_ns;
	sum->judged_ns = p->judged_ns;
	sum->read = true;
	sum->state->ended = true;
	return sum;
}

struct lost {
	const struct model_process *p;
	uint64_t bytes;
};

static void add_lost(void *arg, const struct live_block *b)
{
	struct lost *l = arg;

	if (model_verdict(l->p, b->address, b->t_ns) >= REACH_INDIRECT)
		l->bytes += b->size;
}

uint64_t merge_lost(const struct model_process *p)
{
	struct lost l = { .p = p };

	if (p->n_verdicts)
		live_each(p->live, add_lost, &l);
	return l.bytes;
}

/* ---- sites ---- */

/* The site of the sum where the frames are those of this stack; makes it. */
static struct heap_site *site_of(struct model *m, struct model_process *sum, uint32_t stack,
	const struct model_outside *out)
{
	struct process_state *st = sum->state;
	uint64_t place = stack ? out->place(out->arg, m, stack) : 0;
	uint64_t key = place ? place : UINT64_C(1) << 63 | stack;
	uint32_t at = index_find(&st->stacks, key);
	struct heap_site *s;

	if (at != INDEX_NONE)
		return sum->sites[at];
	if (!model_reserve(&sum->sites, &st->sites_capacity, sum->n_sites, sizeof(*sum->sites)))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (s && !sum->sampled && !(s->left = calloc(1, sizeof(*s->left)))) {
		free(s);
		return NULL;
	}
	if (!s || index_put(&st->stacks, key, (uint32_t)sum->n_sites) < 0) {
		free(s ? s->left : NULL);
		free(s);
		return NULL;
	}
	s->stack = stack;
	s->min_size = UINT64_MAX;
	s->first_ns = UINT64_MAX;
	s->epoch = st->epoch;
	sum->sites[sum->n_sites++] = s;
	return s;
}

static void spread_add(struct estimate_spread *to, const struct estimate_spread *from)
{
	to->variance += from->variance;
	to->step = from->step > to->step ? from->step : to->step;
}

static void estimates_add(struct estimate_sum *to, const struct estimate_sum *from)
{
	to->n += from->n;
	spread_add(&to->of_blocks, &from->of_blocks);
	spread_add(&to->of_bytes, &from->of_bytes);
}

static void sampled_add(struct heap_site *to, const struct heap_site *from)
{
	if (!from->sampled || !to->sampled)
		return;
	estimates_add(&to->sampled->alloc, &from->sampled->alloc);
	estimates_add(&to->sampled->live, &from->sampled->live);
}

static void site_add(struct heap_site *to, const struct heap_site *from)
{
	to->alloc_blocks += from->alloc_blocks;
	to->alloc_bytes += from->alloc_bytes;
	to->free_blocks += from->free_blocks;
	to->free_bytes += from->free_bytes;
	to->live_blocks += from->live_blocks;
	to->live_bytes += from->live_bytes;
	to->temporary_blocks += from->temporary_blocks;
	to->cross_frees += from->cross_frees;
	to->realloc_in += from->realloc_in;
	to->life_ns_sum += from->life_ns_sum;
	to->own_peak_bytes = from->own_peak_bytes > to->own_peak_bytes ? from->own_peak_bytes : to->own_peak_bytes;
	to->min_size = from->min_size < to->min_size ? from->min_size : to->min_size;
	to->max_size = from->max_size > to->max_size ? from->max_size : to->max_size;
	to->first_ns = from->first_ns < to->first_ns ? from->first_ns : to->first_ns;
	to->last_ns = from->last_ns > to->last_ns ? from->last_ns : to->last_ns;
	for (int i = 0; i < LIFE_BUCKETS; i++)
		to->life_hist[i] = to->life_hist[i] + from->life_hist[i] < to->life_hist[i] ? UINT32_MAX :
			to->life_hist[i] + from->life_hist[i];
	sampled_add(to, from);
}

/* The peak of the sum is that of p from now on. */
static void peak_take(struct model_process *sum, const struct model_process *p, struct heap_site **site)
{
	for (size_t i = 0; i < sum->n_sites; i++) {
		sum->sites[i]->at_peak_blocks = sum->sites[i]->at_peak_bytes = 0;
		if (sum->sites[i]->sampled)
			sum->sites[i]->sampled->at_peak = (struct estimate_sum){ 0 };
	}
	for (size_t i = 0; i < p->n_sites; i++) {
		site[i]->at_peak_blocks += p->sites[i]->peak_blocks;
		site[i]->at_peak_bytes += p->sites[i]->peak_bytes;
		if (p->sites[i]->sampled && site[i]->sampled)
			estimates_add(&site[i]->sampled->at_peak, &p->sites[i]->sampled->peak);
	}
	sum->peak_bytes = p->peak_bytes;
	sum->peak_blocks = p->peak_blocks;
	sum->peak_ns = p->peak_ns;
	sum->sums.peak = p->sums.peak;
}

/* ---- what is left ---- */

struct leaving {
	const struct model_process *p;
	struct heap_site **site;
};

static void leave_block(void *arg, const struct live_block *b)
{
	const struct leaving *l = arg;
	struct site_left *left = b->site < l->p->n_sites ? l->site[b->site]->left : NULL;
	enum reach_verdict v = model_verdict(l->p, b->address, b->t_ns);

	if (!left || v >= LEFT_VERDICTS)
		return;
	bool is_first = true;
	for (int i = 0; i < LEFT_VERDICTS; i++)
		is_first = is_first && !left->blocks[i];
	left->oldest_ns = is_first || b->t_ns < left->oldest_ns ? b->t_ns : left->oldest_ns;
	left->youngest_ns = b->t_ns > left->youngest_ns ? b->t_ns : left->youngest_ns;
	left->blocks[v]++;
	left->bytes[v] += b->size;
}

/* ---- the process ---- */

static void threads_add(struct model_process *sum, const struct model_process *p)
{
	struct model_thread *to = &sum->merged;

	for (size_t i = 0; i <= p->n_threads; i++) {
		const struct model_thread *t = i < p->n_threads ? &p->threads[i] : &p->merged;
		if (i == p->n_threads && !p->n_merged)
			break;
		to->begin_ns = !sum->n_merged || t->begin_ns < to->begin_ns ? t->begin_ns : to->begin_ns;
		to->end_ns = t->end_ns > to->end_ns ? t->end_ns : to->end_ns;
		to->alloc_blocks += t->alloc_blocks;
		to->alloc_bytes += t->alloc_bytes;
		sum->n_merged += i < p->n_threads ? 1 : p->n_merged;
	}
	sum->thread_merges++;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void totals_add(struct model_process *sum, const struct model_process *p)
{
	sum->n_summed++;
	sum->begin_ns = p->begin_ns < sum->begin_ns ? p->begin_ns : sum->begin_ns;
	sum->end_ns = larger(sum->end_ns, p->end_ns);
	sum->judged_ns = sum->judged_ns && p->judged_ns ? larger(sum->judged_ns, p->judged_ns) : 0;
	sum->parent = sum->parent == p->parent ? sum->parent : 0;
	sum->engine = sum->engine == p->engine ? sum->engine : 0;
	sum->coverage |= p->coverage;
	sum->lost_records += p->lost_records;
	sum->nested += p->nested;
	sum->audited += p->audited;
	sum->audit_failed += p->audit_failed;
	sum->self_bytes = larger(sum->self_bytes, p->self_bytes);
	sum->alloc_blocks += p->alloc_blocks;
	sum->alloc_bytes += p->alloc_bytes;
	sum->free_blocks += p->free_blocks;
	sum->live_blocks += p->live_blocks;
	sum->live_bytes += p->live_bytes;
	sum->inherited_blocks += p->inherited_blocks;
	sum->inherited_bytes += p->inherited_bytes;
	sum->inherited_freed += p->inherited_freed;
	sum->inherited_freed_bytes += p->inherited_freed_bytes;
	sum->unknown_frees += p->unknown_frees;
	sum->failed_allocs += p->failed_allocs;
	sum->repaired += p->repaired;
	sum->replaced += p->replaced;
	sum->nested_allocs += p->nested_allocs;
	sum->hiwater_rss = larger(sum->hiwater_rss, p->hiwater_rss);
	estimates_add(&sum->sums.alloc, &p->sums.alloc);
	estimates_add(&sum->sums.live, &p->sums.live);
}

bool merge_add(struct model *m, struct model_process *sum, struct model_process *p, const struct model_outside *out)
{
	struct heap_site **site = calloc(p->n_sites + 1, sizeof(struct heap_site *));
	bool whole = site != NULL;

	sites_settle(m, p);
	for (size_t i = 0; whole && i < p->n_sites; i++) {
		site[i] = site_of(m, sum, p->sites[i]->stack, out);
		whole = site[i] && (!p->sites[i]->sampled || site[i]->sampled ||
			(site[i]->sampled = calloc(1, sizeof(*site[i]->sampled))));
	}
	for (size_t i = 0; whole && i < p->n_sites; i++) {
		site_add(site[i], p->sites[i]);
		m->n_series -= p->sites[i]->series != NULL;
	}
	if (whole && (p->peak_bytes > sum->peak_bytes || !sum->n_summed))
		peak_take(sum, p, site);
	if (whole && !p->sampled)
		live_each(p->live, leave_block, &(struct leaving){ .p = p, .site = site });
	if (whole) {
		totals_add(sum, p);
		threads_add(sum, p);
	}
	free(site);
	return whole;
}
