/*
 * cow_result.c - what a fork's sets of pages mean, and their rows.
 *
 * shared      armed by both sides (by the one that could, where one could not)
 * broke       shared and written by the side; both: by each
 * copies      one for each side's first write, less the pages whose last
 *             sharer wrote when all others had: the kernel leaves it the frame
 *             (not in 2 MiB entries).  With more forks of one parent alive,
 *             its write counts for the newest, and the frame is left only when
 *             the earlier children wrote too.
 * copies_low  where a side gave a page away (unmapped, dropped) that the other
 *             wrote, the order is not known: perhaps nothing was copied
 *
 * Called by cow.c when a fork is over.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collect/cow_private.h"
#include "collect/page_blob.h"
#include "mirror/vma_tree.h"

#define ALL (1ull << 36)
#define PAGE_SIZE_HERE 4096u
#define PAGES_MAX (8u << 20) /* bytes of cow_vma.pages in a recording */

struct sets {
	struct page_plane shared, broke[SIDES], both;
};

static void make_sets(const struct cow_fork *f, struct sets *ret)
{
	const struct cow_side *p = &f->side[PARENT], *c = &f->side[CHILD];
	const struct page_plane *a = p->armed ? &p->plane[COW_ARMED] : &c->plane[COW_ARMED];
	const struct page_plane *b = c->armed ? &c->plane[COW_ARMED] : a;

	*ret = (struct sets){ .shared = { .slot = NULL } };
	cow_plane_add_common(&ret->shared, a, b);
	for (int side = 0; side < SIDES; side++)
		cow_plane_add_common(&ret->broke[side], &f->side[side].plane[COW_WRITTEN], &ret->shared);
	cow_plane_add_common(&ret->both, &ret->broke[PARENT], &ret->broke[CHILD]);
}

static void free_sets(struct sets *s)
{
	cow_plane_free(&s->shared);
	cow_plane_free(&s->broke[PARENT]);
	cow_plane_free(&s->broke[CHILD]);
	cow_plane_free(&s->both);
}

/* ---- copies ---- */

/* Pages whose last sharer wrote: no copy was made for it. */
static struct page_plane find_left(const struct cows *c, const struct cow_fork *f, const struct sets *s)
{
	struct page_plane left = { .slot = NULL }, settled = { .slot = NULL };

	cow_plane_add_common(&left, &f->side[PARENT].plane[COW_FIRST], &s->both);
	cow_plane_take_away(&left, &f->side[PARENT].plane[COW_HUGE]);
	/* Earlier forks from before the parent's last write shared another frame. */
	for (size_t i = c->n; i-- > 0 && left.n_set;) {
		const struct cow_fork *g = c->forks[i];
		if (g == f || g->released || g->parent != f->parent || g->stamp > f->stamp)
			continue;
		struct page_plane waits = { .slot = NULL };
		cow_plane_add_common(&settled, &g->side[PARENT].plane[COW_FIRST], &s->shared);
		cow_plane_add_common(&waits, &g->side[CHILD].plane[COW_ARMED], &left);
		cow_plane_take_away(&waits, &g->side[CHILD].plane[COW_WRITTEN]);
		cow_plane_take_away(&waits, &settled);
		cow_plane_take_away(&left, &waits);
		cow_plane_free(&waits);
	}
	cow_plane_free(&settled);
	return left;
}

/* Written by one side, given away by the other. */
static struct page_plane find_unsure(const struct cow_fork *f, const struct sets *s)
{
	struct page_plane unsure = { .slot = NULL };

	for (int side = 0; side < SIDES; side++)
		cow_plane_add_common(&unsure, &s->broke[side], &f->side[!side].plane[COW_GONE]);
	cow_plane_take_away(&unsure, &s->both);
	return unsure;
}

