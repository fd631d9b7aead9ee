/*
 * test_page_runs.c - states of pages written and read back: what comes out is
 * what went in, in no more bytes than the format promises, and bytes of any
 * kind end the reader instead of leading it astray.
 *
 *	test_page_runs [SEED]
 */
#include "check.h"
#include "mirror/page_runs.h"

#define N_PAGES 20000u
#define FIRST 1000000u

static uint8_t want[N_PAGES], got[N_PAGES];
static uint8_t blob[1 << 20];
static size_t n_blob;
static uint64_t blob_first, state;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Each piece stands for itself: the reader begins anew at its first page. */
static void read_piece(const uint8_t *bytes, size_t n, uint64_t first)
{
	struct mms_page_reader r;
	uint64_t page, run;
	enum mms_page_state what;

	mms_pages_begin(&r, bytes, n, first);
	while (mms_pages_next(&r, &page, &run, &what)) {
		REQUIRE(page >= FIRST && page + run <= FIRST + N_PAGES);
		memset(got + (page - FIRST), (int)what, run);
	}
	CHECK(r.at == r.end);
}

static void full(void *arg, uint64_t first, const uint8_t *bytes, size_t n)
{
	(void)arg;
	read_piece(bytes, n, first);
	n_blob += n;
}

static void write_and_read(size_t room)
{
	struct page_runs r = { .buffer = blob, .room = room, .full = full };

	n_blob = 0;
	memset(got, 0, sizeof(got));
	page_runs_begin(&r, FIRST);
	for (uint32_t i = 0, j; i < N_PAGES; i = j) {
		for (j = i + 1; j < N_PAGES && want[j] == want[i]; j++)
			;
		if (want[i])
			page_runs_add(&r, FIRST + i, j - i, (enum mms_page_state)want[i]);
	}
	page_runs_end(&r);
	full(NULL, r.first, blob, r.used);
	blob_first = r.first;
	CHECK(memcmp(want, got, sizeof(want)) == 0);
}

static void fill(unsigned n_states, unsigned longest)
{
	for (uint32_t i = 0; i < N_PAGES;) {
		uint32_t n = 1 + (uint32_t)(next() % longest);
		uint8_t what = (uint8_t)(next() % n_states);

		for (; n && i < N_PAGES; n--)
			want[i++] = what;
	}
}

static void test_round_trips(void)
{
	static const unsigned longest[] = { 1, 2, 3, 7, 40, 100, 600, 5000 };

	for (size_t l = 0; l < sizeof(longest) / sizeof(longest[0]); l++) {
		for (unsigned n_states = 2; n_states <= 6; n_states++) {
			fill(n_states, longest[l]);
			write_and_read(sizeof(blob));
			write_and_read(PAGE_RUNS_MIN);
		}
	}
}

/* Present and absent in turns is the worst: bits, 67 bytes a 2 MiB piece. */
static void test_bound(void)
{
	for (uint32_t i = 0; i < N_PAGES; i++)
		want[i] = i % 2;
	write_and_read(sizeof(blob));
	CHECK(n_blob <= (N_PAGES / 512 + 1) * 67);
	memset(want, MMS_PAGE_PRESENT, sizeof(want));
	write_and_read(sizeof(blob));
	CHECK(n_blob <= 4);
}

static void test_any_bytes(void)
{
	struct mms_page_reader r;
	uint64_t page, run, n_items = 0;
	enum mms_page_state what;

	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[64];

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)next();
		mms_pages_begin(&r, bytes, next() % sizeof(bytes), 0);
		while (mms_pages_next(&r, &page, &run, &what))
			n_items++;
		CHECK(r.at <= r.end);
	}
	CHECK(n_items > 0);
}

int main(int argc, char **argv)
{
	state = argc > 1 ? strtoull(argv[1], NULL, 10) : 88172645463325252ull;
	printf("seed %" PRIu64 "\n", state);
	test_round_trips();
	test_bound();
	test_any_bytes();
	return check_done();
}
