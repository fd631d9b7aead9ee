/*
 * sites.c - totals per stack, series and live blocks of the model as rows.
 *
 * Totals are written at each flush where they changed; series of sites and
 * live blocks at the end only (finish.c).  Everything here is bounded, and
 * what a bound left out is counted and said in `coverage`:
 *
 *   sites        once the database is big, a process that was not written yet
 *                gets its largest sites only
 *   series       neighbouring buckets are merged until all fit 8 MiB
 *   live blocks  at most 1,000,000 and what fits the file; beyond that every
 *                site keeps its first blocks, as many for each
 */
#include "store.h"

#include "model/reach.h"
#include "model/series.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_PROCESS_SITES 8 /* kept per process once the database is big */

static int write_site(struct store *s, uint64_t process, const struct heap_site *h)
{
	struct row r = row_of(store_statement(s, ST_SITE));
	const uint64_t value[] = {
		h->alloc_blocks, h->alloc_bytes, h->free_blocks, h->free_bytes, h->live_blocks, h->live_bytes,
		h->peak_blocks, h->peak_bytes, h->own_peak_bytes, h->temporary_blocks, h->cross_frees,
		h->realloc_in, h->min_size, h->max_size, h->first_ns, h->last_ns, h->life_ns_sum,
	};
	size_t buckets = LIFE_BUCKETS;

	row_int(&r, process);
	row_int(&r, h->stack);
	for (size_t i = 0; i < sizeof(value) / sizeof(value[0]); i++)
		row_int(&r, value[i]);
	while (buckets && !h->life_hist[buckets - 1])
		buckets--;
	if (buckets) /* the machine is little-endian, as the column is */
		row_blob(&r, h->life_hist, buckets * sizeof(h->life_hist[0]));
	else
		row_null(&r);
	row_maybe(&r, h->last_thread != 0, h->last_thread);
	return store_run(s, &r);
}

int store_write_estimate(struct store *s, uint64_t process, int64_t stack, const struct sampled_sums *sums,
	const struct store_amounts *amounts)
{
	struct row r = row_of(store_statement(s, ST_ESTIMATE));
	const struct {
		const struct estimate_sum *sum;
		uint64_t bytes, blocks;
	} part[] = {{&sums->alloc, amounts->alloc_bytes, amounts->alloc_blocks},
		{&sums->live, amounts->live_bytes, amounts->live_blocks},
		{&sums->peak, amounts->peak_bytes, amounts->peak_blocks}};

	row_int(&r, process);
	row_int(&r, (uint64_t)stack);
	for (size_t i = 0; i < 3; i++)
		row_int(&r, part[i].sum->n);
	for (size_t i = 0; i < 3; i++) {
		struct estimate_range bytes = estimate_range(part[i].bytes, &part[i].sum->of_bytes);
		struct estimate_range blocks = estimate_range(part[i].blocks, &part[i].sum->of_blocks);
		row_int(&r, bytes.low);
		row_int(&r, bytes.high);
		row_int(&r, blocks.low);
		row_int(&r, blocks.high);
	}
	return store_run(s, &r);
}

static int write_site_estimate(struct store *s, uint64_t process, const struct heap_site *h)
{
	const struct store_amounts amounts = {h->alloc_bytes, h->alloc_blocks, h->live_bytes, h->live_blocks,
		h->peak_bytes, h->peak_blocks};

	return store_write_estimate(s, process, h->stack, h->sampled, &amounts);
}

static int by_peak(const void *a, const void *b)
{
	const struct heap_site *x = *(struct heap_site *const *)a, *y = *(struct heap_site *const *)b;

	return x->own_peak_bytes < y->own_peak_bytes ? 1 : x->own_peak_bytes > y->own_peak_bytes ? -1
		: x->stack > y->stack ? 1 : x->stack < y->stack ? -1 : 0;
}