static void fill_copies(const struct cows *c, struct cow_fork *f, const struct sets *s, const struct cow_share *share)
{
	struct store_cow_fork *r = &f->row;

	if (!f->side[PARENT].armed || !f->side[CHILD].armed)
		return;
	struct page_plane left = { .slot = NULL }, unsure = { .slot = NULL }, first[SIDES];

	if (f->watch != MMS_WATCH_FRAMES) { /* there a break is a copy */
		left = find_left(c, f, s);
		unsure = find_unsure(f, s);
	}
	for (int side = 0; side < SIDES; side++) {
		first[side] = (struct page_plane){ .slot = NULL };
		cow_plane_add_common(&first[side], &f->side[side].plane[COW_FIRST], &s->shared);
	}
	const struct page_plane *const plus[] = { &first[PARENT], &first[CHILD] };
	const struct page_plane *const sure[] = { &left, NULL }, *const perhaps[] = { &left, &unsure };
	struct cow_range high = cow_share_pages(share, plus, sure, 2);
	struct cow_range low = cow_share_pages(share, plus, perhaps, 2);
	f->range[COW_RANGE_COPIES] = (struct cow_range){ high.point, low.low, high.high };
	r->copies_low = low.low;
	r->copies_high = high.high;
	r->copies = low.point == high.point ? high.point : STORE_UNKNOWN;
	cow_plane_free(&left);
	cow_plane_free(&unsure);
	cow_plane_free(&first[PARENT]);
	cow_plane_free(&first[CHILD]);
}

static struct page_plane find_still(const struct cow_fork *f, const struct sets *s)
{
	struct page_plane p = { .slot = NULL };

	cow_plane_add_common(&p, &s->shared, &s->shared);
	for (int side = 0; side < SIDES; side++) {
		cow_plane_take_away(&p, &s->broke[side]);
		cow_plane_take_away(&p, &f->side[side].plane[COW_GONE]);
	}
	return p;
}

/* ---- the row of the fork ---- */

static void fill_faults(struct cow_fork *f)
{
	uint64_t *ret[SIDES] = { &f->row.parent_faults, &f->row.child_faults };

	for (int side = 0; side < SIDES; side++) {
		const struct cow_side *s = &f->side[side];
		uint64_t from = s->faults_begin != STORE_UNKNOWN ? s->faults_begin : side == CHILD ? 0 : s->faults_from;
		if (s->faults != STORE_UNKNOWN && from != STORE_UNKNOWN && s->faults >= from)
			*ret[side] = s->faults - from;
	}
}

/* known: the figure means something. */
static uint64_t figure(struct cow_fork *f, enum cow_range_of what, bool known, struct cow_range r)
{
	f->range[what] = known ? r : (struct cow_range){ 0, STORE_UNKNOWN, STORE_UNKNOWN };
	return known ? r.point : STORE_UNKNOWN;
}

static struct cow_range range_of(const struct cow_share *s, const struct page_plane *p)
{
	const struct page_plane *const plus[2] = { p, NULL }, *const minus[2] = { NULL, NULL };

	return cow_share_pages(s, plus, minus, 1);
}

static void fill_counts(struct cow_fork *f, const struct sets *s, const struct cow_share *share)
{
	const struct cow_side *p = &f->side[PARENT], *k = &f->side[CHILD];
	struct store_cow_fork *r = &f->row;
	struct page_plane still = find_still(f, s);
	bool both = p->armed && k->armed;

	r->pages_shared = share->all;
	r->parent_broke = figure(f, COW_RANGE_PARENT, p->armed, range_of(share, &s->broke[PARENT]));
	r->child_broke = figure(f, COW_RANGE_CHILD, k->armed, range_of(share, &s->broke[CHILD]));
	r->both_broke = figure(f, COW_RANGE_BOTH, both, range_of(share, &s->both));
	r->still_shared = figure(f, COW_RANGE_STILL, both, range_of(share, &still));
	r->new_parent = figure(f, COW_RANGE_NEW_PARENT, p->new_known, cow_share_new(share, &p->plane[COW_NEW], &p->plane[COW_CAME]));
	r->new_child = figure(f, COW_RANGE_NEW_CHILD, k->new_known, cow_share_new(share, &k->plane[COW_NEW], &k->plane[COW_CAME]));
	cow_plane_free(&still);
}

/* Both sides stood still, or go on, and were compared with the witness. */
static bool is_compared(const struct cow_fork *f)
{
	return f->witness.sites && cow_known_at_end(&f->side[PARENT]) && cow_known_at_end(&f->side[CHILD]);
}

