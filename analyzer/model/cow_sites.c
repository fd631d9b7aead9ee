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
 * How many pages of a set lie between two pages is one search in its runs,
 * which carry the number of pages before them.  Called by the collector, once
 * a fork; knows neither the model nor the database.
 */
#include "model/cow_sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/index.h"

struct set {
	struct cow_run *run;
	uint64_t *before; /* pages in the runs before this one */
	size_t n;
	bool known;
};

enum which { SHARED, PARENT, CHILD, BOTH, BROKEN, IDENTICAL, COUNTER, N_SETS };

struct block {
	uint64_t address, size;
	uint32_t stack;
	bool changed;
};

struct compared {
	uint64_t page;
	enum cow_class class;
	uint32_t bytes;
};

struct cow_sites {
	struct set set[N_SETS];
	uint64_t page_size;
	struct block *block;
	size_t n_blocks, blocks_room;
	bool sorted, no_memory;
	struct compared *compared;
	size_t n_compared, compared_room;
	struct cow_site_row *row;
	uint64_t *next_page; /* beside the rows: first page not counted yet */
	size_t n_rows, rows_room, next_room;
	struct index stacks; /* stack -> row */
	struct cow_totals totals;
};

/* ---- sets ---- */

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

static void set_done(struct set *s)
{
	free(s->run);
	free(s->before);
	*s = (struct set){ .n = 0 };
}

/* Counts the pages before each run. */
static bool set_index(struct set *s)
{
	uint64_t pages = 0;

	s->before = malloc((s->n + 1) * sizeof(*s->before));
	if (!s->before)
		return false;
	for (size_t i = 0; i < s->n; i++) {
		s->before[i] = pages;
		pages += s->run[i].n;
	}
	s->before[s->n] = pages;
	s->known = true;
	return true;
}

static bool set_copy(struct set *s, const struct cow_run *run, size_t n)
{
	if (!run)
		return true;
	s->run = malloc((n + 1) * sizeof(*s->run));
	if (!s->run)
		return false;
	if (n)
		memcpy(s->run, run, n * sizeof(*run));
	s->n = n;
	return set_index(s);
}

static bool set_append(struct set *s, size_t *room, uint64_t page, uint64_t n)
{
	if (s->n && s->run[s->n - 1].page + s->run[s->n - 1].n == page) {
		s->run[s->n - 1].n += n;
		return true;
	}
	if (!room_for(&s->run, room, s->n, sizeof(*s->run)))
		return false;
	s->run[s->n++] = (struct cow_run){ page, n };
	return true;
}

/* The set of pages that lie in both (all) or in one of them. */
static bool set_join(struct set *to, const struct set *a, const struct set *b, bool all)
{
	size_t i = 0, k = 0, room = 0;
	uint64_t at = 0;

	if (!a->known || !b->known)
		return true;
	while (i < a->n || k < b->n) {
		uint64_t a_from = i < a->n ? a->run[i].page : UINT64_MAX, b_from = k < b->n ? b->run[k].page : UINT64_MAX;
		uint64_t a_to = i < a->n ? a_from + a->run[i].n : UINT64_MAX, b_to = k < b->n ? b_from + b->run[k].n : UINT64_MAX;
		uint64_t from = a_from < b_from ? a_from : b_from;
		if (from < at)
			from = at;
		/* Up to here nothing begins or ends. */
		bool in_a = a_from <= from, in_b = b_from <= from;
		uint64_t to_page = in_a ? a_to : a_from, other = in_b ? b_to : b_from;
		if (other < to_page)
			to_page = other;
		if ((all ? in_a && in_b : in_a || in_b) && !set_append(to, &room, from, to_page - from))
			return false;
		at = to_page;
		i += a_to == at;
		k += b_to == at;
	}
	return set_index(to);
}

