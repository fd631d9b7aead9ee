/*
 * spaces_end.c - of spaces.c what comes when a process is over, and when the
 * recording is: pages as rows.
 *
 * Called by the collector at each flush and at the end.
 */
#include "collect/space.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collect/page_blob.h"

#define PAGES_MAX (12u << 20) /* bytes of page states in a database */

/* ---- the end ---- */

/* The state of the page, and how far on all planes agree with it. */
static enum mms_page_state state_at(const struct space *sp, uint64_t page, uint64_t end, uint64_t *ret_end)
{
	static const struct {
		enum page_plane_kind plane;
		enum mms_page_state state;
	} rank[] = { { PAGE_SWAPPED, MMS_PAGE_SWAPPED }, { PAGE_ZERO, MMS_PAGE_ZERO },
		{ PAGE_HUGE, MMS_PAGE_HUGE }, { PAGE_PRESENT, MMS_PAGE_PRESENT },
		{ PAGE_TOUCHED, MMS_PAGE_BEFORE } };
	enum mms_page_state state = MMS_PAGE_ABSENT;

	*ret_end = end;
	for (size_t i = 0; i < sizeof(rank) / sizeof(rank[0]); i++) {
		const struct page_plane *p = rank[i].plane == PAGE_TOUCHED ? &sp->ever.plane[PAGE_TOUCHED]
									   : &sp->pages.plane[rank[i].plane];
		struct page_run run;
		if (!page_plane_run(p, page, *ret_end, &run))
			continue;
		if (run.first > page) {
			*ret_end = run.first;
		} else {
			if (run.first + run.n < *ret_end)
				*ret_end = run.first + run.n;
			state = rank[i].state;
			break;
		}
	}
	return state;
}

/* The pages of the area as bytes for its row. */
static bool make_pages(const struct space *sp, const struct area *x, struct page_blob *blob)
{
	uint64_t end = x->a.end >> 12;

	page_blob_begin(blob, x->a.start >> 12);
	for (uint64_t page = x->a.start >> 12, next; page < end; page = next) {
		enum mms_page_state state = state_at(sp, page, end, &next);
		if (state != MMS_PAGE_ABSENT)
			page_runs_add(&blob->runs, page, next - page, state);
	}
	return page_blob_end(blob);
}

static bool has_pages(const struct space *sp, const struct area *x)
{
	return x->touched && !sp->no_states && x->a.known;
}

static void write_pages(struct spaces *s, const struct space *sp, const struct area *x)
{
	struct page_blob blob = { .bytes = x->pages, .n = x->n_pages };
	bool made = x->pages || make_pages(sp, x, &blob);

	s->page_bytes += blob.n;
	if (s->page_bytes > PAGES_MAX)
		s->n_pages_cut++;
	else if (made)
		store_vma_pages(*s->store, x->id, blob.bytes, blob.n);
	if (!x->pages)
		page_blob_free(&blob);
}

/* ---- processes that are over, until the end ---- */

static bool pack_pages(const struct space *sp, struct area *x)
{
	struct page_blob blob;
	bool made = make_pages(sp, x, &blob);

	x->pages = made ? malloc(blob.n + 1) : NULL;
	if (x->pages)
		memcpy(x->pages, blob.bytes, x->n_pages = blob.n);
	page_blob_free(&blob);
	return x->pages != NULL;
}

/* Pages become what their rows will be, some bytes an area; in planes they take
 * 10 KiB for each GiB in which there are any. */
void space_pack(struct space *sp)
{
	for (size_t i = 0; i < sp->now.n; i++)
		if (has_pages(sp, &sp->now.area[i]) && !sp->now.area[i].pages && !pack_pages(sp, &sp->now.area[i]))
			return;
	page_shadow_done(&sp->pages);
	page_shadow_done(&sp->ever);
	page_shadow_init(&sp->pages);
	page_shadow_init(&sp->ever);
	space_drop_coming(sp);
	free(sp->coming.area);
	sp->coming = (struct areas){ .n = 0 };
	struct area *fit = sp->now.n ? reallocarray(sp->now.area, sp->now.n, sizeof(*fit)) : NULL;
	if (fit) {
		sp->now.area = fit;
		sp->now.capacity = sp->now.n;
	}
	sp->packed = true;
}

void spaces_pack(struct spaces *s)
{
	for (size_t i = 0; i < s->space.n; i++) {
		struct space *sp = s->space.item[i];
		const struct model_process *p = sp->packed ? NULL : model_process_find(s->model, sp->number);

		if (!p || !p->read || !p->end_ns)
			continue;
		look_drop(s, sp);
		space_pack(sp);
	}
}

static void finish_one(struct spaces *s, struct space *sp)
{
	char text[256];

	for (size_t i = 0; i < sp->now.n; i++) {
		space_write_area(s, sp, &sp->now.area[i], 0);
		touches_write(s, &sp->now.area[i]);
		if (sp->now.area[i].id && has_pages(sp, &sp->now.area[i]))
			write_pages(s, sp, &sp->now.area[i]);
	}
	for (size_t i = 0; i < sp->n_gone; i++)
		store_gone(*s->store, &(struct store_gone){ sp->number, sp->gone[i].stack, sp->gone[i].count,
			sp->gone[i].bytes, sp->gone[i].touched }, s->stacks);
	if (sp->scan_error) {
		snprintf(text, sizeof(text), "What was in memory could not be asked of the kernel: %s.",
			sp->scan_error == -EOVERFLOW ? "areas of more than 64 GiB take too long, page by page as before Linux 6.7"
						     : strerror(-sp->scan_error));
		store_coverage(*s->store, sp->number, "pages", 1, text);
	}
	if (sp->no_states)
		store_coverage(*s->store, sp->number, "page-states", 1,
			"Too many pages to tell one by one: they are counted by area only.");
}

void spaces_finish(struct spaces *s)
{
	while (s->looking)
		look_drop(s, s->looking);
	if (!*s->store)
		return;
	s->page_bytes = s->n_pages_cut = s->n_touches_cut = 0; /* another database may have failed */
	for (size_t i = 0; i < s->space.n; i++)
		finish_one(s, s->space.item[i]);
	if (s->n_left_out)
		store_coverage(*s->store, 0, "areas-cut", s->n_left_out,
			"Areas of address spaces that found no room in the database.");
	if (s->n_pages_cut)
		store_coverage(*s->store, 0, "page-states-cut", s->n_pages_cut,
			"Areas whose pages are known by number only: the list was full.");
	if (s->n_touches_cut)
		store_coverage(*s->store, 0, "touches-cut", s->n_touches_cut,
			"Areas of which it is not listed when they became real: the list was full.");
	space_notes(s);
	if (s->n_broken)
		store_coverage(*s->store, 0, "looks-broken", s->n_broken,
			"Last looks at an address space that did not arrive whole and were left out.");
}