static void fill_changes(struct cow_fork *f)
{
	if (!is_compared(f))
		return;
	struct cow_totals t = cow_sites_totals(f->witness.sites);
	f->row.bytes_changed = t.bytes_changed;
	f->row.identical_pages = t.pages[COW_IDENTICAL];
	f->row.counter_pages = t.pages[COW_COUNTER];
	f->row.pointer_pages = t.pages[COW_POINTER];
	f->row.bulk_pages = t.pages[COW_BULK];
}

static void fill_watched(const struct cows *c, struct cow_fork *f, const struct sets *s, const struct cow_share *share)
{
	const struct cow_side *p = &f->side[PARENT], *k = &f->side[CHILD];
	struct store_cow_fork *r = &f->row;

	f->in_part = share->in_part;
	f->range[COW_RANGE_COPIES] = (struct cow_range){ 0, STORE_UNKNOWN, STORE_UNKNOWN };
	r->method = f->watch == MMS_WATCH_WITNESS  ? "witness"
		: f->watch == MMS_WATCH_FRAMES     ? "pfn"
		: f->watch == MMS_WATCH_SOFT_DIRTY ? "soft-dirty"
						   : "userfaultfd";
	r->watched_share = 1 / cow_share_scale(share);
	r->areas = p->n_areas ? p->n_areas : STORE_UNKNOWN;
	r->page_tables = k->page_tables ? k->page_tables : STORE_UNKNOWN;
	r->page_size = PAGE_SIZE_HERE;
	r->arm_parent_ns = p->armed ? p->cost_ns : STORE_UNKNOWN;
	r->arm_child_ns = k->armed && k->cost_ns ? k->cost_ns : STORE_UNKNOWN;
	if (f->late != STORE_UNKNOWN)
		r->error_pages = f->late + (p->armed ? p->window : 0) + (k->armed ? k->window : 0) + cow_count_swapped(f) +
			cow_count_joined(f);
	r->watched_ns = f->end_ns > f->t_ns ? f->end_ns - f->t_ns : 0;
	fill_counts(f, s, share);
	fill_copies(c, f, s, share);
	cow_why(f, r->watched_share);
	fill_changes(f);
}

int cow_write_ranges(struct cows *c, const struct cow_fork *f)
{
	static const char *const names[COW_RANGES] = { "parent_broke", "child_broke", "both_broke", "still_shared",
		"new_parent", "new_child", "copies" };
	int r = 0;

	for (int i = 0; i < COW_RANGES && f->in_part && r == 0; i++)
		if (f->range[i].low != STORE_UNKNOWN)
			r = store_cow_interval(*c->store, f->id, names[i], f->range[i].low, f->range[i].high);
	return r;
}

/* ---- rows beside it ---- */

/* The state of a page, and how far on all sets agree with it. */
static enum mms_cow_page state_at(const struct sets *s, uint64_t page, uint64_t end, uint64_t *ret_end)
{
	const struct page_plane *const plane[] = { &s->shared, &s->broke[PARENT], &s->broke[CHILD] };
	bool is[3];

	*ret_end = end;
	for (int i = 0; i < 3; i++) {
		struct page_run run;
		bool some = page_plane_run(plane[i], page, *ret_end, &run);
		is[i] = some && run.first == page;
		if (some)
			*ret_end = is[i] && run.first + run.n < *ret_end ? run.first + run.n : is[i] ? *ret_end : run.first;
	}
	return !is[0] ? MMS_COW_PAGE_NONE : (enum mms_cow_page)(MMS_COW_PAGE_SHARED + is[1] + 2 * is[2]);
}

static bool make_pages(struct page_blob *ret, const struct sets *s, const struct mms_cow_area *a)
{
	uint64_t end = a->end >> 12;

	page_blob_begin(ret, a->start >> 12);
	for (uint64_t page = a->start >> 12, next; page < end; page = next) {
		enum mms_cow_page state = state_at(s, page, end, &next);
		if (state != MMS_COW_PAGE_NONE)
			page_runs_add(&ret->runs, page, next - page, (enum mms_page_state)state);
	}
	return page_blob_end(ret);
}

