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

void cow_share_begin(struct cow_share *s, const struct cow_fork *f, const struct page_plane *shared)
{
	const struct cow_side *k = &f->side[CHILD], *p = &f->side[PARENT];
	const struct cow_side *who = k->armed && k->anonymous ? k : p;
	uint32_t share = k->armed && (!p->armed || k->share < p->share) ? k->share : p->share;

	*s = (struct cow_share){ .p = (double)share / MMS_COW_SHARE_ALL, .shared = shared, .all = shared->n_set };
	if (share >= MMS_COW_SHARE_ALL)
		return;
	s->in_part = true;
	s->all = who->anonymous && who->resident
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
	struct cow_range known = { .point = n > less ? n - less : 0 };
	struct cow_cluster *c = s->in_part ? calloc(s->n + 1, sizeof(*c)) : NULL;

	known.low = known.high = known.point;
	if (!c)
		return known;
	for (size_t i = 0; i < s->n; i++) {
		uint64_t first = s->piece[i] * PIECE;
		c[i].pages = page_plane_count(s->shared, first, PIECE);
		for (int k = 0; k < 2; k++)
			c[i].hits += plus[k] ? page_plane_count(plus[k], first, PIECE) : 0;
		for (int k = 0; k < 2; k++) {
			uint64_t out = minus[k] ? page_plane_count(minus[k], first, PIECE) : 0;
			c[i].hits -= out < c[i].hits ? out : c[i].hits;
		}
	}
	known = cow_estimate_ratio(c, s->n, s->all, s->p, per_page);
	free(c);
	return known;
}

/* Pages that came after the fork, in the pieces that are looked at. */
struct cow_range cow_share_new(const struct cow_share *s, const struct page_plane *fresh)
{
	struct cow_range known = { .point = fresh->n_set, .low = fresh->n_set, .high = fresh->n_set };
	struct page_run r = { .first = 0 };
	struct cow_cluster *c = NULL;
	uint64_t last = UINT64_MAX;
	size_t n = 0, room = 0;

	while (s->in_part && page_plane_run(fresh, r.first + r.n, ALL, &r)) {
		for (uint64_t at = r.first, to; at < r.first + r.n; at = to) {
			to = (at / PIECE + 1) * PIECE < r.first + r.n ? (at / PIECE + 1) * PIECE : r.first + r.n;
			if (at / PIECE != last && n == room) {
				struct cow_cluster *more = reallocarray(c, room = room * 2 + 64, sizeof(*c));
				if (!more) {
					free(c);
					return known;
				}
				c = more;
			}
			if (at / PIECE != last)
				c[n++] = (struct cow_cluster){ PIECE, 0 };
			last = at / PIECE;
			c[n - 1].hits += to - at;
		}
	}
	if (s->in_part)
		known = cow_estimate_sum(c, n, s->p, PIECE);
	free(c);
	return known;
}

void cow_share_only_chosen(struct page_plane *p, uint32_t share)
{
	struct page_run r = { .first = 0 };

	while (share < MMS_COW_SHARE_ALL && page_plane_run(p, r.first + r.n, ALL, &r)) {
		uint64_t end = r.first + r.n;
		for (uint64_t at = r.first, to; at < end; at = to) {
			to = (at / PIECE + 1) * PIECE < end ? (at / PIECE + 1) * PIECE : end;
			if (!mms_cow_is_chosen(at / PIECE, share))
				page_plane_clear(p, at, to - at);
		}
	}
}
