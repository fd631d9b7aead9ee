/*
 * test_reach.c - verdicts on graphs whose truth is known by construction or
 * by a slow and obvious algorithm.
 *
 *   test_reach [BLOCKS]   size of the big graph (acceptance A17: 4,000,000)
 */
#include <time.h>

#include "check.h"
#include "model/reach.h"

#define BASE 0x550000000000ull
#define ROOTS 0x7f0000000000ull
#define SLOT 64u /* bytes from block to block; each block is 48 bytes: six words */
#define SIZE 48u

static uint64_t random_state = 11;

static uint64_t rnd(uint64_t n)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 20) % n;
}

struct graph {
	size_t n;
	struct reach_block *blocks;
	uint64_t *words; /* n * SLOT / 8 */
	uint64_t *roots;
	size_t n_roots;
	struct reach_totals totals;
};

static struct graph graph_new(size_t n, size_t n_roots)
{
	struct graph g = { .n = n, .n_roots = n_roots, .blocks = calloc(n, sizeof *g.blocks),
		.words = calloc(n, SLOT), .roots = calloc(n_roots, 8) };

	REQUIRE(g.blocks && g.words && g.roots);
	for (size_t i = 0; i < n; i++) {
		g.blocks[i].address = BASE + i * SLOT;
		g.blocks[i].size = SIZE;
	}
	return g;
}

static void graph_free(struct graph *g)
{
	free(g->blocks);
	free(g->words);
	free(g->roots);
}

static uint64_t address_of(size_t block, unsigned offset)
{
	return BASE + block * SLOT + offset;
}

static void point(struct graph *g, size_t from, unsigned word, size_t to, unsigned offset)
{
	g->words[from * (SLOT / 8) + word] = address_of(to, offset);
}

static void classify(struct graph *g)
{
	struct reach_memory memory[] = { { BASE, g->n * SLOT, (const uint8_t *)g->words },
		{ ROOTS, g->n_roots * 8, (const uint8_t *)g->roots } };
	struct reach_root root = { ROOTS, ROOTS + g->n_roots * 8 };

	REQUIRE(reach_classify(g->blocks, g->n, memory, 2, &root, 1, &g->totals) == 0);
}

/* --- small cases ---------------------------------------------------------------- */

static void test_cases(void)
{
	struct graph g = graph_new(20, 4);

	g.roots[0] = address_of(0, 0);  /* 0 -> 1 -> 2 reachable */
	point(&g, 0, 3, 1, 0);
	point(&g, 1, 5, 2, 0);
	g.roots[1] = address_of(3, 16); /* 3 by its middle, 4 behind it */
	point(&g, 3, 0, 4, 0);
	g.roots[2] = address_of(5, 48); /* one past the end is nobody's */
	point(&g, 6, 0, 7, 0);          /* 6 lost, 7 behind it */
	point(&g, 9, 0, 8, 0);          /* 9 lost, 8 behind it though lower */
	point(&g, 10, 0, 11, 0);        /* a lost cycle */
	point(&g, 11, 0, 12, 0);
	point(&g, 12, 0, 10, 0);
	point(&g, 13, 0, 13, 0);        /* points to itself */
	point(&g, 14, 0, 15, 0);        /* a lost cycle behind a lost block */
	point(&g, 15, 0, 14, 0);
	point(&g, 16, 0, 14, 8);
	point(&g, 2, 0, 17, 8);         /* reachable block points into the middle */
	point(&g, 17, 0, 1, 0);         /* and back: 1 stays reachable */
	classify(&g);
	static const uint8_t want[] = { REACH_REACHABLE, REACH_REACHABLE, REACH_REACHABLE, REACH_POSSIBLE,
		REACH_POSSIBLE, REACH_DEFINITE, REACH_DEFINITE, REACH_INDIRECT, REACH_INDIRECT,
		REACH_DEFINITE, REACH_DEFINITE, REACH_INDIRECT, REACH_INDIRECT, REACH_DEFINITE,
		REACH_INDIRECT, REACH_INDIRECT, REACH_DEFINITE, REACH_POSSIBLE, REACH_DEFINITE,
		REACH_DEFINITE };
	for (size_t i = 0; i < g.n; i++) {
		if (!CHECK_EQ(g.blocks[i].verdict, want[i]))
			fprintf(stderr, "block %zu\n", i);
	}
	graph_free(&g);
}

/* --- random graphs against closures ------------------------------------------------ */

enum { N = 60 };
static bool edge[N][N], start_edge[N][N]; /* closures, by any pointer and by starts */

static void close_over(bool m[N][N])
{
	for (int k = 0; k < N; k++)
		for (int i = 0; i < N; i++)
			for (int j = 0; j < N && m[i][k]; j++)
				m[i][j] |= m[k][j];
}

static uint8_t truth(int b, const bool *root_any, const bool *root_start)
{
	bool any = root_any[b], start = root_start[b];

	for (int i = 0; i < N; i++) {
		any |= root_any[i] && edge[i][b];
		start |= root_start[i] && start_edge[i][b];
	}
	return start ? REACH_REACHABLE : any ? REACH_POSSIBLE : REACH_UNCLASSIFIED;
}

