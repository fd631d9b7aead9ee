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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collect/cow_private.h"
#include "model/cow_sites.h"

#define ALL (1ull << 36)
#define PAGE_SIZE_HERE 4096u

struct sets {
	struct page_plane shared, broke[SIDES], both;
};

static uint64_t count_common(const struct page_plane *a, const struct page_plane *b)
{
	struct page_plane p = { .slot = NULL };

	cow_plane_add_common(&p, a, b);
	uint64_t n = p.n_set;
	cow_plane_free(&p);
	return n;
}

static void take_away(struct page_plane *from, const struct page_plane *what)
{
	struct page_run r = { .first = 0 };

	while (page_plane_run(what, r.first + r.n, ALL, &r))
		page_plane_clear(from, r.first, r.n);
}

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
static uint64_t count_left(const struct cows *c, const struct cow_fork *f, const struct sets *s)
{
	struct page_plane left = { .slot = NULL }, settled = { .slot = NULL };

	cow_plane_add_common(&left, &f->side[PARENT].plane[COW_FIRST], &s->both);
	take_away(&left, &f->side[PARENT].plane[COW_HUGE]);
	/* Earlier forks from before the parent's last write shared another frame. */
	for (size_t i = c->n; i-- > 0 && left.n_set;) {
		const struct cow_fork *g = c->forks[i];
		if (g == f || g->released || g->parent != f->parent || g->stamp > f->stamp)
			continue;
		struct page_plane waits = { .slot = NULL };
		cow_plane_add_common(&settled, &g->side[PARENT].plane[COW_FIRST], &s->shared);
		cow_plane_add_common(&waits, &g->side[CHILD].plane[COW_ARMED], &left);
		take_away(&waits, &g->side[CHILD].plane[COW_WRITTEN]);
		take_away(&waits, &settled);
		take_away(&left, &waits);
		cow_plane_free(&waits);
	}
	uint64_t n = left.n_set;
	cow_plane_free(&left);
	cow_plane_free(&settled);
	return n;
}

/* Written by one side, given away by the other. */
static uint64_t count_unsure(const struct cow_fork *f, const struct sets *s)
{
	uint64_t n = 0;

	for (int side = 0; side < SIDES; side++) {
		struct page_plane p = { .slot = NULL };
		cow_plane_add_common(&p, &s->broke[side], &f->side[!side].plane[COW_GONE]);
		take_away(&p, &s->both);
		n += p.n_set;
		cow_plane_free(&p);
	}
	return n;
}

static void fill_copies(const struct cows *c, struct cow_fork *f, const struct sets *s)
{
	struct store_cow_fork *r = &f->row;

	if (!f->side[PARENT].armed || !f->side[CHILD].armed)
		return;
	r->copies_high = count_common(&f->side[PARENT].plane[COW_FIRST], &s->shared) +
		count_common(&f->side[CHILD].plane[COW_FIRST], &s->shared) - count_left(c, f, s);
	uint64_t unsure = count_unsure(f, s);
	r->copies_low = r->copies_high > unsure ? r->copies_high - unsure : 0;
	if (r->copies_low == r->copies_high)
		r->copies = r->copies_high;
}

static uint64_t count_still(const struct cow_fork *f, const struct sets *s)
{
	struct page_plane p = { .slot = NULL };

	cow_plane_add_common(&p, &s->shared, &s->shared);
	for (int side = 0; side < SIDES; side++) {
		take_away(&p, &s->broke[side]);
		take_away(&p, &f->side[side].plane[COW_GONE]);
	}
	uint64_t n = p.n_set;
	cow_plane_free(&p);
	return n;
}

/* ---- the row of the fork ---- */

static const char *const watch_text[] = {
	[MMS_WATCH_NONE] = "Nothing could be watched.",
	[MMS_WATCH_OFF] = "Switched off by --cow off.",
	[MMS_WATCH_FILTER] = "A system call filter is in force.",
	[MMS_WATCH_SMALL] = "The process has less than 2 MiB of private memory: only its faults were counted.",
	[MMS_WATCH_EXECS] = "Children of this call execute another program: not watched.",
	[MMS_WATCH_REFUSED] = "The kernel refused.",
};

static void fill_unwatched(struct cow_fork *f)
{
	struct store_cow_fork *r = &f->row;
	int error = f->side[PARENT].error ? f->side[PARENT].error : f->side[CHILD].error;
	bool totals = r->parent_faults != STORE_UNKNOWN || r->child_faults != STORE_UNKNOWN;

	r->method = totals && f->watch != MMS_WATCH_OFF && f->watch != MMS_WATCH_EXECS ? "totals" : "none";
	r->exact = 0;
	if (error)
		snprintf(f->why, sizeof(f->why), "Pages could not be write-protected: %s.", strerror(-error));
	else
		snprintf(f->why, sizeof(f->why), "%s", f->watch < sizeof(watch_text) / sizeof(watch_text[0]) &&
			watch_text[f->watch] ? watch_text[f->watch] : watch_text[MMS_WATCH_NONE]);
	r->why = f->why;
}