/* The figures of an area, each with its interval where a part was watched. */
static void count_area(struct cows *c, const struct cow_fork *f, const struct sets *s, const struct cow_share *share,
	const struct mms_cow_area *a, struct store_cow_vma *v)
{
	bool parent = f->side[PARENT].armed, child = f->side[CHILD].armed;
	const struct {
		const char *name;
		const struct page_plane *plane;
		bool known;
		uint64_t *to;
	} figure[] = { { "pages_shared", &s->shared, true, &v->shared },
		{ "parent_broke", &s->broke[PARENT], parent, &v->parent_broke },
		{ "child_broke", &s->broke[CHILD], child, &v->child_broke },
		{ "both_broke", &s->both, parent && child, &v->both_broke } };

	for (size_t i = 0; i < sizeof(figure) / sizeof(figure[0]); i++) {
		struct cow_range r = cow_share_area(share, figure[i].plane, a);
		*figure[i].to = figure[i].known ? r.point : STORE_UNKNOWN;
		if (share->in_part && figure[i].known)
			store_cow_part_interval(*c->store, f->id, &(struct store_cow_part){ .area = a->start, .name = figure[i].name,
				.low = r.low, .high = r.high });
	}
	if (share->in_part && a->armed)
		v->huge = (uint64_t)((double)a->huge * (double)v->shared / (double)a->armed + 0.5);
}

static void write_areas(struct cows *c, const struct cow_fork *f, const struct sets *s, const struct cow_share *share)
{
	for (size_t i = 0; i < f->n_areas && *c->store; i++) {
		const struct mms_cow_area *a = &f->areas[i].a;
		struct store_cow_vma v = { .fork = f->id, .start = a->start, .end = a->end, .prot = a->prot,
			.origin = a->origin, .stack = a->stack, .name = f->areas[i].name, .huge = a->huge };
		count_area(c, f, s, share, a, &v);
		struct page_blob blob;
		if (make_pages(&blob, s, a) && c->page_bytes + blob.n <= PAGES_MAX) {
			v.pages = blob.bytes;
			v.n_pages = blob.n;
			c->page_bytes += blob.n;
		}
		v.bytes_changed = v.identical_pages = v.counter_pages = STORE_UNKNOWN;
		if (is_compared(f)) {
			struct cow_changes x = cow_sites_changes(f->witness.sites, a->start >> 12, a->end >> 12);
			v.bytes_changed = x.bytes;
			v.identical_pages = x.identical_pages;
			v.counter_pages = x.counter_pages;
		}
		store_cow_vma(*c->store, &v, c->stacks);
		page_blob_free(&blob);
	}
}

/* Mappings of the program that were there at the fork, and are still as they were. */
static void add_mappings(const struct cows *c, const struct cow_fork *f, struct cow_sites *cs)
{
	struct vma_tree *owners = spaces_owners(c->spaces, f->parent);

	for (struct vma *v = owners ? vma_tree_next(owners, 0) : NULL; v; v = vma_tree_next(owners, v->end))
		if (v->stack && v->born_stamp <= f->t_ns)
			cow_sites_add_area(cs, v->start, v->end, v->stack);
}

/* Those of the witness know what changed; without one the blocks are asked now. */
static struct cow_sites *sites_of(const struct cows *c, const struct cow_fork *f, const struct cow_sets *sets)
{
	struct model_process *parent = model_process_find(c->model, f->parent);

	if (f->witness.sites)
		return cow_sites_broken(f->witness.sites, sets, is_compared(f)) ? f->witness.sites : NULL;
	struct cow_sites *cs = sets->shared && parent && !parent->sampled ? cow_sites_new(sets) : NULL;
	if (cs)
		model_blocks_at(parent, f->t_ns, cow_sites_add, cs);
	return cs;
}

