/*
 * oracle.c - the sequential truth beside the model.
 *
 * As simple as can be: each event changes the sums, and a new peak copies
 * them all.  Shares no code with the model but the definitions of the words.
 */
#include "oracle.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/model.h"

void oracle_init(struct oracle *o)
{
	memset(o, 0, sizeof(*o));
	for (int i = 0; i < ORACLE_THREADS; i++)
		o->last[i] = o->flight_of[i] = -1;
	for (int i = 0; i < ORACLE_SITES; i++)
		o->site[i].min_size = UINT64_MAX;
}

void oracle_fork(struct oracle *child, const struct oracle *parent)
{
	oracle_init(child);
	for (int k = 0; k < ORACLE_BLOCKS; k++) {
		child->inherited[k] = parent->block[k].live || parent->inherited[k];
		child->inherited_size[k] =
			parent->block[k].live ? parent->block[k].size : parent->inherited_size[k];
		child->inherited_blocks += child->inherited[k];
		child->inherited_bytes += child->inherited[k] ? child->inherited_size[k] : 0;
	}
}

static void count_in(struct oracle *o, const struct oracle_block *b)
{
	struct oracle_site *s = &o->site[b->site];

	s->alloc_blocks++;
	s->alloc_bytes += b->size;
	s->live_blocks++;
	s->live_bytes += b->size;
	if (s->live_bytes > s->own_peak_bytes)
		s->own_peak_bytes = s->live_bytes;
	if (b->size < s->min_size)
		s->min_size = b->size;
	if (b->size > s->max_size)
		s->max_size = b->size;
	o->live_blocks++;
	o->live_bytes += b->size;
	if (o->live_bytes <= o->peak_bytes)
		return;
	o->peak_bytes = o->live_bytes;
	o->peak_blocks = o->live_blocks;
	for (int i = 0; i < ORACLE_SITES; i++) {
		o->site[i].peak_blocks = o->site[i].live_blocks;
		o->site[i].peak_bytes = o->site[i].live_bytes;
	}
}

static void count_out(struct oracle *o, const struct oracle_block *b, uint32_t thread, bool temporary, uint64_t t_ns)
{
	struct oracle_site *s = &o->site[b->site];

	s->free_blocks++;
	s->free_bytes += b->size;
	s->live_blocks--;
	s->live_bytes -= b->size;
	s->temporary += temporary;
	s->cross += thread != b->thread;
	s->life_ns += t_ns - b->t_ns;
	o->live_blocks--;
	o->live_bytes -= b->size;
}

void oracle_alloc(struct oracle *o, uint32_t thread, int k, uint64_t size, uint32_t site, uint64_t t_ns)
{
	o->block[k] = (struct oracle_block){ .live = true, .site = site, .thread = thread, .size = size, .t_ns = t_ns };
	o->last[thread] = k;
	count_in(o, &o->block[k]);
}

void oracle_free(struct oracle *o, uint32_t thread, int k, uint64_t t_ns)
{
	bool temporary = o->last[thread] == k;

	o->last[thread] = -1;
	if (o->block[k].live) {
		o->block[k].live = false;
		count_out(o, &o->block[k], thread, temporary, t_ns);
	} else if (o->inherited[k]) {
		o->inherited[k] = false;
		o->inherited_freed++;
	} else {
		o->unknown++;
	}
}

void oracle_realloc_begin(struct oracle *o, uint32_t thread, int k)
{
	o->flight[thread] = o->block[k];
	o->flight_of[thread] = k;
	o->flight_was_last[thread] = o->last[thread] == k;
	o->flight_inherited[thread] = !o->block[k].live && o->inherited[k];
	o->inherited[k] &= o->block[k].live;
	o->block[k].live = false;
	o->last[thread] = -1;
}

static void land(struct oracle *o, uint32_t thread, bool temporary, uint64_t t_ns)
{
	if (o->flight[thread].live)
		count_out(o, &o->flight[thread], thread, temporary, t_ns);
	else if (o->flight_inherited[thread])
		o->inherited_freed++;
	else
		o->unknown++;
	o->flight_of[thread] = -1;
}

void oracle_realloc_end(struct oracle *o, uint32_t thread, int k, uint64_t size, uint32_t site, uint64_t t_ns)
{
	land(o, thread, false, t_ns);
	o->site[site].realloc_in++;
	oracle_alloc(o, thread, k, size, site, t_ns);
}

