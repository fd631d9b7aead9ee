/*
 * held.c - who holds which pages of a process: see held.h.
 *
 * Blocks come in the order of addresses, and so do the runs of pages: one
 * pass over both.
 *
 *	pages    [ present     ][ absent ][ present ]
 *	blocks     [ a ][b]  [      c       ]  [d]
 *	live       per page; a page is judged when the next one begins
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmscope/pages.h>

#include "report/alloc.h"
#include "report/held.h"
#include "report_sql.h"

struct run {
	uint64_t page, n;
	enum mms_page_state state;
};

struct stacks { /* stack id -> site, by open addressing */
	struct slot {
		int64_t stack_id;
		size_t site_plus_1;
	} *slot;
	size_t n, capacity;
};

#define ON_PAGE 64 /* sites of one page that are remembered */

struct pass {
	struct held *h;
	struct answer *a;
	struct run *run;
	size_t n_runs, runs_capacity;
	struct stacks stacks;
	size_t at;        /* first run that ends above the last block's begin */
	bool *is_heap;    /* by area */
	size_t area;      /* of the last block */
	/* The page that is being filled with blocks. */
	uint64_t page, live;
	size_t on_page[ON_PAGE], n_on_page;
	uint64_t pages_with_live; /* resident ones */
};

/* ---- sites ---- */

static struct slot *slot_of(struct stacks *s, int64_t stack_id)
{
	size_t i = (size_t)((uint64_t)stack_id * 0x9e3779b97f4a7c15ull) & (s->capacity - 1);
	while (s->slot[i].site_plus_1 && s->slot[i].stack_id != stack_id)
		i = (i + 1) & (s->capacity - 1);
	return &s->slot[i];
}

static void grow(struct stacks *s)
{
	struct stacks old = *s;
	s->capacity = old.capacity ? old.capacity * 2 : 256;
	s->slot = xcalloc(s->capacity, sizeof(*s->slot));
	for (size_t i = 0; i < old.capacity; i++)
		if (old.slot[i].site_plus_1)
			*slot_of(s, old.slot[i].stack_id) = old.slot[i];
	free(old.slot);
}

/* Index of the site of a stack; stacks of one site share it. */
static size_t site_index(struct pass *w, int64_t stack_id)
{
	struct held *h = w->h;
	if (w->stacks.n * 2 >= w->stacks.capacity)
		grow(&w->stacks);
	struct slot *slot = slot_of(&w->stacks, stack_id);
	if (slot->site_plus_1)
		return slot->site_plus_1 - 1;
	char id[SPACE_ID];
	size_t i = 0;
	space_site(w->a, stack_id, id);
	while (i < h->n && (!id[0] || strcmp(h->site[i].id, id) != 0) && h->site[i].stack_id != stack_id)
		i++;
	if (i == h->n) {
		XGROW(h->site, h->n, h->capacity);
		h->site[h->n] = (struct held_site){.stack_id = stack_id};
		memcpy(h->site[h->n++].id, id, sizeof(id));
	}
	*slot = (struct slot){stack_id, i + 1};
	w->stacks.n++;
	return i;
}

/* Good until the next call: the sites move when there are more. */
static struct held_site *site_of(struct pass *w, int64_t stack_id)
{
	size_t i = site_index(w, stack_id);
	return &w->h->site[i];
}

/* ---- runs ---- */

static void add_runs(struct pass *w, const struct space_area *x)
{
	struct query *q = answer_query(w->a, sql_page_states);
	struct mms_page_reader r;
	struct run run;
	size_t size;
	query_bind(q, 1, x->id);
	if (answer_row(w->a, q)) {
		const void *blob = query_blob(q, 0, &size);
		mms_pages_begin(&r, blob, size, x->start / SPACE_PAGE);
		while (mms_pages_next(&r, &run.page, &run.n, &run.state)) {
			if (run.state == MMS_PAGE_ABSENT || run.page + run.n > x->end / SPACE_PAGE)
				continue;
			XGROW(w->run, w->n_runs, w->runs_capacity);
			w->run[w->n_runs++] = run;
		}
	} else if (x->present > 0) {
		w->h->counts_only = true;
	}
	query_close(q);
}

static bool resident(enum mms_page_state state)
{
	return state == MMS_PAGE_PRESENT || state == MMS_PAGE_HUGE;
}

/* ---- blocks ---- */

static bool page_is_resident(struct pass *w, uint64_t page)
{
	for (size_t i = w->at; i < w->n_runs && w->run[i].page <= page; i++)
		if (page < w->run[i].page + w->run[i].n)
			return resident(w->run[i].state);
	return false;
}