static uint64_t site_digest(const struct heap_site *h)
{
	struct heap_site plain = *h;

	plain.series = NULL;
	plain.left = NULL; /* written at the end */
	plain.at_peak_blocks = plain.at_peak_bytes = plain.epoch = 0; /* not written */
	return store_digest(1, &plain, sizeof(plain));
}

/* The smallest own peak that a site of this process must have to be written. */
static int smallest_kept(struct store *s, const struct model_process *p, uint64_t *ret)
{
	struct heap_site **sorted;

	*ret = 0;
	if (p->n_sites <= SMALL_PROCESS_SITES || store_bytes(s) < STORE_SITES_BYTES)
		return 0;
	sorted = malloc(p->n_sites * sizeof(struct heap_site *));
	if (!sorted)
		return store_no_memory(s);
	memcpy(sorted, p->sites, p->n_sites * sizeof(struct heap_site *));
	qsort(sorted, p->n_sites, sizeof(struct heap_site *), by_peak);
	*ret = sorted[SMALL_PROCESS_SITES - 1]->own_peak_bytes;
	free(sorted);
	return 0;
}

int store_write_sites(struct store *s, const struct model_process *p, struct written_process *w,
	const struct stack_source *stacks)
{
	uint64_t smallest = 0;
	bool asked = false;
	int error = 0;

	if (store_grow(&w->sites, &w->n_sites, p->n_sites))
		return store_no_memory(s);
	for (size_t i = 0; !error && i < p->n_sites; i++) {
		const struct heap_site *h = p->sites[i];
		uint64_t digest = site_digest(h);

		if (w->sites[i] == digest)
			continue;
		if (!w->sites[i] && !asked) {
			error = smallest_kept(s, p, &smallest);
			asked = true;
		}
		if (!w->sites[i] && h->own_peak_bytes < smallest)
			continue;
		if (!error)
			error = store_write_stack(s, h->stack, stacks);
		if (!error)
			error = write_site(s, p->number, h);
		if (!error && h->sampled)
			error = write_site_estimate(s, p->number, h);
		w->sites[i] = digest;
	}
	return error;
}

static int write_series(struct store *s, uint64_t process, int64_t stack, const struct series *series,
	uint32_t merge)
{
	uint8_t data[SERIES_MAX * 30];
	struct row r = row_of(store_statement(s, ST_SERIES));
	size_t size;

	if (!series->n || series_blob_room(series->n) > sizeof(data))
		return 0;
	size = series_blob(series, merge, data);
	row_int(&r, process);
	row_int(&r, (uint64_t)stack);
	row_int(&r, series->start_ns);
	row_int(&r, series->width_ns * merge);
	row_blob(&r, data, size);
	return store_run(s, &r);
}

int store_write_process_series(struct store *s, const struct model_process *p)
{
	return p->series ? write_series(s, p->number, -1, p->series, 1) : 0;
}

/* Runs over the series of all sites: counts their bytes, or writes them when
 * ret_bytes is NULL. */
static int each_series(struct store *s, const struct model *m, uint32_t merge, uint64_t *ret_bytes)
{
	uint8_t data[SERIES_MAX * 30];
	int error = 0;

	for (size_t i = 0; !error && i < m->n_processes; i++) {
		const struct model_process *p = m->processes[i];

		for (size_t k = 0; !error && k < p->n_sites; k++) {
			const struct series *series = p->sites[k]->series;

			if (!series || series_blob_room(series->n) > sizeof(data))
				continue;
			if (ret_bytes)
				*ret_bytes += series_blob(series, merge, data);
			else if (s->processes[i].sites[k])
				error = write_series(s, p->number, p->sites[k]->stack, series, merge);
		}
	}
	return error;
}

int store_write_all_series(struct store *s, const struct model *m)
{
	uint32_t merge = 1;

	for (; merge < SERIES_MAX; merge *= 2) {
		uint64_t bytes = 0;

		each_series(s, m, merge, &bytes);
		if (bytes <= STORE_SERIES_BYTES)
			break;
	}
	return each_series(s, m, merge, NULL);
}

