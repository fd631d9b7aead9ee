/*
 * test_cow_part.c - sites of a fork that was watched in part, over 1,000 draws
 * of the pieces: what all pages would have said lies within the intervals as
 * often as they say.
 *
 * The memory is the same each time and lies at another address, so that other
 * pieces of 2 MiB are chosen.
 */
#include "check.h"
#include "model/cow_sites.h"

#include <mmscope/record.h>

#define PAGE 4096u
#define PIECES 160u
#define PIECE_PAGES 512u
#define PAGES (PIECES * PIECE_PAGES)
#define DRAWS 1000
#define BLOCKS_MAX 40000

/* LARGE lies everywhere, SMALL in every other piece, RARE in one of twelve. */
enum site { GAPS, LARGE, SMALL, RARE, MAPPED, SITES };
static const char *const site_text[SITES] = { "no block", "large", "small", "rare", "mapped" };
static const char *const figure_text[COW_SITE_RANGES] = { "shared", "parent", "child", "both" };

static uint64_t state = 88172645463325252ull;

static uint64_t rnd(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % n;
}

static struct {
	uint64_t at, size;
	uint32_t site;
} block[BLOCKS_MAX];
static size_t n_blocks;
static bool mapped[PAGES]; /* by one site; mostly some of each second piece */
static bool is[COW_SITE_RANGES][PAGES]; /* shared, and what was written of it */
static uint64_t truth[SITES][COW_SITE_RANGES], bytes[SITES];

static void add(uint64_t at, uint64_t size, enum site site)
{
	REQUIRE(n_blocks < BLOCKS_MAX);
	block[n_blocks].at = at;
	block[n_blocks].size = size;
	block[n_blocks++].site = site;
	bytes[site] += size;
}

static void make_blocks(void)
{
	for (uint64_t piece = 0; piece < PIECES; piece++) {
		uint64_t at = piece * PIECE_PAGES * PAGE, end = at + (uint64_t)PIECE_PAGES * PAGE;

		for (at += rnd(30000); at + 200000 < end; at += rnd(60000))
			for (int k = piece % 2 ? 0 : (int)rnd(12); k >= 0; k--) {
				bool rare = piece % 12 == 5 && rnd(3) == 0;
				uint64_t size = k ? 100 + rnd(400) : 20000 + rnd(60000);
				add(at, size, rare ? RARE : k ? SMALL : LARGE);
				at += size + rnd(64);
			}
	}
}

static void make_mappings(void)
{
	for (size_t i = 0, to; i < PAGES; i = to + rnd(900))
		for (to = i + 100 + rnd(500); i < to && i < PAGES; i++)
			mapped[i] = true;
}

static void add_mappings(struct cow_sites *cs, uint64_t first)
{
	for (uint64_t from = 0, to; from < PAGES; from = to) {
		for (to = from + 1; to < PAGES && mapped[to] == mapped[from]; to++)
			;
		if (mapped[from])
			cow_sites_add_area(cs, (first * PIECE_PAGES + from) * PAGE, (first * PIECE_PAGES + to) * PAGE, MAPPED);
	}
}

static void make_pages(void)
{
	for (size_t i = 0; i < PAGES; i++) {
		is[COW_SITE_SHARED][i] = rnd(10) != 0;
		is[COW_SITE_PARENT][i] = is[COW_SITE_SHARED][i] && rnd(100) < 5 + i / PIECE_PAGES % 20 * 2;
		is[COW_SITE_CHILD][i] = is[COW_SITE_SHARED][i] && rnd(3) == 0;
		is[COW_SITE_BOTH][i] = is[COW_SITE_PARENT][i] && is[COW_SITE_CHILD][i];
	}
}