/* No more blocks come to the page. */
static void judge_page(struct pass *w)
{
	if (w->live && page_is_resident(w, w->page)) {
		w->pages_with_live++;
		if (w->live < SPACE_PAGE / 10) {
			w->h->pinned_pages++;
			w->h->pinned_live += w->live;
			for (size_t i = 0; i < w->n_on_page; i++)
				w->h->site[w->on_page[i]].pinned_pages++;
		}
	}
	w->live = w->n_on_page = 0;
}

static void on_page(struct pass *w, uint64_t page, uint64_t bytes, size_t site)
{
	if (page != w->page) {
		judge_page(w);
		w->page = page;
	}
	w->live += bytes;
	for (size_t i = 0; i < w->n_on_page; i++)
		if (w->on_page[i] == site)
			return;
	if (w->n_on_page < ON_PAGE)
		w->on_page[w->n_on_page++] = site;
}

static uint64_t common(uint64_t a, uint64_t b, uint64_t low, uint64_t high)
{
	uint64_t from = a > low ? a : low, to = b < high ? b : high;
	return to > from ? to - from : 0;
}

/* Whole pages inside a big block: full of live bytes. */
static void middle_pages(struct pass *w, uint64_t first, uint64_t end)
{
	for (size_t i = w->at; first < end && i < w->n_runs && w->run[i].page < end; i++)
		if (resident(w->run[i].state))
			w->pages_with_live += common(first, end, w->run[i].page, w->run[i].page + w->run[i].n);
}

static void spread(struct pass *w, uint64_t start, uint64_t end, size_t site)
{
	uint64_t first = start / SPACE_PAGE, last = (end - 1) / SPACE_PAGE;
	on_page(w, first, common(start, end, first * SPACE_PAGE, (first + 1) * SPACE_PAGE), site);
	if (last == first)
		return;
	judge_page(w);
	middle_pages(w, first + 1, last);
	on_page(w, last, end - last * SPACE_PAGE, site);
}

static void find_area(struct pass *w, uint64_t address)
{
	const struct space *s = &w->h->space;
	while (w->area < s->n && s->area[w->area].end <= address)
		w->area++;
	if (w->area < s->n && s->area[w->area].start <= address)
		w->is_heap[w->area] = true;
}

static void one_block(struct pass *w, uint64_t start, uint64_t size, int64_t stack_id)
{
	size_t i = site_index(w, stack_id);
	struct held_site *site = &w->h->site[i];
	uint64_t end = start + (size ? size : 1);
	if (w->live && start / SPACE_PAGE != w->page)
		judge_page(w);
	while (w->at < w->n_runs && (w->run[w->at].page + w->run[w->at].n) * SPACE_PAGE <= start)
		w->at++;
	site->blocks++;
	site->requested += size;
	for (size_t k = w->at; k < w->n_runs && w->run[k].page * SPACE_PAGE < end; k++) {
		const struct run *r = &w->run[k];
		uint64_t bytes = common(start, start + size, r->page * SPACE_PAGE, (r->page + r->n) * SPACE_PAGE);
		site->touched += bytes;
		if (resident(r->state)) {
			site->resident += bytes;
			w->h->rss.heap_live += bytes;
		}
	}
	find_area(w, start);
	spread(w, start, end, i);
	w->h->n_blocks++;
}

static void all_blocks(struct pass *w)
{
	struct query *q = answer_query(w->a, sql_live_blocks);
	query_bind(q, 1, w->h->space.process->id);
	while (answer_row(w->a, q))
		one_block(w, (uint64_t)query_int(q, 0), (uint64_t)query_int(q, 1), query_int(q, 2));
	query_close(q);
	judge_page(w);
}

/* ---- areas ---- */

static bool is(const struct space_area *x, const char *kind)
{
	return strcmp(x->kind, kind) == 0;
}

static void one_mapping(struct pass *w, const struct space_area *x)
{
	struct held_site *site = site_of(w, x->stack_id);
	site->areas++;
	site->requested += x->end - x->start;
	site->touched += x->touched * SPACE_PAGE;
	site->resident += (x->present > 0 ? (uint64_t)x->present : 0) * SPACE_PAGE;
}