/* Definite: no lost block outside its cycle leads to it, lowest of the cycle. */
static uint8_t lost_truth(int b, const uint8_t *v)
{
	for (int i = 0; i < N; i++) {
		if (v[i] != REACH_UNCLASSIFIED || !edge[i][b] || i == b)
			continue;
		if (!edge[b][i] || i < b)
			return REACH_INDIRECT;
	}
	return REACH_DEFINITE;
}

static void test_random(void)
{
	for (int run = 0; run < 2000; run++) {
		struct graph g = graph_new(N, 6);
		bool root_any[N] = { 0 }, root_start[N] = { 0 };
		uint8_t first[N];

		memset(edge, 0, sizeof edge);
		memset(start_edge, 0, sizeof start_edge);
		for (int e = 0; e < 45; e++) {
			size_t from = rnd(N), to = rnd(N);
			unsigned offset = rnd(4) ? 0 : 8 * (1 + (unsigned)rnd(5)), word = (unsigned)rnd(6);

			if (g.words[from * (SLOT / 8) + word])
				continue;
			point(&g, from, word, to, offset);
			edge[from][to] = true;
			start_edge[from][to] |= offset == 0;
		}
		for (size_t i = 0; i < g.n_roots; i++) {
			size_t to = rnd(N);
			unsigned offset = rnd(3) ? 0 : 24;

			g.roots[i] = address_of(to, offset);
			root_any[to] = true;
			root_start[to] |= offset == 0;
		}
		close_over(edge);
		close_over(start_edge);
		classify(&g);
		for (int i = 0; i < N; i++)
			first[i] = truth(i, root_any, root_start);
		for (int i = 0; i < N; i++) {
			uint8_t want = first[i] == REACH_UNCLASSIFIED ? lost_truth(i, first) : first[i];

			REQUIRE(g.blocks[i].verdict == want);
		}
		graph_free(&g);
	}
}

/* --- a big one: reachable and lost chains, cycles, by construction ---------------------- */

static void test_big(size_t n)
{
	struct graph g = graph_new(n, n / 100 + 1);
	uint64_t definite = 0, indirect = 0, reachable = 0;
	size_t at = 0, root = 0;

	while (at + 40 < n && root < g.n_roots) {
		size_t length = 1 + rnd(30);

		for (size_t i = 0; i + 1 < length; i++)
			point(&g, at + i, (unsigned)rnd(6), at + i + 1, 0);
		switch (rnd(3)) {
		case 0: /* reached from a root */
			g.roots[root++] = address_of(at, 0);
			reachable += length;
			break;
		case 1: /* lost chain */
			definite++;
			indirect += length - 1;
			break;
		default: /* lost cycle; the last block has no pointer yet */
			point(&g, at + length - 1, 0, at, 0);
			definite++;
			indirect += length - 1;
		}
		at += length;
	}
	definite += n - at;
	struct timespec t0, t1;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	classify(&g);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	CHECK_EQ(g.totals.blocks[REACH_REACHABLE], reachable);
	CHECK_EQ(g.totals.blocks[REACH_DEFINITE], definite);
	CHECK_EQ(g.totals.blocks[REACH_INDIRECT], indirect);
	CHECK_EQ(g.totals.blocks[REACH_POSSIBLE], 0);
	CHECK_EQ(g.totals.unreadable_bytes, 0);
	double s = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
	printf("%zu blocks: %.2f s, %.2f GB/s\n", n, s, (double)g.totals.scanned_bytes / s / 1e9);
	graph_free(&g);
}

/* Memory that was not given is counted, not guessed. */
static void test_unreadable(void)
{
	struct reach_block block[] = { { 0x10000, 64, 0 }, { 0x20000, 4096, 0 } };
	uint64_t words[8] = { 0x20000 };
	struct reach_memory memory = { 0x10000, 64, (const uint8_t *)words };
	struct reach_totals totals;

	CHECK_EQ(reach_classify(block, 2, &memory, 1, NULL, 0, &totals), 0);
	CHECK_EQ(block[0].verdict, REACH_DEFINITE);
	CHECK_EQ(block[1].verdict, REACH_INDIRECT);
	CHECK_EQ(totals.unreadable_bytes, 4096);
	CHECK_EQ(reach_classify(NULL, 0, NULL, 0, NULL, 0, &totals), 0);
}

/* new T[0]: held by the address behind its eight bytes, if they are nought. */
static void test_empty_array(void)
{
	struct reach_block block[] = { { 0x10000, 8, 0 }, { 0x10020, 8, 0 }, { 0x10040, 16, 0 }, { 0x10060, 8, 0 } };
	uint64_t words[18] = { [4] = 1, [14] = 0x10008, [15] = 0x10028, [16] = 0x10050, [17] = 0x10068 };
	struct reach_memory memory = { 0x10000, sizeof(words), (const uint8_t *)words };
	struct reach_root root = { 0x10070, 0x10090 };
	struct reach_totals totals;

	CHECK_EQ(reach_classify(block, 4, &memory, 1, &root, 1, &totals), 0);
	CHECK_EQ(block[0].verdict, REACH_POSSIBLE);
	CHECK_EQ(block[1].verdict, REACH_DEFINITE);
	CHECK_EQ(block[2].verdict, REACH_DEFINITE);
	CHECK_EQ(block[3].verdict, REACH_POSSIBLE);
}

int main(int argc, char **argv)
{
	test_cases();
	test_empty_array();
	test_unreadable();
	test_random();
	test_big(argc > 1 ? strtoul(argv[1], NULL, 10) : 200000);
	return check_done();
}
