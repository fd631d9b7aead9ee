/*
 * cow_sites.c - see cow_sites.h.
 *
 * One pass over the blocks in the order of their addresses.  Each stack
 * remembers the first page that it has not counted yet, so that a page counts
 * once for it, however many of its blocks lie there:
 *
 *	pages   |    7    |    8    |    9    |
 *	blocks   [A][A][B]   [B ... B]  [A]
 *	A counts 7, 9; B counts 7, 8, 9
 *
 * Pages between the blocks of known stacks are those of the mapping that they
 * lie in, where the target made it with a known stack, else nobody's (row 0).
 *
 * How many pages of a set lie between two pages is one search in its runs,
 * which carry the number of pages before them.  Called by the collector, once
 * a fork; knows neither the model nor the database.
 */
#include "model/cow_sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mmscope/record.h>

#include "model/cow_set.h"
#include "model/index.h"

#define PIECE_BYTES (2ull << 20)
#define PIECE_PAGES 512u

enum which { SHARED, PARENT, CHILD, BOTH, BROKEN, IDENTICAL, COUNTER, N_SETS };

struct block {
	uint64_t address, size;
	uint32_t stack;
	bool changed;
};

struct area {
	uint64_t page, end; /* [page, end) */
	uint64_t entered;   /* with a share: up to here its pieces know its bytes */
	uint32_t stack;
};

struct compared {
	uint64_t page;
	enum cow_class class;
	uint32_t bytes;
};

/* Of a row, where the sets are of a part: the piece that is gone through now. */
struct part {
	uint64_t all;            /* bytes of all blocks */
	uint64_t unseen;         /* pages of blocks that lie in other pieces, each block by itself */
	uint64_t piece, bytes, hits[COW_SITE_RANGES];
	struct cow_tally tally[COW_SITE_RANGES];
};

struct cow_sites {
	struct cow_set set[N_SETS];
	uint64_t page_size;
	uint32_t share; /* 0: the sets are of all */
	struct part *part; /* beside the rows; with a share */
	size_t parts_room;
	struct block *block;
	size_t n_blocks, blocks_room;
	bool sorted, no_memory;
	struct area *area; /* by page, as they were added */
	size_t n_areas, areas_room, next_area;
	struct compared *compared;
	size_t n_compared, compared_room;
	struct cow_site_row *row;
	uint64_t *next_page; /* beside the rows: first page not counted yet */
	size_t n_rows, rows_room, next_room;
	struct index stacks; /* stack -> row */
	struct cow_totals totals;
};

static bool room_for(void *array, size_t *room, size_t n, size_t size)
{
	void **p = array;

	if (n < *room)
		return true;
	size_t more = *room ? *room * 2 : 64;
	void *grown = realloc(*p, more * size);
	if (!grown)
		return false;
	*p = grown;
	*room = more;
	return true;
}

/* ---- blocks ---- */

static bool take_broken(struct cow_sites *cs, const struct cow_sets *sets)
{
	struct cow_set *s = cs->set;

	cs->totals.parent_known = sets->parent != NULL;
	cs->totals.child_known = sets->child != NULL;
	return cow_set_copy(&s[PARENT], sets->parent, sets->n_parent) && cow_set_copy(&s[CHILD], sets->child, sets->n_child) &&
		cow_set_join(&s[BOTH], &s[PARENT], &s[CHILD], true) &&
		cow_set_join(&s[BROKEN], s[PARENT].known ? &s[PARENT] : &s[CHILD], s[CHILD].known ? &s[CHILD] : &s[PARENT], false);
}

struct cow_sites *cow_sites_new(const struct cow_sets *sets)
{
	struct cow_sites *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return NULL;
	cs->page_size = sets->page_size;
	cs->share = sets->share < MMS_COW_SHARE_ALL ? sets->share : 0;
	cs->totals.estimated = cs->share;
	if (!cow_set_copy(&cs->set[SHARED], sets->shared, sets->n_shared) || !take_broken(cs, sets)) {
		cow_sites_free(cs);
		return NULL;
	}
	return cs;
}

bool cow_sites_broken(struct cow_sites *cs, const struct cow_sets *sets, bool compared)
{
	for (int i = PARENT; i <= BROKEN; i++)
		cow_set_done(&cs->set[i]);
	cs->totals.compared = compared;
	return take_broken(cs, sets);
}

