/*
 * page_runs.c - see page_runs.h.
 *
 * Long runs are written as they are.  Short runs of present and absent pages
 * gather in a window of 512 pages, which is written as runs or as bits,
 * whatever is shorter.  Runs in the target and in the collector.
 */
#include "page_runs.h"

#include <string.h>

#define LONG_RUN 64u

static void write_head(struct page_runs *r, uint64_t n, enum mms_page_state state)
{
	uint64_t head = n << 3 | state;

	for (; head >= 0x80; head >>= 7)
		r->buffer[r->used++] = (uint8_t)(head | 0x80);
	r->buffer[r->used++] = (uint8_t)head;
	r->page += n;
}

/* Room for one item of any kind. */
static void make_room(struct page_runs *r)
{
	if (r->room - r->used >= 10 + PAGE_WINDOW / 8)
		return;
	r->full(r->arg, r->first, r->buffer, r->used);
	r->used = 0;
	r->first = r->page;
}

static bool in_window(const struct page_runs *r, uint32_t i)
{
	return r->window[i / 8] >> (i % 8) & 1;
}

static void write_window_runs(struct page_runs *r)
{
	for (uint32_t i = 0, j; i < r->n_window; i = j) {
		for (j = i + 1; j < r->n_window && in_window(r, j) == in_window(r, i); j++)
			;
		make_room(r);
		write_head(r, j - i, in_window(r, i) ? MMS_PAGE_PRESENT : MMS_PAGE_ABSENT);
	}
}

static void write_window(struct page_runs *r)
{
	size_t bytes = (r->n_window + 7) / 8;

	if (r->n_changes + 1 <= bytes) {
		write_window_runs(r);
	} else {
		make_room(r);
		write_head(r, r->n_window, MMS_PAGE_BITS);
		memcpy(r->buffer + r->used, r->window, bytes);
		r->used += bytes;
	}
	memset(r->window, 0, sizeof(r->window));
	r->n_window = r->n_changes = 0;
}

static void set_bits(uint8_t *bits, uint32_t from, uint32_t n)
{
	for (uint32_t part; n; from += part, n -= part) {
		part = 8 - from % 8 < n ? 8 - from % 8 : n;
		bits[from / 8] |= (uint8_t)(((1u << part) - 1) << from % 8);
	}
}

static void put(struct page_runs *r, uint64_t n, enum mms_page_state state)
{
	bool plain = state == MMS_PAGE_ABSENT || state == MMS_PAGE_PRESENT;

	while (n) {
		if (!plain || (r->n_window == 0 && n >= LONG_RUN)) {
			if (r->n_window)
				write_window(r);
			make_room(r);
			write_head(r, n, state);
			return;
		}
		if (r->n_window == PAGE_WINDOW || (n >= LONG_RUN && r->n_window)) {
			write_window(r);
			continue;
		}
		uint32_t room = PAGE_WINDOW - r->n_window, part = n < room ? (uint32_t)n : room;
		if (r->n_window && in_window(r, r->n_window - 1) != (state == MMS_PAGE_PRESENT))
			r->n_changes++;
		if (state == MMS_PAGE_PRESENT)
			set_bits(r->window, r->n_window, part);
		r->n_window += part;
		n -= part;
	}
}

void page_runs_begin(struct page_runs *r, uint64_t first)
{
	r->used = 0;
	r->page = r->first = first;
	r->n_window = r->n_changes = 0;
	memset(r->window, 0, sizeof(r->window));
}

void page_runs_add(struct page_runs *r, uint64_t page, uint64_t n, enum mms_page_state state)
{
	uint64_t next = r->page + r->n_window;

	if (page > next)
		put(r, page - next, MMS_PAGE_ABSENT);
	put(r, n, state);
}

void page_runs_end(struct page_runs *r)
{
	if (r->n_window)
		write_window(r);
}
