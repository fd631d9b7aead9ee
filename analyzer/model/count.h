/*
 * count.h - what an allocation and a free change in the totals: the part of
 * sites.c that every event runs through.  Private to model.c and sites.c.
 */
#ifndef MODEL_COUNT_H
#define MODEL_COUNT_H

#include "model/process.h"
#include "model/series.h"

#define COUNT_INLINE static inline __attribute__((always_inline))

/* Before any change of what is live at the site. */
COUNT_INLINE void site_touch(const struct process_state *st, struct heap_site *s)
{
	if (s->epoch == st->epoch)
		return;
	s->at_peak_blocks = s->live_blocks;
	s->at_peak_bytes = s->live_bytes;
	if (s->sampled)
		s->sampled->at_peak = s->sampled->live;
	s->epoch = st->epoch;
}

COUNT_INLINE void note_series(struct model *m, struct model_process *p, struct heap_site *s, uint64_t t_ns)
{
	if (p->series)
		series_note(p->series, t_ns, p->live_bytes);
	else
		process_series_begin(p, t_ns);
	if (s->series)
		series_note(s->series, t_ns, s->live_bytes);
	else if (__builtin_expect(s->live_bytes >= __atomic_load_n(&m->series_worth, __ATOMIC_RELAXED), 0))
		site_series_begin(m, s, t_ns);
}

/* th: of the block's thread. */
COUNT_INLINE void count_in(struct model *m, struct model_process *p, struct heap_site *s, struct model_thread *th,
	const struct live_block *b, const struct estimate_part *part, bool realloc_in)
{
	struct process_state *st = p->state;

	site_touch(st, s);
	s->alloc_blocks += part->blocks;
	s->alloc_bytes += part->bytes;
	s->live_blocks += part->blocks;
	s->live_bytes += part->bytes;
	if (realloc_in)
		s->realloc_in += part->blocks;
	if (b->size < s->min_size)
		s->min_size = b->size;
	if (b->size > s->max_size)
		s->max_size = b->size;
	if (s->live_bytes > s->own_peak_bytes)
		s->own_peak_bytes = s->live_bytes;
	s->last_ns = b->t_ns;
	s->last_thread = b->thread;
	th->alloc_blocks += part->blocks;
	th->alloc_bytes += part->bytes;
	p->alloc_blocks += part->blocks;
	p->alloc_bytes += part->bytes;
	p->live_blocks += part->blocks;
	p->live_bytes += part->bytes;
	if (__builtin_expect(p->sampled, 0))
		sampled_alloc(m, p, s, part);
	if (p->live_bytes > p->peak_bytes) {
		p->peak_bytes = p->live_bytes;
		p->peak_blocks = p->live_blocks;
		p->peak_ns = b->t_ns;
		st->epoch++;
		if (__builtin_expect(p->sampled, 0))
			p->sums.peak = p->sums.live;
	}
	note_series(m, p, s, b->t_ns);
}

COUNT_INLINE unsigned life_bucket(uint64_t life_ns)
{
	unsigned bucket = 63 - (unsigned)__builtin_clzll(life_ns | 1);

	return bucket < LIFE_BUCKETS ? bucket : LIFE_BUCKETS - 1;
}

/* thread: who frees. */
COUNT_INLINE void count_out(struct model *m, struct model_process *p, struct heap_site *s, const struct live_block *b,
	const struct estimate_part *part, uint32_t thread, bool temporary, uint64_t t_ns)
{
	struct process_state *st = p->state;
	uint64_t life_ns = t_ns > b->t_ns ? t_ns - b->t_ns : 0;

	site_touch(st, s);
	s->free_blocks += part->blocks;
	s->free_bytes += part->bytes;
	s->live_blocks -= part->blocks;
	s->live_bytes -= part->bytes;
	s->life_ns_sum += life_ns * part->blocks;
	s->life_hist[life_bucket(life_ns)] += (uint32_t)part->blocks;
	if (temporary)
		s->temporary_blocks += part->blocks;
	if ((thread ^ b->thread) & LIVE_THREAD_MASK)
		s->cross_frees += part->blocks;
	s->last_ns = t_ns;
	s->last_thread = thread;
	p->free_blocks += part->blocks;
	p->live_blocks -= part->blocks;
	p->live_bytes -= part->bytes;
	if (__builtin_expect(p->sampled, 0))
		sampled_free(p, s, part);
	note_series(m, p, s, t_ns);
}

/* Position of the stack's site in p->sites, which it makes; INDEX_NONE: no memory. */
COUNT_INLINE uint32_t site_at(struct model *m, struct model_process *p, uint32_t stack, uint64_t t_ns)
{
	const struct process_state *st = p->state;
	uint32_t at;

	if (stack < st->n_dense && (at = st->dense[stack] - 1) != INDEX_NONE)
		return at;
	return site_find(m, p, stack, t_ns);
}

#endif