/* Pages of the set below `page`. */
static uint64_t set_below(const struct set *s, uint64_t page)
{
	size_t low = 0, high = s->n;

	while (low < high) { /* the first run that does not begin below */
		size_t middle = (low + high) / 2;

		if (s->run[middle].page < page)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return 0;
	uint64_t inside = page - s->run[low - 1].page;
	return s->before[low - 1] + (inside < s->run[low - 1].n ? inside : s->run[low - 1].n);
}

/* Of the pages [from, to). */
static uint64_t set_count(const struct set *s, uint64_t from, uint64_t to)
{
	return s->known && from < to ? set_below(s, to) - set_below(s, from) : 0;
}

/* ---- blocks ---- */

static bool take_broken(struct cow_sites *cs, const struct cow_sets *sets)
{
	struct set *s = cs->set;

	cs->totals.parent_known = sets->parent != NULL;
	cs->totals.child_known = sets->child != NULL;
	return set_copy(&s[PARENT], sets->parent, sets->n_parent) && set_copy(&s[CHILD], sets->child, sets->n_child) &&
		set_join(&s[BOTH], &s[PARENT], &s[CHILD], true) &&
		set_join(&s[BROKEN], s[PARENT].known ? &s[PARENT] : &s[CHILD], s[CHILD].known ? &s[CHILD] : &s[PARENT], false);
}

struct cow_sites *cow_sites_new(const struct cow_sets *sets)
{
	struct cow_sites *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return NULL;
	cs->page_size = sets->page_size;
	if (!set_copy(&cs->set[SHARED], sets->shared, sets->n_shared) || !take_broken(cs, sets)) {
		cow_sites_free(cs);
		return NULL;
	}
	return cs;
}

bool cow_sites_broken(struct cow_sites *cs, const struct cow_sets *sets, bool compared)
{
	for (int i = PARENT; i <= BROKEN; i++)
		set_done(&cs->set[i]);
	cs->totals.compared = compared;
	return take_broken(cs, sets);
}

void cow_sites_free(struct cow_sites *cs)
{
	if (!cs)
		return;
	for (size_t i = 0; i < N_SETS; i++)
		set_done(&cs->set[i]);
	index_done(&cs->stacks);
	free(cs->block);
	free(cs->compared);
	free(cs->row);
	free(cs->next_page);
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

void cow_sites_add(void *arg, uint64_t address, uint64_t size, uint32_t stack)
{
	struct cow_sites *cs = arg;
	struct block b = { .address = address, .size = size, .stack = stack };

	if (!set_count(&cs->set[SHARED], first_page(cs, &b), page_after(cs, &b)))
		return;
	if (!room_for(&cs->block, &cs->blocks_room, cs->n_blocks, sizeof(b))) {
		cs->no_memory = true;
		return;
	}
	cs->block[cs->n_blocks++] = b;
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

/* The row of a stack; NULL: no memory. */
static struct cow_site_row *row_of_stack(struct cow_sites *cs, uint32_t stack)
{
	uint32_t at = index_find(&cs->stacks, stack);

	if (at != INDEX_NONE)
		return &cs->row[at];
	if (!room_for(&cs->row, &cs->rows_room, cs->n_rows, sizeof(*cs->row)) ||
		!room_for(&cs->next_page, &cs->next_room, cs->n_rows, sizeof(*cs->next_page)) ||
		index_put(&cs->stacks, stack, (uint32_t)cs->n_rows)) {
		cs->no_memory = true;
		return NULL;
	}
	cs->next_page[cs->n_rows] = 0;
	cs->row[cs->n_rows] = (struct cow_site_row){ .stack = stack };
	return &cs->row[cs->n_rows++];
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
		if (class <= COW_COUNTER && !set_append(&cs->set[class == COW_COUNTER ? COUNTER : IDENTICAL],
			&room[class == COW_COUNTER], page, 1))
			return false;
	}
	return set_index(&cs->set[IDENTICAL]) && set_index(&cs->set[COUNTER]);
}

/* ---- rows ---- */

static void count_pages(struct cow_sites *cs, struct cow_site_row *row, uint64_t from, uint64_t to)
{
	const struct set *s = cs->set;

	row->pages_shared += set_count(&s[SHARED], from, to);
	row->parent_broke += set_count(&s[PARENT], from, to);
	row->child_broke += set_count(&s[CHILD], from, to);
	row->both_broke += set_count(&s[BOTH], from, to);
	row->identical_pages += set_count(&s[IDENTICAL], from, to);
	row->counter_pages += set_count(&s[COUNTER], from, to);
}

static bool count_block(struct cow_sites *cs, const struct block *b)
{
	struct cow_site_row *row = row_of_stack(cs, b->stack);
	uint64_t from = first_page(cs, b), to = page_after(cs, b);

	if (!row)
		return false;
	row->blocks++;
	row->bytes += b->size;
	if (!b->changed && set_count(&cs->set[BROKEN], from, to))
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

		if (!count_block(cs, b))
			return -ENOMEM;
		if (!b->stack)
			continue;
		count_pages(cs, &cs->row[none], covered, first_page(cs, b));
		covered = to > covered ? to : covered;
	}
	count_pages(cs, &cs->row[none], covered, UINT64_MAX);
	qsort(cs->row, cs->n_rows, sizeof(*cs->row), by_broken);
	*ret_rows = cs->row;
	*ret_n = cs->n_rows;
	return 0;
}

struct cow_changes cow_sites_changes(const struct cow_sites *cs, uint64_t from, uint64_t to)
{
	struct cow_changes ret = { .identical_pages = set_count(&cs->set[IDENTICAL], from, to),
		.counter_pages = set_count(&cs->set[COUNTER], from, to) };
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
