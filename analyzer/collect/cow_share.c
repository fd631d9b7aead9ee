/*
 * cow_share.c - forks of which a share of the memory was watched: what the
 * pieces that were say about all (model/cow_estimate.h).
 *
 * A piece is 2 MiB of addresses.  How many pages there are in all is known from
 * the process itself, which knows how many private pages it has in memory; the
 * child's word is taken where there is one, because nothing ran in it before.
 *
 * Called by cow_result.c.
 */
#include <stdlib.h>
#include <string.h>

#include "collect/cow_private.h"

#define ALL (1ull << 36)
#define PIECE 512u /* pages */
#define AREA_MAX (1ull << 29) /* pages: of a larger area not every piece is gone through */

static struct cow_range exactly(uint64_t n)
{
	return (struct cow_range){ .point = n, .low = n, .high = n };
}

void cow_share_begin(struct cow_share *s, const struct cow_fork *f, const struct page_plane *shared)
{
	const struct cow_side *k = &f->side[CHILD], *p = &f->side[PARENT];
	const struct cow_side *who = k->armed && k->anonymous ? k : p;
	uint32_t share = k->armed && (!p->armed || k->share < p->share) ? k->share : p->share;

	*s = (struct cow_share){ .p = (double)share / MMS_COW_SHARE_ALL, .share = share, .shared = shared, .all = shared->n_set };
	if (share >= MMS_COW_SHARE_ALL)
		return;
	s->in_part = true;
	s->all_known = who->anonymous && who->resident;
	s->all = s->all_known
		? (uint64_t)((double)who->anonymous * (double)who->pages / (double)who->resident)
		: (uint64_t)((double)shared->n_set / s->p);
	s->all = s->all > shared->n_set ? s->all : shared->n_set;
	struct page_run r = { .first = 0 };
	size_t room = 0;
	while (page_plane_run(shared, r.first + r.n, ALL, &r)) {
		for (uint64_t piece = r.first / PIECE; piece <= (r.first + r.n - 1) / PIECE; piece++) {
			if (s->n && s->piece[s->n - 1] == piece)
				continue;
			if (s->n == room) {
				void *more = reallocarray(s->piece, room = room * 2 + 256, sizeof(*s->piece));
				if (!more)
					return;
				s->piece = more;
			}
			s->piece[s->n++] = piece;
		}
	}
}

void cow_share_end(struct cow_share *s)
{
	free(s->piece);
	s->piece = NULL;
}

double cow_share_scale(const struct cow_share *s)
{
	return s->in_part && s->shared->n_set ? (double)s->all / (double)s->shared->n_set : 1;
}

struct cow_range cow_share_pages(const struct cow_share *s, const struct page_plane *const plus[2],
	const struct page_plane *const minus[2], uint64_t per_page)
{
	uint64_t n = plus[0]->n_set + (plus[1] ? plus[1]->n_set : 0);
	uint64_t less = (minus[0] ? minus[0]->n_set : 0) + (minus[1] ? minus[1]->n_set : 0);
	struct cow_tally t = { .n = 0 };

	if (!s->in_part)
		return exactly(n > less ? n - less : 0);
	for (size_t i = 0; i < s->n; i++) {
		uint64_t first = s->piece[i] * PIECE, pages = page_plane_count(s->shared, first, PIECE), hits = 0, out = 0;
		for (int k = 0; k < 2; k++) {
			hits += plus[k] ? page_plane_count(plus[k], first, PIECE) : 0;
			out += minus[k] ? page_plane_count(minus[k], first, PIECE) : 0;
		}
		cow_tally_add(&t, pages, hits > out ? hits - out : 0, pages * per_page);
	}
	if (!s->all_known)
		return cow_tally_sum(&t, s->p, PIECE * per_page);
	return cow_tally_ratio(&t, s->all, s->p, (s->all - s->shared->n_set) * per_page);
}

static uint64_t piece_end(uint64_t page, uint64_t end)
{
	uint64_t to = (page / PIECE + 1) * PIECE;

	return to < end ? to : end;
}

/* The pages of the set in [first, end), by the pieces that have some. */
static struct cow_tally tally_of(const struct page_plane *p, uint64_t first, uint64_t end)
{
	struct page_run r = { .first = first };
	struct cow_tally t = { .n = 0 };
	uint64_t piece = UINT64_MAX, hits = 0;

	while (page_plane_run(p, r.first + r.n, end, &r))
		for (uint64_t at = r.first, to; at < r.first + r.n; at = to) {
			to = piece_end(at, r.first + r.n);
			if (hits && at / PIECE != piece) {
				cow_tally_add(&t, PIECE, hits, PIECE);
				hits = 0;
			}
			piece = at / PIECE;
			hits += to - at;
		}
	if (hits)
		cow_tally_add(&t, PIECE, hits, PIECE);
	return t;
}

struct cow_range cow_share_new(const struct cow_share *s, const struct page_plane *fresh, const struct page_plane *came)
{
	struct cow_tally t = tally_of(fresh, 0, ALL);
	struct cow_range r = s->in_part ? cow_tally_sum(&t, s->p, PIECE) : exactly(fresh->n_set);

	return (struct cow_range){ r.point + came->n_set, r.low + came->n_set, r.high + came->n_set };
}

struct cow_range cow_share_area(const struct cow_share *s, const struct page_plane *p, const struct mms_cow_area *a)
{
	uint64_t first = a->start >> 12, end = a->end >> 12;
	struct cow_tally t = { .n = 0 };

	if (!s->in_part)
		return exactly(page_plane_count(p, first, end - first));
	if (end - first > AREA_MAX) {
		t = tally_of(p, first, end);
		return cow_tally_sum(&t, s->p, PIECE);
	}
	for (uint64_t at = first, to; at < end; at = to) {
		to = piece_end(at, end);
		if (mms_cow_is_chosen(at / PIECE, s->share))
			cow_tally_add(&t, to - at, page_plane_count(p, at, to - at), to - at);
	}
	return cow_tally_ratio(&t, end - first, s->p, end - first - (uint64_t)t.a);
}

void cow_share_only_chosen(struct page_plane *p, uint32_t share)
{
	struct page_run r = { .first = 0 };

	while (share < MMS_COW_SHARE_ALL && page_plane_run(p, r.first + r.n, ALL, &r)) {
		uint64_t end = r.first + r.n;
		for (uint64_t at = r.first, to; at < end; at = to) {
			to = piece_end(at, end);
			if (!mms_cow_is_chosen(at / PIECE, share))
				page_plane_clear(p, at, to - at);
		}
	}
}
