/*
 * page_runs.h - writes states of pages in the format of mmscope/pages.h.
 *
 * No allocation: the caller gives a buffer, and a function that takes it when
 * it is full.
 */
#ifndef MIRROR_PAGE_RUNS_H
#define MIRROR_PAGE_RUNS_H

#include <mmscope/pages.h>

#define PAGE_RUNS_MIN 256u /* bytes that a buffer has at least */
#define PAGE_WINDOW 512u

struct page_runs {
	uint8_t *buffer;
	size_t room, used;
	uint64_t page;  /* the next page that is not in the buffer yet */
	uint64_t first; /* the first one that is */
	/* Called with what the buffer holds: states from page `first` on. */
	void (*full)(void *arg, uint64_t first, const uint8_t *bytes, size_t n);
	void *arg;
	/* Present and absent pages in short runs, not written yet. */
	uint8_t window[PAGE_WINDOW / 8];
	uint32_t n_window, n_changes;
};

void page_runs_begin(struct page_runs *r, uint64_t first);
/* n pages in this state, from `page` on; pages between are absent. */
void page_runs_add(struct page_runs *r, uint64_t page, uint64_t n, enum mms_page_state state);
/* Everything is in the buffer now: r->used bytes about pages from r->first. */
void page_runs_end(struct page_runs *r);

#endif