/* The share of 2 MiB pieces that were protected. */
static double share_of(const struct cow_fork *f)
{
	const struct cow_side *s = f->side[PARENT].armed ? &f->side[PARENT] : &f->side[CHILD];

	return s->chunks && s->chunks_armed < s->chunks ? (double)s->chunks_armed / s->chunks : 1;
}

static bool known_at_end(const struct cow_side *s)
{
	return s->told || s->asked;
}

static void fill_why(struct cow_fork *f, double share)
{
	const struct cow_side *p = &f->side[PARENT], *c = &f->side[CHILD];
	struct store_cow_fork *r = &f->row;

	r->exact = 1;
	if (!p->armed || !c->armed) {
		snprintf(f->why, sizeof(f->why), "Only the %s was watched%s%s.", p->armed ? "parent" : "child",
			p->error || c->error ? ": " : "", p->error ? strerror(-p->error) : c->error ? strerror(-c->error) : "");
		r->exact = 0;
	} else if (p->lost || c->lost) {
		snprintf(f->why, sizeof(f->why), "The %s closed the descriptor: what it wrote is known up to the "
			"last look only.", c->lost ? "child" : "parent");
		r->exact = 0;
	} else if (c->died || p->died || !known_at_end(p) || !known_at_end(c)) {
		snprintf(f->why, sizeof(f->why), "The %s ended without a last word: what was written after the last "
			"look is not known.", p->died || !known_at_end(p) ? "parent" : "child");
		r->exact = 0;
	} else if (share < 1) {
		snprintf(f->why, sizeof(f->why), "To stop the program for 5 ms at most, %.0f %% of its memory "
			"was watched: counts are estimates.", share * 100);
		r->exact = 0;
	} else if (p->refused || c->refused) {
		snprintf(f->why, sizeof(f->why), "%u areas could not be watched: the program uses them with a "
			"userfaultfd of its own, or the kernel refused.", p->refused > c->refused ? p->refused : c->refused);
		r->exact = 0;
	}
	r->why = f->why[0] ? f->why : NULL;
}

static void scale(uint64_t *value, double share)
{
	if (*value != STORE_UNKNOWN && share < 1)
		*value = (uint64_t)((double)*value / share + 0.5);
}

static void fill_faults(struct cow_fork *f)
{
	uint64_t *ret[SIDES] = { &f->row.parent_faults, &f->row.child_faults };

	for (int side = 0; side < SIDES; side++) {
		const struct cow_side *s = &f->side[side];
		uint64_t from = side == CHILD ? 0 : s->faults_from;
		if (s->faults != STORE_UNKNOWN && from != STORE_UNKNOWN && s->faults >= from)
			*ret[side] = s->faults - from;
	}
}

static void fill_watched(const struct cows *c, struct cow_fork *f, const struct sets *s)
{
	const struct cow_side *p = &f->side[PARENT], *k = &f->side[CHILD];
	struct store_cow_fork *r = &f->row;
	double share = share_of(f);

	r->method = "userfaultfd";
	r->watched_share = share;
	r->areas = p->n_areas ? p->n_areas : k->n_areas;
	r->page_size = PAGE_SIZE_HERE;
	r->arm_parent_ns = p->armed ? p->cost_ns : STORE_UNKNOWN;
	r->arm_child_ns = k->armed ? k->cost_ns : STORE_UNKNOWN;
	r->pages_shared = s->shared.n_set;
	r->parent_broke = p->armed ? s->broke[PARENT].n_set : STORE_UNKNOWN;
	r->child_broke = k->armed ? s->broke[CHILD].n_set : STORE_UNKNOWN;
	r->both_broke = p->armed && k->armed ? s->both.n_set : STORE_UNKNOWN;
	r->still_shared = p->armed && k->armed ? count_still(f, s) : STORE_UNKNOWN;
	r->new_parent = p->new_known ? p->n_new : STORE_UNKNOWN;
	r->new_child = k->new_known ? k->n_new : STORE_UNKNOWN;
	if (f->late != STORE_UNKNOWN)
		r->error_pages = f->late + (p->armed ? p->window : 0) + (k->armed ? k->window : 0);
	r->watched_ns = f->end_ns > f->t_ns ? f->end_ns - f->t_ns : 0;
	fill_copies(c, f, s);
	fill_why(f, share);
	uint64_t *const scaled[] = { &r->pages_shared, &r->parent_broke, &r->child_broke, &r->both_broke,
		&r->still_shared, &r->copies, &r->copies_low, &r->copies_high };
	for (size_t i = 0; i < sizeof(scaled) / sizeof(scaled[0]); i++)
		scale(scaled[i], share);
}

/* ---- rows beside it ---- */

static uint64_t count_in(const struct page_plane *p, const struct mms_cow_area *a)
{
	return page_plane_count(p, a->start >> 12, (a->end - a->start) >> 12);
}

