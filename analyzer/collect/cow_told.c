/*
 * cow_told.c - pages and areas that a process tells of itself, until the record
 * that closes them.  Called by cow.c.
 */
#include <stdlib.h>
#include <string.h>

#include <mmscope/pages.h>

#include "collect/cow_private.h"

#define AREAS_MAX 65536u

void cow_areas_free(struct cow_area **areas, size_t *n, size_t *room)
{
	for (size_t i = 0; i < *n; i++)
		free((*areas)[i].name);
	free(*areas);
	*areas = NULL;
	*n = *room = 0;
}

void cow_told_drop(struct cow_process *p)
{
	cow_plane_free(&p->written);
	cow_plane_free(&p->clean);
	cow_plane_free(&p->huge);
	cow_plane_free(&p->fresh);
	cow_areas_free(&p->areas, &p->n_areas, &p->areas_room);
}

void cow_told_pages(struct cow_process *p, const struct order_note *n)
{
	struct mms_page_reader r;
	struct mms_pages v;
	uint64_t page, run;
	enum mms_page_state state;

	if (n->bytes < sizeof(v))
		return;
	memcpy(&v, n->payload, sizeof(v));
	if (v.n_bytes > n->bytes - sizeof(v))
		return;
	mms_pages_begin(&r, (const uint8_t *)n->payload + sizeof(v), v.n_bytes, v.page);
	while (mms_pages_next(&r, &page, &run, &state)) {
		int s = (int)state;
		if (s == MMS_COW_ABSENT || s > MMS_COW_FRESH || page >> 35 || run > 1ull << 35)
			continue;
		if (s == MMS_COW_FRESH) {
			page_plane_set(&p->fresh, page, run);
			continue;
		}
		page_plane_set(s == MMS_COW_WRITTEN || s == MMS_COW_WRITTEN_HUGE ? &p->written : &p->clean, page, run);
		if (s == MMS_COW_WRITTEN_HUGE || s == MMS_COW_CLEAN_HUGE)
			page_plane_set(&p->huge, page, run);
	}
}

void cow_told_area(struct cow_process *p, const struct order_note *n)
{
	struct mms_cow_area a;

	if (n->bytes < sizeof(a))
		return;
	memcpy(&a, n->payload, sizeof(a));
	if (a.start >= a.end || a.end >> 47 || a.name_length > n->bytes - sizeof(a) || p->n_areas >= AREAS_MAX)
		return;
	if (p->n_areas == p->areas_room) {
		size_t room = p->areas_room * 2 + 32;
		void *more = reallocarray(p->areas, room, sizeof(*p->areas));
		if (!more)
			return;
		p->areas = more;
		p->areas_room = room;
	}
	char *name = strndup((const char *)n->payload + sizeof(a), a.name_length);
	if (name)
		p->areas[p->n_areas++] = (struct cow_area){ a, name };
}
