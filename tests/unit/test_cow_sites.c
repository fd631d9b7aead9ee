/*
 * test_cow_sites.c - attribution of pages to stacks against brute force: an
 * array of pages and, for each page, a look at every block.
 */
#include "check.h"
#include "model/cow_sites.h"

#define PAGE 4096u
#define FIRST 0x7f0000000ull /* page number */
#define PAGES 300
#define BLOCKS_MAX 900
#define STACKS 12

static uint64_t random_state;

static uint64_t rnd(uint64_t n)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 20) % n;
}

struct block {
	uint64_t address, size;
	uint32_t stack;
};

struct world {
	bool shared[PAGES], parent[PAGES], child[PAGES];
	struct block block[BLOCKS_MAX];
	size_t n_blocks;
	uint32_t mapped[PAGES]; /* stack of who mapped it; 0: nobody known */
	unsigned char before[PAGES][PAGE], by_parent[PAGES][PAGE], by_child[PAGES][PAGE];
	struct cow_site_row want[STACKS];
	struct cow_totals totals;
};

static struct world w;

static size_t runs_of(const bool *page, struct cow_run *run)
{
	size_t n = 0;

	for (size_t i = 0; i < PAGES; i++) {
		if (!page[i])
			continue;
		/* Runs that touch may stay apart. */
		if (i && page[i - 1] && rnd(4))
			run[n - 1].n++;
		else
			run[n++] = (struct cow_run){ FIRST + i, 1 };
	}
	return n;
}

static void scribble(unsigned char *page, const unsigned char *before)
{
	memcpy(page, before, PAGE);
	switch (rnd(4)) {
	case 0: /* as it was */
		break;
	case 1: /* a count */
		page[8 * rnd(PAGE / 8)]++;
		break;
	default:
		for (size_t i = 0, at = rnd(PAGE); i < 100 && at + i < PAGE; i++)
			page[at + i] ^= 0x55;
	}
}

/* Blocks in a row with gaps, some of many pages; and a piece without any. */
static void make_world(void)
{
	uint64_t at = FIRST * PAGE, end = (FIRST + PAGES) * PAGE;

	memset(&w, 0, sizeof(w));
	for (size_t i = 0; i < PAGES; i++) {
		w.shared[i] = rnd(5) != 0;
		w.parent[i] = w.shared[i] && rnd(3) == 0;
		w.child[i] = w.shared[i] && rnd(3) == 0;
		for (size_t k = 0; k < PAGE; k += 8)
			w.before[i][k] = (unsigned char)(1 + rnd(200));
		scribble(w.by_parent[i], w.before[i]);
		scribble(w.by_child[i], w.before[i]);
		w.mapped[i] = i && rnd(20) ? w.mapped[i - 1] : rnd(2) ? (uint32_t)rnd(STACKS) : 0;
	}
	while (w.n_blocks < BLOCKS_MAX) {
		struct block *b = &w.block[w.n_blocks];

		at += rnd(8) ? rnd(64) : rnd(5 * PAGE);
		b->address = at;
		b->size = rnd(20) ? rnd(900) : rnd(6 * PAGE);
		b->stack = (uint32_t)rnd(STACKS);
		at += b->size ? b->size : 1;
		if (at > end)
			break;
		w.n_blocks++;
	}
	for (size_t i = w.n_blocks; i > 1; i--) {
		size_t k = rnd(i);
		struct block t = w.block[k];
		w.block[k] = w.block[i - 1];
		w.block[i - 1] = t;
	}
}

static bool lies_on(const struct block *b, size_t page)
{
	uint64_t start = (FIRST + page) * PAGE, size = b->size ? b->size : 1;

	return b->address < start + PAGE && b->address + size > start;
}

static size_t changed_bytes(const struct block *b, size_t page, const unsigned char *after)
{
	size_t n = 0;

	for (size_t i = 0; i < PAGE; i++) {
		uint64_t address = (FIRST + page) * PAGE + i;
		n += address >= b->address && address < b->address + b->size && after[i] != w.before[page][i];
	}
	return n;
}

static enum cow_class class_of_page(size_t page)
{
	enum cow_class class = COW_IDENTICAL, other;

	if (w.parent[page])
		class = cow_diff_page(w.before[page], w.by_parent[page], PAGE).class;
	if (w.child[page] && (other = cow_diff_page(w.before[page], w.by_child[page], PAGE).class) > class)
		class = other;
	return class;
}