/* Live blocks: collected per process, sorted by address (the key), inserted. */
struct block {
	uint64_t address, size, t_ns;
	uint32_t stack, thread;
};
struct collected {
	struct block *blocks;
	size_t n, room;
	uint32_t *per_stack; /* blocks seen so far; NULL: no bound per site */
	uint32_t n_per_stack;
	uint32_t per_site;   /* at most so many of each */
	uint64_t left_out;
	const struct model_process *p;
	struct site_left **left; /* by stack: what was found of those that are left out */
	bool no_memory;
};

static void leave_out(struct collected *c, uint64_t address, uint64_t size, uint32_t stack, uint64_t t_ns)
{
	struct site_left *left = c->left[stack] ? c->left[stack] : calloc(1, sizeof(*left));

	c->left_out++;
	c->left[stack] = left;
	c->no_memory = !left;
	if (left)
		site_left_add(left, model_verdict(c->p, address, t_ns), size, t_ns);
}

static void collect_block(void *arg, uint64_t address, uint64_t size, uint32_t stack, uint32_t thread,
	uint64_t t_ns)
{
	struct collected *c = arg;

	if (c->no_memory)
		return;
	if (stack < c->n_per_stack && ++c->per_stack[stack] > c->per_site) {
		leave_out(c, address, size, stack, t_ns);
		return;
	}
	if (c->n == c->room) {
		size_t room = c->room * 2 + 1024;
		struct block *grown = realloc(c->blocks, room * sizeof(*grown));

		if (!grown) {
			c->no_memory = true;
			return;
		}
		c->blocks = grown;
		c->room = room;
	}
	c->blocks[c->n++] = (struct block){address, size, t_ns, stack, thread};
}

static int by_address(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

static const char *const verdict_words[] = {
	[REACH_UNCLASSIFIED] = NULL,
	[REACH_REACHABLE] = "reachable",
	[REACH_POSSIBLE] = "possible",
	[REACH_INDIRECT] = "indirect",
	[REACH_DEFINITE] = "definite",
};

static int insert_blocks(struct store *s, const struct model_process *p, const struct collected *c)
{
	int error = 0;

	for (size_t i = 0; !error && i < c->n; i++) {
		const struct block *b = &c->blocks[i];
		struct row r = row_of(store_statement(s, ST_LIVE));

		row_int(&r, p->number);
		row_int(&r, b->address);
		row_int(&r, b->size);
		row_int(&r, b->stack);
		row_int(&r, b->thread);
		row_int(&r, b->t_ns);
		row_text(&r, verdict_words[model_verdict(p, b->address, b->t_ns)]);
		error = store_run(s, &r);
	}
	return error;
}

static int write_left(struct store *s, uint64_t process, uint32_t stack, const struct site_left *left)
{
	int error = 0;

	for (int v = 0; !error && v < LEFT_VERDICTS; v++) {
		struct row r = row_of(left->blocks[v] ? store_statement(s, ST_LEFT) : NULL);
		if (!left->blocks[v])
			continue;
		row_int(&r, process);
		row_int(&r, stack);
		row_text(&r, verdict_words[v] ? verdict_words[v] : "");
		row_int(&r, left->blocks[v]);
		row_int(&r, left->bytes[v]);
		row_int(&r, left->oldest_ns);
		row_int(&r, left->youngest_ns);
		error = store_run(s, &r);
	}
	return error;
}

/* A sum of processes has no blocks, but what was found of them. */
static int write_left_of_sum(struct store *s, const struct model_process *p)
{
	int error = 0;

	for (size_t i = 0; i < p->n_sites && !error; i++)
		if (p->sites[i]->left)
			error = write_left(s, p->number, p->sites[i]->stack, p->sites[i]->left);
	return error;
}

/* What is in no row is unclassified anyway. */
static int write_left_out(struct store *s, const struct collected *c)
{
	int error = 0;

	if (store_bytes(s) > STORE_LIMIT_BYTES)
		return 0;
	for (uint32_t i = 0; i < c->n_per_stack && !error; i++) {
		if (!c->left[i])
			continue;
		c->left[i]->blocks[REACH_UNCLASSIFIED] = 0;
		error = write_left(s, c->p->number, i, c->left[i]);
	}
	return error;
}

static uint32_t highest_stack(const struct model_process *p)
{
	uint32_t highest = 0;

	for (size_t i = 0; i < p->n_sites; i++)
		highest = p->sites[i]->stack > highest ? p->sites[i]->stack : highest;
	return highest;
}

static int write_blocks_of(struct store *s, const struct model_process *p, uint32_t per_site)
{
	struct collected c = {.per_site = per_site, .p = p};
	int error = 0;

	if (p->n_summed)
		return write_left_of_sum(s, p);
	if (!p->live_blocks)
		return 0;
	if (per_site != UINT32_MAX) {
		c.n_per_stack = highest_stack(p) + 1;
		c.per_stack = calloc(c.n_per_stack, sizeof(*c.per_stack));
		c.left = calloc(c.n_per_stack, sizeof(struct site_left *));
		c.no_memory = !c.per_stack || !c.left;
	}
	if (!c.no_memory)
		model_live_blocks(p, collect_block, &c);
	if (c.no_memory)
		error = store_no_memory(s);
	if (!error && c.n)
		qsort(c.blocks, c.n, sizeof(*c.blocks), by_address);
	if (!error)
		error = insert_blocks(s, p, &c);
	if (!error && c.left)
		error = write_left_out(s, &c);
	for (uint32_t i = 0; i < c.n_per_stack && c.left; i++)
		free(c.left[i]);
	free(c.left);
	s->live_left_out += c.left_out;
	free(c.blocks);
	free(c.per_stack);
	return error;
}

static uint64_t blocks_with(const struct model *m, uint64_t per_site)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->n_processes; i++) {
		const struct model_process *p = m->processes[i];

		for (size_t k = 0; k < p->n_sites && !p->n_summed; k++)
			sum += p->sites[k]->live_blocks < per_site ? p->sites[k]->live_blocks : per_site;
	}
	return sum;
}

