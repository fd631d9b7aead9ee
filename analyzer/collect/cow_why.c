/*
 * cow_why.c - how a fork was seen, and why its figures are not exact, as a
 * sentence or two.
 *
 * Called by cow_result.c, when the fork is over.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collect/cow_private.h"

#define LATE_MIN 16u /* pages: fewer are not spoken of */

static const char *const watch_text[] = {
	[MMS_WATCH_NONE] = "Nothing could be watched.",
	[MMS_WATCH_OFF] = "Switched off by --cow off.",
	[MMS_WATCH_FILTER] = "A system call filter is in force.",
	[MMS_WATCH_SMALL] = STORE_COW_SMALL ": only its faults were counted.",
	[MMS_WATCH_EXECS] = "Children of this call execute another program: not watched.",
	[MMS_WATCH_REFUSED] = "The kernel refused.",
	[MMS_WATCH_CLONE] = "A clone that did not come through fork: its faults alone were counted.",
};

/* The better ways that the machine does not have. */
static void add_passed_over(struct cow_fork *f)
{
	size_t n = strlen(f->why);

	if (f->no_uffd)
		n += (size_t)snprintf(f->why + n, sizeof(f->why) - n, "%sNo userfaultfd: %s.", n ? " " : "",
			strerror(-f->no_uffd));
	if (f->no_soft_dirty && n < sizeof(f->why))
		snprintf(f->why + n, sizeof(f->why) - n, " No soft-dirty bits: %s.",
			f->no_soft_dirty == -EOPNOTSUPP  ? "this kernel keeps none"
			: f->no_soft_dirty == -EILSEQ ? "they do not follow the writes here"
						      : strerror(-f->no_soft_dirty));
}

static const char *error_text(int error)
{
	return error == -EBUSY ? "another thread forked at the same time" : strerror(-error);
}

void cow_why_unwatched(struct cow_fork *f)
{
	struct store_cow_fork *r = &f->row;
	int error = f->side[PARENT].error ? f->side[PARENT].error : f->side[CHILD].error;
	bool totals = r->parent_faults != STORE_UNKNOWN || r->child_faults != STORE_UNKNOWN;

	r->method = totals && f->watch != MMS_WATCH_OFF && f->watch != MMS_WATCH_EXECS ? "totals" : "none";
	r->exact = 0;
	if (error)
		snprintf(f->why, sizeof(f->why), "%s: %s.", f->watch == MMS_WATCH_WITNESS ? "The witness could not be read"
			: f->watch == MMS_WATCH_FRAMES ? "Page frames could not be read"
						       : "Pages could not be write-protected", error_text(error));
	else
		snprintf(f->why, sizeof(f->why), "%s", f->watch < sizeof(watch_text) / sizeof(watch_text[0]) &&
			watch_text[f->watch] ? watch_text[f->watch] : watch_text[MMS_WATCH_NONE]);
	add_passed_over(f);
	r->why = f->why;
}

bool cow_known_at_end(const struct cow_side *s)
{
	return s->told || s->asked;
}

/* --cow witness was wanted; the fork was watched in another way. */
static void add_no_witness(struct cow_fork *f)
{
	const char *text = f->no_witness == -ENOMEM ? "too little memory is left for the copies"
		: f->no_witness == -ECHILD          ? "orphans come to the program itself"
						    : error_text(f->no_witness);
	size_t n = strlen(f->why);

	snprintf(f->why + n, sizeof(f->why) - n, "%sThere was no witness: %s.", n ? " " : "", text);
}

/* What the way itself does not tell. */
static const char *limit_of(const struct cow_fork *f)
{
	return f->watch == MMS_WATCH_FRAMES ? "Page frames tell who copied a page: the write of a side that was left the page "
					      "alone is not seen."
		: f->watch == MMS_WATCH_SOFT_DIRTY ? "Soft-dirty bits count all pages of an area that grew, or that the kernel joined to "
						     "huge pages, as written, and whoever else uses them (CRIU) found them cleared."
						   : NULL;
}

/* Pages that were in swap at a look, where that hides what is written. */
uint64_t cow_count_swapped(const struct cow_fork *f)
{
	const struct page_plane *p = &f->side[PARENT].plane[COW_SWAPPED], *c = &f->side[CHILD].plane[COW_SWAPPED];
	struct page_plane both = { .slot = NULL };

	cow_plane_add_common(&both, p, c);
	uint64_t n = p->n_set + c->n_set - both.n_set;
	cow_plane_free(&both);
	return n;
}

