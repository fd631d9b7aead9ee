/*
 * cow_credit.c - what a process wrote, or has still, goes to the forks that it
 * has a side in.
 *
 * Told by the process itself (cow.c) or found from outside (cow_ask.c).
 */
#include "collect/cow_private.h"

/* What is there now, for the forks of the process that will be over. */
static void keep_there(struct cow_process *p, const struct page_plane *written, const struct page_plane *clean)
{
	cow_plane_free(&p->there);
	cow_plane_add_common(&p->there, written, written);
	cow_plane_add_common(&p->there, clean, clean);
}

/* An area that could not be watched is not told apart from one that came later. */
static void leave_out_refused(const struct cow_fork *f, struct page_plane *p)
{
	for (size_t i = 0; i < f->n_areas && p->n_set; i++)
		if (f->areas[i].a.error)
			page_plane_clear(p, f->areas[i].a.start >> 12, (f->areas[i].a.end - f->areas[i].a.start) >> 12);
}

/* Whatever was there at the fork was armed, where it was watched: the rest came
 * since.  Areas that came since the newest fork are known whole; to an older one
 * they are as the others. */
static void find_new(const struct cow_fork *f, struct cow_side *s, const struct cow_found *found, bool newest)
{
	struct page_plane *fresh = &s->plane[COW_NEW], *came = &s->plane[COW_CAME];

	cow_plane_free(fresh);
	cow_plane_free(came);
	cow_plane_add_common(fresh, found->written, found->written);
	cow_plane_add_common(fresh, found->clean, found->clean);
	if (found->fresh)
		cow_plane_add_common(newest ? came : fresh, found->fresh, found->fresh);
	cow_plane_take_away(fresh, &s->plane[COW_ARMED]);
	cow_share_only_chosen(fresh, s->share);
	leave_out_refused(f, fresh);
	leave_out_refused(f, came);
	s->new_known = true;
}

/* Until its record came a fork may only be one that is protected. */
static bool is_watched_by(const struct cow_fork *f, uint32_t how)
{
	return f->watch != MMS_WATCH_FRAMES && (f->watch == MMS_WATCH_WITNESS) == (how == MMS_WATCH_WITNESS);
}

static void credit_side(const struct cows *c, struct cow_fork *f, int side, const struct cow_found *found, bool newest)
{
	struct cow_side *s = &f->side[side];
	const struct page_plane *swapped[SIDES] = { &f->side[PARENT].plane[COW_SWAPPED], &f->side[CHILD].plane[COW_SWAPPED] };
	struct page_plane now = { .slot = NULL };

	cow_plane_add_common(&now, found->written, &s->plane[COW_ARMED]);
	for (int k = 0; k < SIDES && found->how == MMS_WATCH_WITNESS; k++)
		if (swapped[k]->n_set)
			cow_plane_take_away(&now, swapped[k]);
	if (found->swapped && found->how == MMS_WATCH_WITNESS)
		cow_plane_add_common(&s->plane[COW_SWAPPED], found->swapped, &s->plane[COW_ARMED]);
	cow_plane_add_common(&s->plane[COW_WRITTEN], &now, &now);
	if (newest)
		cow_plane_add_common(&s->plane[COW_FIRST], &now, &now);
	if (found->share >= s->share)
		find_new(f, s, found, newest);
	cow_plane_free(&now);
	if (found->joined && found->joined->n_set)
		cow_witness_joined(c, f, side, found->joined, newest);
}

void cow_credit(struct cows *c, uint64_t number, const struct cow_found *found)
{
	struct cow_process *p = cow_process_find(c, number);
	bool kept = false;

	for (size_t i = c->first_open; i < c->n; i++) {
		struct cow_fork *f = c->forks[i];

		for (int side = 0; side < SIDES && !f->over && is_watched_by(f, found->how); side++) {
			struct cow_side *s = &f->side[side];
			if (s->process != number || !s->armed)
				continue;
			if (found->whole && p && !kept)
				keep_there(p, found->written, found->clean);
			kept = true;
			credit_side(c, f, side, found, p && p->newest == f);
			s->looked = s->looked || (found->whole && p);
		}
	}
}