/* How many blocks each site may keep so that the sum stays within `bound`. */
static uint32_t blocks_per_site(const struct model *m, uint64_t bound)
{
	uint32_t low = 1, high = UINT32_MAX - 1;

	if (blocks_with(m, UINT32_MAX) <= bound)
		return UINT32_MAX;
	while (low < high) {
		uint32_t middle = low + (high - low + 1) / 2;

		if (blocks_with(m, middle) <= bound)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

static int say_left_out_sites(struct store *s, const struct model *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->n_processes; i++) {
		for (size_t k = 0; k < m->processes[i]->n_sites; k++)
			n += k >= s->processes[i].n_sites || !s->processes[i].sites[k];
	}
	return n ? store_coverage(s, 0, "sites_cut", n,
		"The database was full: small sites of some processes are not listed;"
		" totals of the processes are exact.") : 0;
}

int store_write_live_blocks(struct store *s, const struct model *m)
{
	const int64_t row_bytes = 40; /* measured: 33 to 37 */
	int64_t room = (STORE_LIMIT_BYTES - store_bytes(s)) / row_bytes;
	uint64_t bound = room < 1000 ? 1000 : (uint64_t)room;
	uint32_t per_site;
	int error = 0;

	per_site = blocks_per_site(m, bound < STORE_LIVE_MAX ? bound : STORE_LIVE_MAX);
	for (size_t i = 0; !error && i < m->n_processes; i++)
		error = write_blocks_of(s, m->processes[i], per_site);
	if (!error && s->live_left_out)
		error = store_coverage(s, 0, "live_blocks_cut", s->live_left_out,
			"Too many live blocks to list one by one: each site lists some; totals, and how many of"
			" each site were lost or reachable, are exact.");
	return error ? error : say_left_out_sites(s, m);
}