void cow_sites_free(struct cow_sites *cs)
{
	if (!cs)
		return;
	for (size_t i = 0; i < N_SETS; i++)
		cow_set_done(&cs->set[i]);
	index_done(&cs->stacks);
	free(cs->block);
	free(cs->area);
	free(cs->compared);
	free(cs->row);
	free(cs->next_page);
	free(cs->part);
	free(cs);
}

static uint64_t first_page(const struct cow_sites *cs, const struct block *b)
{
	return b->address / cs->page_size;
}

/* A block of no bytes lies where it begins. */
static uint64_t page_after(const struct cow_sites *cs, const struct block *b)
{
	return (b->address + (b->size ? b->size - 1 : 0)) / cs->page_size + 1;
}

/* The row of a stack; NULL: no memory. */
static struct cow_site_row *row_of_stack(struct cow_sites *cs, uint32_t stack)
{
	uint32_t at = index_find(&cs->stacks, stack);

	if (at != INDEX_NONE)
		return &cs->row[at];
	if (!room_for(&cs->row, &cs->rows_room, cs->n_rows, sizeof(*cs->row)) ||
		!room_for(&cs->next_page, &cs->next_room, cs->n_rows, sizeof(*cs->next_page)) ||
		(cs->share && !room_for(&cs->part, &cs->parts_room, cs->n_rows, sizeof(*cs->part))) ||
		index_put(&cs->stacks, stack, (uint32_t)cs->n_rows)) {
		cs->no_memory = true;
		return NULL;
	}
	cs->next_page[cs->n_rows] = 0;
	if (cs->share)
		cs->part[cs->n_rows] = (struct part){ .piece = UINT64_MAX };
	cs->row[cs->n_rows] = (struct cow_site_row){ .stack = stack };
	return &cs->row[cs->n_rows++];
}

/* Counts it for its site; does it lie in a piece that the sets are of? */
static bool is_in_part(struct cow_sites *cs, const struct block *b)
{
	struct cow_site_row *row = row_of_stack(cs, b->stack);
	uint64_t end = b->address + (b->size ? b->size : 1), piece = b->address / PIECE_BYTES;

	if (!row)
		return false;
	row->blocks++;
	row->bytes += b->size;
	cs->part[row - cs->row].all += end - b->address;
	cs->part[row - cs->row].unseen += page_after(cs, b) - first_page(cs, b);
	while (piece * PIECE_BYTES < end && !mms_cow_is_chosen(piece, cs->share))
		piece++;
	return piece * PIECE_BYTES < end;
}

void cow_sites_add(void *arg, uint64_t address, uint64_t size, uint32_t stack)
{
	struct cow_sites *cs = arg;
	struct block b = { .address = address, .size = size, .stack = stack };

	if (cs->share ? !is_in_part(cs, &b) : !cow_set_count(&cs->set[SHARED], first_page(cs, &b), page_after(cs, &b)))
		return;
	if (!room_for(&cs->block, &cs->blocks_room, cs->n_blocks, sizeof(b))) {
		cs->no_memory = true;
		return;
	}
	cs->block[cs->n_blocks++] = b;
}

void cow_sites_add_area(struct cow_sites *cs, uint64_t start, uint64_t end, uint32_t stack)
{
	if (!room_for(&cs->area, &cs->areas_room, cs->n_areas, sizeof(*cs->area)))
		cs->no_memory = true;
	else
		cs->area[cs->n_areas++] = (struct area){ .page = start / cs->page_size,
			.end = end / cs->page_size, .entered = start / cs->page_size, .stack = stack };
}

static int by_address(const void *left, const void *right)
{
	const struct block *a = left, *b = right;

	return a->address < b->address ? -1 : a->address > b->address;
}

static void sort_blocks(struct cow_sites *cs)
{
	if (!cs->sorted && cs->n_blocks)
		qsort(cs->block, cs->n_blocks, sizeof(*cs->block), by_address);
	cs->sorted = true;
}

/* ---- what changed ---- */