/* Of these the side may have written any, with what was there. */
uint64_t cow_count_joined(const struct cow_fork *f)
{
	return f->side[PARENT].plane[COW_JOINED].n_set + f->side[CHILD].plane[COW_JOINED].n_set;
}

/* A side that ended without a last word. */
static void say_died(struct cow_fork *f)
{
	bool parent = f->side[PARENT].died || !cow_known_at_end(&f->side[PARENT]);
	const struct cow_side *s = &f->side[parent ? PARENT : CHILD];
	uint64_t from_ns = s->seen_ns ? s->seen_ns : f->t_ns;
	const char *who = parent ? "parent" : "child", *from = s->seen_ns ? "the last look at it" : "the fork: nobody looked at it";

	if (s->gone_ns > from_ns)
		snprintf(f->why, sizeof(f->why), "The %s ended without a last word: what it wrote in the %.*f s since %s is not "
			"known.", who, s->gone_ns - from_ns < 100000000 ? 3 : 1, (double)(s->gone_ns - from_ns) / 1e9, from);
	else
		snprintf(f->why, sizeof(f->why), "The %s could not be looked at in the end: what it wrote since %s is not known.",
			who, from);
}

/* It writes on when the child has ended, until we look. */
static void add_late(struct cow_fork *f)
{
	size_t n = strlen(f->why);

	if (f->late == STORE_UNKNOWN || f->late < LATE_MIN || f->late < f->side[PARENT].plane[COW_WRITTEN].n_set / 20)
		return;
	snprintf(f->why + n, sizeof(f->why) - n, "%sUp to %llu pages the parent wrote when the child had ended, before it was "
		"looked at.", n ? " " : "", (unsigned long long)f->late);
}

void cow_why(struct cow_fork *f, double share)
{
	const struct cow_side *p = &f->side[PARENT], *c = &f->side[CHILD];
	struct store_cow_fork *r = &f->row;

	r->exact = 1;
	if (!p->armed || !c->armed) {
		snprintf(f->why, sizeof(f->why), "Only the %s was watched%s%s.", p->armed ? "parent" : "child",
			p->error || c->error ? ": " : "", p->error ? error_text(p->error) : c->error ? error_text(c->error) : "");
		r->exact = 0;
	} else if ((p->lost || c->lost) && cow_is_compared(f)) {
		snprintf(f->why, sizeof(f->why), "The %s ended under a system call filter: what it wrote is known up to "
			"the last look only, and was not compared.", c->lost ? "child" : "parent");
		r->exact = 0;
	} else if (p->lost || c->lost) {
		snprintf(f->why, sizeof(f->why), "The %s closed the descriptor: what it wrote is known up to the "
			"last look only.", c->lost ? "child" : "parent");
		r->exact = 0;
	} else if (c->died || p->died || !cow_known_at_end(p) || !cow_known_at_end(c)) {
		say_died(f);
		r->exact = 0;
	} else if (f->in_part) {
		snprintf(f->why, sizeof(f->why), "To stop the program for 5 ms at most, %.0f %% of its memory "
			"was watched: counts are estimates.", share * 100);
		r->exact = 0;
	} else if (p->refused || c->refused) {
		snprintf(f->why, sizeof(f->why), "%u areas could not be watched: the program uses them with a "
			"userfaultfd of its own, the kernel refused, or pages are read one by one and there are more than "
			"64 GiB.", p->refused > c->refused ? p->refused : c->refused);
		r->exact = 0;
	} else if (f->n_swapped || cow_count_swapped(f)) {
		snprintf(f->why, sizeof(f->why), "%llu pages were in swap at the fork and are not watched, %llu later: what was "
			"written to these is known up to then.", (unsigned long long)f->n_swapped,
			(unsigned long long)cow_count_swapped(f));
		r->exact = 0;
	} else if (f->witness.no_zero) {
		snprintf(f->why, sizeof(f->why), "This kernel does not tell the zero page, nor huge pages: first writes to memory "
			"that was only read count as broken, and all pages that the kernel joined to huge ones.");
		r->exact = 0;
	} else if (cow_count_joined(f)) {
		snprintf(f->why, sizeof(f->why), "The kernel joined pages to huge ones: of %llu that read as at the fork it is "
			"not known whether they were written.", (unsigned long long)cow_count_joined(f));
		r->exact = 0;
	} else if (limit_of(f)) {
		snprintf(f->why, sizeof(f->why), "%s", limit_of(f));
		r->exact = 0;
	}
	add_late(f);
	add_passed_over(f);
	if (f->no_witness)
		add_no_witness(f);
	r->why = f->why[0] ? f->why : NULL;
}