/* mapped: what was changed there is the row's, too. */
static void want_page(struct cow_site_row *row, size_t page, bool compare, bool mapped)
{
	bool broken = w.parent[page] || w.child[page];

	row->pages_shared += w.shared[page];
	row->parent_broke += w.parent[page];
	row->child_broke += w.child[page];
	row->both_broke += w.parent[page] && w.child[page];
	row->identical_pages += compare && broken && class_of_page(page) == COW_IDENTICAL;
	row->counter_pages += compare && broken && class_of_page(page) == COW_COUNTER;
	if (compare && mapped && w.parent[page])
		row->bytes_changed += cow_diff_bytes(w.before[page], w.by_parent[page], PAGE);
	if (compare && mapped && w.child[page])
		row->bytes_changed += cow_diff_bytes(w.before[page], w.by_child[page], PAGE);
}

static void want_pages(bool compare)
{
	for (size_t page = 0; page < PAGES; page++) {
		bool has[STACKS] = { false }, any = false;

		for (size_t i = 0; i < w.n_blocks; i++)
			if (lies_on(&w.block[i], page) && w.block[i].stack)
				any = has[w.block[i].stack] = true;
		if (!any)
			has[w.mapped[page]] = true;
		for (size_t s = 0; s < STACKS; s++)
			if (has[s])
				want_page(&w.want[s], page, compare, !any && s);
		if (compare && (w.parent[page] || w.child[page]))
			w.totals.pages[class_of_page(page)]++;
	}
}

static void want_blocks(bool compare)
{
	for (size_t i = 0; i < w.n_blocks; i++) {
		const struct block *b = &w.block[i];
		struct cow_site_row *row = &w.want[b->stack];
		bool shared = false, broken = false;
		uint64_t changed = 0;

		for (size_t page = 0; page < PAGES; page++) {
			if (!lies_on(b, page))
				continue;
			shared |= w.shared[page];
			broken |= w.parent[page] || w.child[page];
			if (compare && w.parent[page])
				changed += changed_bytes(b, page, w.by_parent[page]);
			if (compare && w.child[page])
				changed += changed_bytes(b, page, w.by_child[page]);
		}
		row->blocks += shared;
		row->bytes += shared ? b->size : 0;
		row->bytes_changed += changed;
		row->false_blocks += shared && broken && !changed;
	}
}

static void compare_rows(const struct cow_site_row *row, size_t n)
{
	size_t seen = 0;

	for (size_t i = 0; i < n; i++) {
		REQUIRE(row[i].stack < STACKS);
		const struct cow_site_row *want = &w.want[row[i].stack];
		CHECK_EQ(row[i].pages_shared, want->pages_shared);
		CHECK_EQ(row[i].parent_broke, want->parent_broke);
		CHECK_EQ(row[i].child_broke, want->child_broke);
		CHECK_EQ(row[i].both_broke, want->both_broke);
		CHECK_EQ(row[i].blocks, want->blocks);
		CHECK_EQ(row[i].bytes, want->bytes);
		CHECK_EQ(row[i].false_blocks, want->false_blocks);
		CHECK_EQ(row[i].bytes_changed, want->bytes_changed);
		CHECK_EQ(row[i].identical_pages, want->identical_pages);
		CHECK_EQ(row[i].counter_pages, want->counter_pages);
		if (i)
			CHECK(row[i - 1].parent_broke + row[i - 1].child_broke - row[i - 1].both_broke >=
				row[i].parent_broke + row[i].child_broke - row[i].both_broke);
		seen += want->blocks > 0 || want->pages_shared > 0 || !row[i].stack;
	}
	for (size_t s = 1; s < STACKS; s++)
		seen -= w.want[s].blocks > 0 || w.want[s].pages_shared > 0;
	CHECK_EQ(seen, 1); /* every stack, and row 0 */
}

/* Any part of the pages, against the brute sum. */
static void compare_changes(const struct cow_sites *cs)
{
	size_t from = rnd(PAGES), to = from + rnd(PAGES - from + 1);
	struct cow_changes got = cow_sites_changes(cs, FIRST + from, FIRST + to), want = { .bytes = 0 };

	for (size_t page = from; page < to; page++) {
		if (!w.parent[page] && !w.child[page])
			continue;
		want.bytes += w.parent[page] ? cow_diff_bytes(w.before[page], w.by_parent[page], PAGE) : 0;
		want.bytes += w.child[page] ? cow_diff_bytes(w.before[page], w.by_child[page], PAGE) : 0;
		want.identical_pages += class_of_page(page) == COW_IDENTICAL;
		want.counter_pages += class_of_page(page) == COW_COUNTER;
	}
	CHECK_EQ(got.bytes, want.bytes);
	CHECK_EQ(got.identical_pages, want.identical_pages);
	CHECK_EQ(got.counter_pages, want.counter_pages);
}