void oracle_realloc_fail(struct oracle *o, uint32_t thread, bool freed, uint64_t t_ns)
{
	int k = o->flight_of[thread];

	if (freed) {
		land(o, thread, o->flight_was_last[thread], t_ns);
		return;
	}
	if (o->flight[thread].live)
		o->block[k] = o->flight[thread];
	o->inherited[k] |= o->flight_inherited[thread];
	o->flight_of[thread] = -1;
}

static unsigned differ(const char *what, int site, uint64_t got, uint64_t want)
{
	if (got == want)
		return 0;
	fprintf(stderr, "site %d: %s is %" PRIu64 ", should be %" PRIu64 "\n", site, what, got, want);
	return 1;
}

static unsigned compare_site(const struct oracle_site *o, const struct heap_site *s, int i, bool with_order)
{
	unsigned n = 0;

	n += differ("alloc_blocks", i, s->alloc_blocks, o->alloc_blocks);
	n += differ("alloc_bytes", i, s->alloc_bytes, o->alloc_bytes);
	n += differ("free_blocks", i, s->free_blocks, o->free_blocks);
	n += differ("free_bytes", i, s->free_bytes, o->free_bytes);
	n += differ("live_blocks", i, s->live_blocks, o->live_blocks);
	n += differ("live_bytes", i, s->live_bytes, o->live_bytes);
	n += differ("realloc_in", i, s->realloc_in, o->realloc_in);
	n += differ("min_size", i, s->min_size, o->min_size);
	n += differ("max_size", i, s->max_size, o->max_size);
	if (!with_order)
		return n;
	n += differ("cross_frees", i, s->cross_frees, o->cross);
	n += differ("peak_blocks", i, s->peak_blocks, o->peak_blocks);
	n += differ("peak_bytes", i, s->peak_bytes, o->peak_bytes);
	n += differ("own_peak_bytes", i, s->own_peak_bytes, o->own_peak_bytes);
	n += differ("temporary", i, s->temporary_blocks, o->temporary);
	n += differ("life_ns", i, s->life_ns_sum, o->life_ns);
	return n;
}

static unsigned compare_sites(const struct oracle *o, const struct model_process *p, bool with_order)
{
	unsigned n = 0, n_sites = 0;

	for (int i = 0; i < ORACLE_SITES; i++)
		n_sites += o->site[i].alloc_blocks != 0;
	n += differ("n_sites", -1, p->n_sites, n_sites);
	for (size_t i = 0; i < p->n_sites; i++)
		n += compare_site(&o->site[p->sites[i]->stack], p->sites[i], (int)p->sites[i]->stack, with_order);
	return n;
}

/* Every live block of the oracle stands in the model's list, and no other. */
struct walk {
	const struct oracle *o;
	uint64_t blocks, bytes;
};

static void walk_one(void *arg, uint64_t address, uint64_t size, uint32_t stack, uint32_t thread, uint64_t t_ns)
{
	struct walk *w = arg;

	w->blocks++;
	w->bytes += size;
}

unsigned oracle_compare(const struct oracle *o, const struct model_process *p, bool with_order)
{
	struct walk w = { .o = o };
	unsigned n = compare_sites(o, p, with_order);

	model_live_blocks(p, walk_one, &w);
	n += differ("live list blocks", -1, w.blocks, o->live_blocks);
	n += differ("live list bytes", -1, w.bytes, o->live_bytes);
	n += differ("process live_blocks", -1, p->live_blocks, o->live_blocks);
	n += differ("process live_bytes", -1, p->live_bytes, o->live_bytes);
	n += differ("unknown_frees", -1, p->unknown_frees, o->unknown);
	n += differ("inherited_blocks", -1, p->inherited_blocks, o->inherited_blocks);
	n += differ("inherited_bytes", -1, p->inherited_bytes, o->inherited_bytes);
	n += differ("inherited_freed", -1, p->inherited_freed, o->inherited_freed);
	if (!with_order)
		return n;
	n += differ("process peak_bytes", -1, p->peak_bytes, o->peak_bytes);
	n += differ("process peak_blocks", -1, p->peak_blocks, o->peak_blocks);
	n += differ("repaired", -1, p->repaired, 0);
	n += differ("replaced", -1, p->replaced, 0);
	n += differ("nested", -1, p->nested_allocs, 0);
	return n;
}