static void write_areas(const struct cows *c, const struct cow_fork *f, const struct sets *s)
{
	for (size_t i = 0; i < f->n_areas && *c->store; i++) {
		const struct mms_cow_area *a = &f->areas[i].a;
		struct store_cow_vma v = { .fork = f->id, .start = a->start, .end = a->end, .prot = a->prot,
			.origin = a->origin, .stack = a->stack, .name = f->areas[i].name,
			.shared = count_in(&s->shared, a), .huge = a->huge };
		v.parent_broke = f->side[PARENT].armed ? count_in(&s->broke[PARENT], a) : STORE_UNKNOWN;
		v.child_broke = f->side[CHILD].armed ? count_in(&s->broke[CHILD], a) : STORE_UNKNOWN;
		v.both_broke = f->side[PARENT].armed && f->side[CHILD].armed ? count_in(&s->both, a) : STORE_UNKNOWN;
		store_cow_vma(*c->store, &v, c->stacks);
	}
}

static struct cow_run *runs_of(const struct page_plane *p, size_t *ret_n)
{
	struct page_run r = { .first = 0 };
	size_t n = 0, room = 64;
	struct cow_run *runs = malloc(room * sizeof(*runs));

	while (runs && page_plane_run(p, r.first + r.n, ALL, &r)) {
		if (n == room) {
			struct cow_run *more = reallocarray(runs, room *= 2, sizeof(*runs));
			if (!more)
				free(runs);
			runs = more;
			if (!runs)
				break;
		}
		runs[n++] = (struct cow_run){ r.first, r.n };
	}
	*ret_n = runs ? n : 0;
	return runs;
}

static void write_sites(const struct cows *c, const struct cow_fork *f, const struct sets *s)
{
	struct model_process *parent = model_process_find(c->model, f->parent);
	const struct cow_site_row *rows;
	struct cow_sets sets = { .page_size = PAGE_SIZE_HERE };
	size_t n;

	if (!parent || !*c->store)
		return;
	struct cow_run *shared = runs_of(&s->shared, &sets.n_shared);
	struct cow_run *broke[SIDES] = { NULL, NULL };
	if (f->side[PARENT].armed)
		broke[PARENT] = runs_of(&s->broke[PARENT], &sets.n_parent);
	if (f->side[CHILD].armed)
		broke[CHILD] = runs_of(&s->broke[CHILD], &sets.n_child);
	sets.shared = shared;
	sets.parent = broke[PARENT];
	sets.child = broke[CHILD];
	struct cow_sites *cs = shared && !parent->sampled ? cow_sites_new(&sets) : NULL;
	if (cs) {
		model_blocks_at(parent, f->t_ns, cow_sites_add, cs);
		if (cow_sites_count(cs, &rows, &n) == 0) {
			struct cow_totals totals = cow_sites_totals(cs);
			store_write_cow_sites(*c->store, (int64_t)f->id, rows, n, &totals, c->stacks);
		}
		cow_sites_free(cs);
	}
	free(shared);
	free(broke[PARENT]);
	free(broke[CHILD]);
}

void cow_sample(struct cows *c, struct cow_fork *f, uint64_t now_ns)
{
	const struct cow_side *p = &f->side[PARENT], *k = &f->side[CHILD];
	struct sets s;

	if (!*c->store || !f->id)
		return;
	make_sets(f, &s);
	store_cow_sample(*c->store, &(struct store_cow_sample){ .fork = f->id, .t_ns = now_ns,
		.parent_broke = p->armed ? s.broke[PARENT].n_set : STORE_UNKNOWN,
		.child_broke = k->armed ? s.broke[CHILD].n_set : STORE_UNKNOWN,
		.both_broke = p->armed && k->armed ? s.both.n_set : STORE_UNKNOWN,
		.new_parent = p->new_known ? p->n_new : STORE_UNKNOWN,
		.new_child = k->new_known ? k->n_new : STORE_UNKNOWN });
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
		struct sets s;
		make_sets(f, &s);
		fill_copies(c, f, &s);
		uint64_t *const scaled[] = { &f->row.copies, &f->row.copies_low, &f->row.copies_high };
		for (size_t k = 0; k < 3; k++)
			scale(scaled[k], f->row.watched_share);
		f->changed = true;
		free_sets(&s);
		cow_fork_release(f);
	}
}

void cow_result(struct cows *c, struct cow_fork *f, uint64_t now_ns)
{
	struct model_process *parent = model_process_find(c->model, f->parent);
	struct sets s;

	f->end_ns = now_ns;
	fill_faults(f);
	if (f->side[PARENT].armed || f->side[CHILD].armed) {
		make_sets(f, &s);
		fill_watched(c, f, &s);
		cow_sample(c, f, now_ns);
		write_areas(c, f, &s);
		write_sites(c, f, &s);
		free_sets(&s);
		settle_family(c, f->parent);
	} else {
		fill_unwatched(f);
	}
	if (f->holds && parent)
		model_blocks_release(parent);
	f->holds = false;
}