static void add_mappings(struct cow_sites *cs)
{
	for (size_t from = 0, to; from < PAGES; from = to) {
		for (to = from + 1; to < PAGES && w.mapped[to] == w.mapped[from] && rnd(50); to++)
			;
		if (w.mapped[from])
			cow_sites_add_area(cs, (FIRST + from) * PAGE, (FIRST + to) * PAGE, w.mapped[from]);
	}
}

/* late: what was broken is known after the pages were compared. */
static void one_world(bool compare, bool late)
{
	static struct cow_run shared[PAGES], parent[PAGES], child[PAGES];
	const struct cow_site_row *row;
	size_t n;

	make_world();
	want_pages(compare);
	want_blocks(compare);
	struct cow_sets sets = { shared, parent, child, runs_of(w.shared, shared), runs_of(w.parent, parent),
		runs_of(w.child, child), PAGE };
	struct cow_sets first = { .shared = shared, .n_shared = sets.n_shared, .page_size = PAGE };
	struct cow_sites *cs = cow_sites_new(late ? &first : &sets);
	REQUIRE(cs);
	for (size_t i = 0; i < w.n_blocks; i++)
		cow_sites_add(cs, w.block[i].address, w.block[i].size, w.block[i].stack);
	add_mappings(cs);
	uint64_t bytes = 0;
	for (size_t page = 0; compare && page < PAGES; page++) {
		size_t at = PAGES - 1 - page;
		if (w.parent[at])
			cow_sites_diff(cs, FIRST + at, w.before[at], w.by_parent[at]);
		if (w.child[at])
			cow_sites_diff(cs, FIRST + at, w.before[at], w.by_child[at]);
		bytes += w.parent[at] ? cow_diff_bytes(w.before[at], w.by_parent[at], PAGE) : 0;
		bytes += w.child[at] ? cow_diff_bytes(w.before[at], w.by_child[at], PAGE) : 0;
	}
	if (late)
		REQUIRE(cow_sites_broken(cs, &sets, compare));
	REQUIRE(!cow_sites_count(cs, &row, &n));
	compare_rows(row, n);
	for (int i = 0; compare && i < 20; i++)
		compare_changes(cs);
	struct cow_totals t = cow_sites_totals(cs);
	CHECK_EQ(t.compared, compare);
	CHECK_EQ(t.bytes_changed, bytes);
	for (size_t i = 0; i < N_COW_CLASSES; i++)
		CHECK_EQ(t.pages[i], w.totals.pages[i]);
	cow_sites_free(cs);
}

/* Only one side is known; nothing shared; nothing live. */
static void little_known(void)
{
	const struct cow_run shared[] = { { 10, 20 } }, broken[] = { { 12, 3 }, { 15, 1 }, { 29, 1 } };
	const struct cow_site_row *row;
	size_t n;
	struct cow_sites *cs = cow_sites_new(&(struct cow_sets){ .shared = shared, .n_shared = 1,
		.child = broken, .n_child = 3, .page_size = PAGE });

	REQUIRE(cs);
	cow_sites_add(cs, 12 * PAGE + 100, 3 * PAGE, 7);
	cow_sites_add(cs, 9 * PAGE, 100, 8); /* not shared */
	REQUIRE(!cow_sites_count(cs, &row, &n));
	REQUIRE(n == 2);
	CHECK_EQ(row[0].stack, 7);
	CHECK_EQ(row[0].pages_shared, 4);
	CHECK_EQ(row[0].child_broke, 4);
	CHECK_EQ(row[0].parent_broke, 0);
	CHECK_EQ(row[1].stack, 0);
	CHECK_EQ(row[1].pages_shared, 16);
	CHECK_EQ(row[1].child_broke, 1);
	CHECK(!cow_sites_totals(cs).parent_known && cow_sites_totals(cs).child_known);
	cow_sites_free(cs);

	cs = cow_sites_new(&(struct cow_sets){ .shared = shared, .parent = broken, .child = broken, .page_size = PAGE });
	REQUIRE(cs);
	REQUIRE(!cow_sites_count(cs, &row, &n));
	CHECK_EQ(n, 1);
	CHECK_EQ(row[0].stack, 0);
	CHECK_EQ(row[0].pages_shared, 0);
	cow_sites_free(cs);
	cow_sites_free(NULL);
}

int main(void)
{
	little_known();
	for (uint64_t seed = 1; seed <= 20; seed++) {
		random_state = seed;
		one_world(seed % 2, seed / 2 % 2);
	}
	return check_done();
}
