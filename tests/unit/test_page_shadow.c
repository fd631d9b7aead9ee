/*
 * test_page_shadow.c - planes against a plain array.
 *
 * Random sets, clears and moves over a few GiB of page numbers, in runs of
 * all lengths; after each the plane agrees with a byte per page.
 */
#include "check.h"
#include "mirror/page_shadow.h"

#define N_PAGES (3u << 18) /* 3 GiB */
#define BASE 0x7f0000000ull

static uint8_t truth[N_PAGES];
static uint64_t random_state = 42;

static unsigned rnd(unsigned n)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(random_state >> 33) % n;
}

static unsigned pick_length(unsigned first)
{
	static const unsigned longest[] = { 1, 70, 513, 5000, N_PAGES };
	unsigned n = 1 + rnd(longest[rnd(5)]);

	return first + n > N_PAGES ? N_PAGES - first : n;
}

static void compare(const struct page_plane *p)
{
	uint64_t n_set = 0, at = 0;
	struct page_run run;

	for (unsigned i = 0; i < N_PAGES; i++)
		n_set += truth[i];
	CHECK_EQ(p->n_set, n_set);
	CHECK_EQ(page_plane_count(p, BASE, N_PAGES), n_set);
	/* Every run is set throughout, and what lies between is not. */
	for (uint64_t from = BASE; page_plane_run(p, from, BASE + N_PAGES, &run); from = run.first + run.n) {
		uint64_t first = run.first - BASE;

		REQUIRE(memchr(truth + at, 1, first - at) == NULL);
		REQUIRE(memchr(truth + first, 0, run.n) == NULL);
		at = first + run.n;
	}
	CHECK(memchr(truth + at, 1, N_PAGES - at) == NULL);
}

static void move(struct page_plane *p)
{
	unsigned from = rnd(N_PAGES / 2), n = 1 + rnd(3000), to = N_PAGES / 2 + 4000 + rnd(N_PAGES / 4);

	CHECK_EQ(page_plane_move(p, BASE + from, BASE + to, n), 0);
	memcpy(truth + to, truth + from, n);
	memset(truth + from, 0, n);
}

int main(void)
{
	struct page_shadow shadow;
	struct page_plane *p = &shadow.plane[PAGE_PRESENT];

	page_shadow_init(&shadow);
	for (unsigned step = 0; step < 3000; step++) {
		unsigned first = rnd(N_PAGES), n = pick_length(first), kind = rnd(5);

		if (kind == 4) {
			move(p);
		} else {
			CHECK_EQ((kind & 1 ? page_plane_set : page_plane_clear)(p, BASE + first, n), 0);
			memset(truth + first, kind & 1, n);
		}
		unsigned page = rnd(N_PAGES);
		CHECK_EQ(page_plane_test(p, BASE + page), truth[page]);
		if (step % 100 == 0) {
			REQUIRE(page_plane_is_valid(p));
			compare(p);
		}
	}
	/* 40 KiB a GiB and plane, and the directory. */
	CHECK(page_plane_bytes(p) <= 3 * 40960 + 4096);
	page_shadow_forget(&shadow, BASE, N_PAGES);
	CHECK_EQ(p->n_set, 0);
	CHECK_EQ(page_plane_count(p, 0, 1ull << 36), 0);
	page_shadow_done(&shadow);
	return check_done();
}