static void find_truth(void)
{
	static bool on[SITES][PAGES];

	for (size_t b = 0; b < n_blocks; b++)
		for (uint64_t i = block[b].at / PAGE; i <= (block[b].at + block[b].size - 1) / PAGE; i++)
			on[block[b].site][i] = true;
	for (size_t i = 0; i < PAGES; i++) {
		on[mapped[i] ? MAPPED : GAPS][i] = !on[LARGE][i] && !on[SMALL][i] && !on[RARE][i];
		for (int s = 0; s < SITES; s++)
			for (int k = 0; k < COW_SITE_RANGES; k++)
				truth[s][k] += on[s][i] && is[k][i];
	}
}

/* Of the pieces that are chosen where the memory begins at this piece. */
static size_t runs_of(const bool *set, uint64_t first, uint32_t share, struct cow_run *run)
{
	size_t n = 0;

	for (size_t i = 0; i < PAGES; i++) {
		uint64_t page = first * PIECE_PAGES + i;

		if (i % PIECE_PAGES == 0 && !mms_cow_is_chosen(page / PIECE_PAGES, share))
			i += PIECE_PAGES - 1;
		else if (!set[i])
			;
		else if (n && run[n - 1].page + run[n - 1].n == page)
			run[n - 1].n++;
		else
			run[n++] = (struct cow_run){ page, 1 };
	}
	return n;
}

static unsigned held[SITES][COW_SITE_RANGES], drawn[SITES]; /* of draws that have a row of it */
static double sum[SITES][COW_SITE_RANGES];

static void draw(uint32_t share)
{
	static struct cow_run run[3][PAGES];
	uint64_t first = rnd(1u << 24);
	struct cow_sets sets = { run[0], run[1], run[2], runs_of(is[COW_SITE_SHARED], first, share, run[0]),
		runs_of(is[COW_SITE_PARENT], first, share, run[1]), runs_of(is[COW_SITE_CHILD], first, share, run[2]), PAGE, share };
	struct cow_sites *cs = cow_sites_new(&sets);
	const struct cow_site_row *row;
	size_t n;

	REQUIRE(cs);
	for (size_t b = 0; b < n_blocks; b++)
		cow_sites_add(cs, first * PIECE_PAGES * PAGE + block[b].at, block[b].size, block[b].site);
	add_mappings(cs, first);
	REQUIRE(!cow_sites_count(cs, &row, &n));
	CHECK(cow_sites_totals(cs).estimated);
	for (size_t i = 0; i < n; i++) {
		const struct cow_site_row *r = &row[i];
		const uint64_t point[] = { r->pages_shared, r->parent_broke, r->child_broke, r->both_broke };
		REQUIRE(r->stack < SITES);
		drawn[r->stack]++;
		if (r->stack)
			CHECK_EQ(r->bytes, bytes[r->stack]); /* all of the site, watched or not */
		for (int k = 0; k < COW_SITE_RANGES; k++) {
			CHECK_EQ(point[k], r->range[k].point);
			held[r->stack][k] += r->range[k].low <= truth[r->stack][k] && truth[r->stack][k] <= r->range[k].high;
			sum[r->stack][k] += (double)point[k];
		}
	}
	cow_sites_free(cs);
}

int main(void)
{
	make_blocks();
	make_mappings();
	make_pages();
	find_truth();
	for (int i = 0; i < DRAWS; i++)
		draw(MMS_COW_SHARE_ALL / 4);
	for (int s = 0; s < SITES; s++)
		for (int k = 0; k < COW_SITE_RANGES; k++) {
			double share = (double)held[s][k] / drawn[s], bias = sum[s][k] / DRAWS / (double)truth[s][k] - 1;
			printf("%s, %s: %llu pages, held %.3f, bias %+.4f\n", site_text[s], figure_text[k],
				(unsigned long long)truth[s][k], share, bias);
			CHECK(drawn[s] >= 0.95 * DRAWS);
			CHECK(share >= 0.93 && (s == RARE || share <= 0.99));
			/* A draw that sees none of a rare site has no row of it. */
			CHECK(bias < 0.03 && bias > (s == RARE ? -0.08 : -0.03));
		}
	return check_done();
}