static void one_area(struct pass *w, size_t i, uint64_t *heap_pages)
{
	const struct space_area *x = &w->h->space.area[i];
	struct held_rss *r = &w->h->rss;
	uint64_t bytes = (x->present > 0 ? (uint64_t)x->present : 0) * SPACE_PAGE;
	bool heap = w->is_heap[i] && (is(x, "mapping") || is(x, "loader") || is(x, "unknown"));

	if (heap || is(x, "heap") || is(x, "malloc"))
		*heap_pages += bytes / SPACE_PAGE;
	else if (is(x, "stack") || is(x, "thread stack"))
		r->stacks += bytes;
	else if (is(x, "exe") || is(x, "library") || is(x, "file") || is(x, "loader"))
		r->file += bytes;
	else if (is(x, "shared memory"))
		r->shmem += bytes;
	else if (is(x, "mmscope"))
		r->profiler += bytes;
	else if (is(x, "mapping"))
		r->mappings += bytes;
	else
		r->other += bytes;
	if (x->stack_id && !heap)
		one_mapping(w, x);
}

static void all_areas(struct pass *w)
{
	struct held_rss *r = &w->h->rss;
	uint64_t heap_pages = 0;
	for (size_t i = 0; i < w->h->space.n; i++)
		one_area(w, i, &heap_pages);
	uint64_t with = w->pages_with_live < heap_pages ? w->pages_with_live : heap_pages;
	r->slack_cached = (heap_pages - with) * SPACE_PAGE;
	r->slack_partial = with * SPACE_PAGE > r->heap_live ? with * SPACE_PAGE - r->heap_live : 0;
}

static void all_gone(struct pass *w)
{
	struct query *q = answer_query(w->a, sql_gone);
	query_bind(q, 1, w->h->space.process->id);
	while (answer_row(w->a, q)) {
		struct held_site *site = site_of(w, query_int(q, 0));
		uint64_t bytes = (uint64_t)query_int(q, 2), touched = (uint64_t)query_int(q, 3) * SPACE_PAGE;
		site->gone_count += (uint64_t)query_int(q, 1);
		site->gone_requested += bytes;
		site->gone_touched += touched < bytes ? touched : bytes;
	}
	query_close(q);
}

static void load_allocator(struct held_allocator *x, struct answer *a, const struct answer_process *p)
{
	struct query *q = answer_query(a, sql_allocator);
	query_bind(q, 1, p->id);
	if (answer_row(a, q)) {
		snprintf(x->name, sizeof(x->name), "%s", query_text(q, 0));
		x->known = !query_null(q, 1);
		x->in_use = (uint64_t)query_int(q, 1);
		x->cached = (uint64_t)query_int(q, 2);
		x->fragmented = (uint64_t)query_int(q, 3);
		x->mapped = (uint64_t)query_int(q, 4);
	}
	query_close(q);
}

static uint64_t waste(const struct held_site *s)
{
	return s->requested > s->touched ? s->requested - s->touched : 0;
}

static int by_waste(const void *left, const void *right)
{
	const struct held_site *a = left, *b = right;
	if (waste(a) != waste(b))
		return waste(a) > waste(b) ? -1 : 1;
	if (a->requested != b->requested)
		return a->requested > b->requested ? -1 : 1;
	if (a->gone_requested != b->gone_requested)
		return a->gone_requested > b->gone_requested ? -1 : 1;
	return a->stack_id < b->stack_id ? -1 : a->stack_id > b->stack_id;
}

/* What the kernel did not tell is unknown, not zero. */
static bool pages_are_known(const struct space *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->area[i].present < 0 && !is(&s->area[i], "kernel"))
			return false;
	return s->n > 0;
}

bool held_load(struct held *h, struct answer *a, const struct answer_process *p)
{
	*h = (struct held){.blocks_known = capture_state(a->capture) == CAPTURE_COMPLETE};
	if (!a->exact || a->n_pauses) /* not all blocks are known */
		return false;
	if (!space_load(&h->space, a, p, -1) || !pages_are_known(&h->space))
		return false;
	struct pass w = {.h = h, .a = a, .is_heap = xcalloc(h->space.n, sizeof(bool))};
	for (size_t i = 0; i < h->space.n; i++)
		add_runs(&w, &h->space.area[i]);
	all_blocks(&w);
	all_areas(&w);
	all_gone(&w);
	load_allocator(&h->allocator, a, p);
	h->rss.total = h->space.mm[MM_RSS];
	if (h->n)
		qsort(h->site, h->n, sizeof(*h->site), by_waste);
	free(w.run);
	free(w.stacks.slot);
	free(w.is_heap);
	return true;
}

void held_done(struct held *h)
{
	space_done(&h->space);
	free(h->site);
	memset(h, 0, sizeof(*h));
}

uint64_t held_heap(const struct held_rss *r)
{
	return r->heap_live + r->slack_cached + r->slack_partial;
}

int64_t held_unexplained(const struct held_rss *r)
{
	return r->total - (int64_t)(held_heap(r) + r->mappings + r->stacks + r->file + r->shmem + r->profiler + r->other);
}