/* The rows of sites; they are also what pages are classified by. */
static struct cow_sites *write_sites(const struct cows *c, const struct cow_fork *f, const struct sets *s,
	const struct cow_share *share)
{
	struct model_process *parent = model_process_find(c->model, f->parent);
	const struct cow_site_row *rows;
	struct cow_sets sets = { .page_size = PAGE_SIZE_HERE, .share = share->in_part ? share->share : 0 };
	struct cow_run *shared = cow_runs_of(&s->shared, &sets.n_shared), *broke[SIDES] = { NULL, NULL };
	size_t n;

	if (f->side[PARENT].armed)
		broke[PARENT] = cow_runs_of(&s->broke[PARENT], &sets.n_parent);
	if (f->side[CHILD].armed)
		broke[CHILD] = cow_runs_of(&s->broke[CHILD], &sets.n_child);
	sets.shared = shared;
	sets.parent = broke[PARENT];
	sets.child = broke[CHILD];
	struct cow_sites *cs = sites_of(c, f, &sets);
	if (cs)
		add_mappings(c, f, cs);
	if (cs && cow_sites_count(cs, &rows, &n) == 0 && *c->store && parent && !parent->sampled) {
		struct cow_totals totals = cow_sites_totals(cs);
		store_write_cow_sites(*c->store, (int64_t)f->id, rows, n, &totals, c->stacks);
	}
	free(shared);
	free(broke[PARENT]);
	free(broke[CHILD]);
	return cs;
}

static uint64_t stands_for(bool known, const struct page_plane *p, double scale)
{
	return known ? (uint64_t)((double)p->n_set * scale + 0.5) : STORE_UNKNOWN;
}

void cow_sample(struct cows *c, struct cow_fork *f, uint64_t now_ns)
{
	const struct cow_side *p = &f->side[PARENT], *k = &f->side[CHILD];
	struct cow_share share;
	struct sets s;

	if (!*c->store || !f->id)
		return;
	make_sets(f, &s);
	cow_share_begin(&share, f, &s.shared);
	double scale = cow_share_scale(&share);
	store_cow_sample(*c->store, &(struct store_cow_sample){ .fork = f->id, .t_ns = now_ns,
		.parent_broke = stands_for(p->armed, &s.broke[PARENT], scale),
		.child_broke = stands_for(k->armed, &s.broke[CHILD], scale),
		.both_broke = stands_for(p->armed && k->armed, &s.both, scale),
		.new_parent = p->new_known ? cow_share_new(&share, &p->plane[COW_NEW], &p->plane[COW_CAME]).point : STORE_UNKNOWN,
		.new_child = k->new_known ? cow_share_new(&share, &k->plane[COW_NEW], &k->plane[COW_CAME]).point : STORE_UNKNOWN });
	cow_share_end(&share);
	free_sets(&s);
}

/* ---- the end ---- */

/* The sets of forks are kept while another fork of the parent is watched:
 * what was copied depends on all of them. */
static void settle_family(struct cows *c, uint64_t parent)
{
	for (size_t i = c->first_open; i < c->n; i++)
		if (c->forks[i]->parent == parent && !c->forks[i]->over)
			return;
	for (size_t i = c->n; i-- > 0;) {
		struct cow_fork *f = c->forks[i];
		if (f->parent != parent || f->released || (!f->side[PARENT].armed && !f->side[CHILD].armed))
			continue;
		struct cow_share share;
		struct sets s;
		make_sets(f, &s);
		cow_share_begin(&share, f, &s.shared);
		fill_copies(c, f, &s, &share);
		cow_share_end(&share);
		f->changed = true;
		free_sets(&s);
		cow_fork_release(f);
	}
}

void cow_result(struct cows *c, struct cow_fork *f, uint64_t now_ns)
{
	struct model_process *parent = model_process_find(c->model, f->parent);
	struct cow_share share;
	struct sets s;

	f->end_ns = now_ns;
	fill_faults(f);
	if (f->side[PARENT].armed || f->side[CHILD].armed) {
		make_sets(f, &s);
		cow_share_begin(&share, f, &s.shared);
		struct cow_sites *cs = write_sites(c, f, &s, &share);
		fill_watched(c, f, &s, &share);
		cow_sample(c, f, now_ns);
		write_areas(c, f, &s, &share);
		cow_share_end(&share);
		if (cs != f->witness.sites)
			cow_sites_free(cs);
		free_sets(&s);
		settle_family(c, f->parent);
	} else {
		cow_why_unwatched(f);
	}
	cow_witness_end(f);
	if (f->holds && parent)
		model_blocks_release(parent);
	f->holds = false;
}