static size_t first_block_of(const struct cow_sites *cs, uint64_t address)
{
	size_t low = 0, high = cs->n_blocks;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (cs->block[middle].address + cs->block[middle].size <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void cow_sites_diff(struct cow_sites *cs, uint64_t page, const void *before, const void *after)
{
	uint64_t start = page * cs->page_size, end = start + cs->page_size;
	struct cow_diff d = cow_diff_page(before, after, cs->page_size);

	if (!room_for(&cs->compared, &cs->compared_room, cs->n_compared, sizeof(*cs->compared))) {
		cs->no_memory = true;
		return;
	}
	cs->compared[cs->n_compared++] = (struct compared){ page, d.class, d.bytes_changed };
	cs->totals.compared = true;
	cs->totals.bytes_changed += d.bytes_changed;
	sort_blocks(cs);
	for (size_t i = first_block_of(cs, start); d.bytes_changed && i < cs->n_blocks && cs->block[i].address < end; i++) {
		struct block *b = &cs->block[i];
		uint64_t from = b->address > start ? b->address : start;
		uint64_t to = b->address + b->size < end ? b->address + b->size : end;
		if (to <= from)
			continue;
		size_t changed = cow_diff_bytes((const char *)before + (from - start), (const char *)after + (from - start), to - from);
		struct cow_site_row *row = changed ? row_of_stack(cs, b->stack) : NULL;
		if (!row)
			continue;
		row->bytes_changed += changed;
		b->changed = true;
	}
}

static int by_page(const void *left, const void *right)
{
	const struct compared *a = left, *b = right;

	return a->page < b->page ? -1 : a->page > b->page;
}

/* Sets of the pages that ended identical, or with counters only. */
static bool classify(struct cow_sites *cs)
{
	size_t room[2] = { 0, 0 };

	if (!cs->n_compared)
		return true;
	qsort(cs->compared, cs->n_compared, sizeof(*cs->compared), by_page);
	for (size_t i = 0; i < cs->n_compared;) {
		uint64_t page = cs->compared[i].page;
		enum cow_class class = COW_IDENTICAL;
		for (; i < cs->n_compared && cs->compared[i].page == page; i++)
			if (cs->compared[i].class > class)
				class = cs->compared[i].class;
		cs->totals.pages[class]++;
		if (class <= COW_COUNTER && !cow_set_append(&cs->set[class == COW_COUNTER ? COUNTER : IDENTICAL],
			&room[class == COW_COUNTER], page, 1))
			return false;
	}
	return cow_set_index(&cs->set[IDENTICAL]) && cow_set_index(&cs->set[COUNTER]);
}

/* ---- rows ---- */

static void count_pages(struct cow_sites *cs, struct cow_site_row *row, uint64_t from, uint64_t to)
{
	const struct cow_set *s = cs->set;

	row->pages_shared += cow_set_count(&s[SHARED], from, to);
	row->parent_broke += cow_set_count(&s[PARENT], from, to);
	row->child_broke += cow_set_count(&s[CHILD], from, to);
	row->both_broke += cow_set_count(&s[BOTH], from, to);
	row->identical_pages += cow_set_count(&s[IDENTICAL], from, to);
	row->counter_pages += cow_set_count(&s[COUNTER], from, to);
}

/* What was found of a row in one piece goes to the rest. */
static void close_piece(struct part *p)
{
	uint64_t most = p->bytes < PIECE_PAGES ? p->bytes : PIECE_PAGES;

	for (int i = 0; i < COW_SITE_RANGES && p->bytes; i++)
		cow_tally_add(&p->tally[i], p->bytes, p->hits[i], most > p->hits[i] ? most : p->hits[i]);
	p->bytes = 0;
	memset(p->hits, 0, sizeof(p->hits));
}

/* Pages [from, to) of a piece, for a row. */
static void count_in_piece(struct cow_sites *cs, struct part *p, uint64_t piece, uint64_t from, uint64_t to, uint64_t bytes)
{
	static const enum which sets[COW_SITE_RANGES] = { SHARED, PARENT, CHILD, BOTH };

	if (p->piece != piece)
		close_piece(p);
	p->piece = piece;
	p->bytes += bytes;
	for (int i = 0; i < COW_SITE_RANGES; i++)
		p->hits[i] += cow_set_count(&cs->set[sets[i]], from, to);
}

static void count_block_in_part(struct cow_sites *cs, const struct block *b)
{
	struct cow_site_row *row = row_of_stack(cs, b->stack);
	struct part *part = &cs->part[row - cs->row];
	uint64_t *next = &cs->next_page[row - cs->row], end = b->address + (b->size ? b->size : 1);

	for (uint64_t at = b->address, to; at < end; at = to) {
		uint64_t piece = at / PIECE_BYTES, from = at / cs->page_size;
		to = (piece + 1) * PIECE_BYTES < end ? (piece + 1) * PIECE_BYTES : end;
		uint64_t after = (to - 1) / cs->page_size + 1;
		if (!mms_cow_is_chosen(piece, cs->share))
			continue;
		count_in_piece(cs, part, piece, from > *next ? from : *next, after, to - at);
		part->unseen -= after - from;
		*next = after > *next ? after : *next;
	}
}

/* Shared pages [from, to) of nobody. */
static void count_gap_in_part(struct cow_sites *cs, struct part *p, uint64_t from, uint64_t to)
{
	const struct cow_set *s = &cs->set[SHARED];
	size_t i = from < to ? cow_set_runs_below(s, from) : s->n;

	for (i -= i > 0; i < s->n && s->run[i].page < to; i++)
		for (uint64_t at = s->run[i].page, end = at + s->run[i].n, next; at < end; at = next) {
			uint64_t piece = at / PIECE_PAGES;
			next = (piece + 1) * PIECE_PAGES < end ? (piece + 1) * PIECE_PAGES : end;
			uint64_t first = at > from ? at : from, last = next < to ? next : to;
			if (first < last)
				count_in_piece(cs, p, piece, first, last, last - first);
		}
}

static void count_nobodys(struct cow_sites *cs, uint32_t none, uint64_t from, uint64_t to)
{
	if (cs->share)
		count_gap_in_part(cs, &cs->part[none], from, to);
	else
		count_pages(cs, &cs->row[none], from, to);
}

/* With a share: bytes of the mapping, those under blocks too, of which nothing
 * is known in pieces that were not watched, go to the pieces up to this page. */
static bool enter_pieces(struct cow_sites *cs, struct area *a, uint64_t upto)
{
	struct cow_site_row *row = cs->share ? row_of_stack(cs, a->stack) : NULL;

	if (!row)
		return !cs->share;
	struct part *p = &cs->part[row - cs->row];
	for (uint64_t next; a->entered < upto && a->entered < a->end; a->entered = next) {
		uint64_t piece = a->entered / PIECE_PAGES, bytes;
		next = (piece + 1) * PIECE_PAGES < a->end ? (piece + 1) * PIECE_PAGES : a->end;
		bytes = (next - a->entered) * cs->page_size;
		p->all += bytes;
		if (mms_cow_is_chosen(piece, cs->share))
			count_in_piece(cs, p, piece, 0, 0, bytes);
		else
			p->unseen += next - a->entered;
	}
	return true;
}

/* Pages [from, to) of a mapping, between blocks. */
static bool count_mapped(struct cow_sites *cs, struct area *a, uint64_t from, uint64_t to)
{
	bool counts = cs->share || cow_set_count(&cs->set[SHARED], from, to);
	struct cow_site_row *row = counts ? row_of_stack(cs, a->stack) : NULL;

	if (!row)
		return !counts;
	row->bytes_changed += cow_sites_changes(cs, from, to).bytes;
	if (!cs->share)
		count_pages(cs, row, from, to);
	for (uint64_t at = from, next; cs->share && at < to; at = next) {
		uint64_t piece = at / PIECE_PAGES;
		next = (piece + 1) * PIECE_PAGES < to ? (piece + 1) * PIECE_PAGES : to;
		enter_pieces(cs, a, at + 1);
		if (mms_cow_is_chosen(piece, cs->share))
			count_in_piece(cs, &cs->part[row - cs->row], piece, at, next, 0);
	}
	return true;
}

/* Pages [from, to) that no block of a known stack lies on; gaps come by page. */
static bool count_gap(struct cow_sites *cs, uint32_t none, uint64_t from, uint64_t to)
{
	while (from < to) {
		for (; cs->next_area < cs->n_areas && cs->area[cs->next_area].end <= from; cs->next_area++)
			if (!enter_pieces(cs, &cs->area[cs->next_area], UINT64_MAX))
				return false;
		struct area *a = cs->next_area < cs->n_areas ? &cs->area[cs->next_area] : NULL;
		if (!a || a->page >= to) {
			count_nobodys(cs, none, from, to);
			return true;
		}
		uint64_t end = a->end < to ? a->end : to;
		if (a->page > from)
			count_nobodys(cs, none, from, a->page);
		if (!count_mapped(cs, a, a->page > from ? a->page : from, end))
			return false;
		from = end;
	}
	return true;
}

/* What the pieces say about all: the rows' figures. */
static void estimate_rows(struct cow_sites *cs)
{
	double p = (double)cs->share / MMS_COW_SHARE_ALL;

	for (size_t i = 0; i < cs->n_rows; i++) {
		struct cow_site_row *row = &cs->row[i];
		uint64_t *figure[COW_SITE_RANGES] = { &row->pages_shared, &row->parent_broke, &row->child_broke, &row->both_broke };
		close_piece(&cs->part[i]);
		for (int k = 0; k < COW_SITE_RANGES; k++) {
			const struct cow_tally *t = &cs->part[i].tally[k];
			row->range[k] = row->stack ? cow_tally_ratio(t, cs->part[i].all, p, cs->part[i].unseen)
						   : cow_tally_sum(t, p, PIECE_PAGES);
			*figure[k] = cs->part[i].tally[COW_SITE_SHARED].x > 0 ? row->range[k].point : 0;
		}
	}
}

/* Rows of which no page was seen go: they could be anything. */
static void drop_unseen(struct cow_sites *cs)
{
	size_t kept = 0;

	for (size_t i = 0; i < cs->n_rows; i++)
		if (cs->row[i].pages_shared || !cs->row[i].stack)
			cs->row[kept++] = cs->row[i];
	cs->n_rows = kept;
}

static bool count_block(struct cow_sites *cs, const struct block *b)
{
	struct cow_site_row *row = row_of_stack(cs, b->stack);
	uint64_t from = first_page(cs, b), to = page_after(cs, b);

	if (!row)
		return false;
	if (cs->share) {
		if (b->stack)
			count_block_in_part(cs, b);
		return true;
	}
	row->blocks++;
	row->bytes += b->size;
	if (!b->changed && cow_set_count(&cs->set[BROKEN], from, to))
		row->false_blocks++;
	if (b->stack) {
		uint64_t *next = &cs->next_page[row - cs->row];
		count_pages(cs, row, from > *next ? from : *next, to);
		*next = to > *next ? to : *next;
	}
	return true;
}

/* Most broken pages first. */
static int by_broken(const void *left, const void *right)
{
	const struct cow_site_row *a = left, *b = right;
	uint64_t x = a->parent_broke + a->child_broke - a->both_broke, y = b->parent_broke + b->child_broke - b->both_broke;

	if (x != y)
		return x > y ? -1 : 1;
	if (a->pages_shared != b->pages_shared)
		return a->pages_shared > b->pages_shared ? -1 : 1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

int cow_sites_count(struct cow_sites *cs, const struct cow_site_row **ret_rows, size_t *ret_n)
{
	uint64_t covered = 0; /* up to here every page was counted, for row 0 or not */

	sort_blocks(cs);
	if (!row_of_stack(cs, 0) || cs->no_memory || !classify(cs))
		return -ENOMEM;
	uint32_t none = index_find(&cs->stacks, 0);
	for (size_t i = 0; i < cs->n_blocks; i++) {
		const struct block *b = &cs->block[i];
		uint64_t to = page_after(cs, b);

		if ((b->stack && !count_gap(cs, none, covered, first_page(cs, b))) || !count_block(cs, b))
			return -ENOMEM;
		if (b->stack && to > covered)
			covered = to;
	}
	if (!count_gap(cs, none, covered, UINT64_MAX))
		return -ENOMEM;
	if (cs->share) {
		estimate_rows(cs);
		drop_unseen(cs);
	}
	qsort(cs->row, cs->n_rows, sizeof(*cs->row), by_broken);
	*ret_rows = cs->row;
	*ret_n = cs->n_rows;
	return 0;
}

struct cow_changes cow_sites_changes(const struct cow_sites *cs, uint64_t from, uint64_t to)
{
	struct cow_changes ret = { .identical_pages = cow_set_count(&cs->set[IDENTICAL], from, to),
		.counter_pages = cow_set_count(&cs->set[COUNTER], from, to) };
	size_t low = 0, high = cs->n_compared;

	while (low < high) { /* the first page that does not lie below */
		size_t middle = (low + high) / 2;

		if (cs->compared[middle].page < from)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < cs->n_compared && cs->compared[low].page < to; low++)
		ret.bytes += cs->compared[low].bytes;
	return ret;
}

struct cow_totals cow_sites_totals(const struct cow_sites *cs)
{
	return cs->totals;
}
