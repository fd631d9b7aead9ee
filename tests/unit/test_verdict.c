/*
 * test_verdict.c - classes, scores and sentences of sites, and a mix of 151
 * sites of which 15 leak (ADDRESS_SPACE 4.5, A20), replayed through the
 * series of the model: precision and recall at least 0.9, with and without
 * reachability.  Truth is the construction of each site.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "model/series.h"
#include "report/verdict.h"

#define RUN_S 3600.0
#define SITES 151
#define LEAKING 15
#define MAX_BLOCKS 1200
#define POINTS 60
#define SEEDS 5

static uint64_t random_state;

static double uniform(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(random_state >> 11) / 9007199254740992.0;
}

static double exponential(double mean)
{
	return -mean * log(1 - uniform());
}

struct made_block {
	double born_s, died_s; /* beyond RUN_S: still live */
	uint64_t size;
	bool lost;
};

struct made_site {
	struct made_block block[MAX_BLOCKS];
	size_t n;
	bool leaks;
};

static void put_block(struct made_site *s, double born_s, double life_s, uint64_t size, bool lost)
{
	if (s->n < MAX_BLOCKS && born_s < RUN_S)
		s->block[s->n++] = (struct made_block){born_s, born_s + life_s, size, lost};
}

/* Requests come all the time; of the blocks of each, a share is forgotten. */
static void make_leak(struct made_site *s, double share, double life_s)
{
	double size = 64 + 4000 * uniform();
	s->leaks = true;
	for (int i = 0; i < MAX_BLOCKS; i++) {
		bool forgotten = uniform() < share;
		put_block(s, RUN_S * (i + uniform()) / MAX_BLOCKS, forgotten ? 2 * RUN_S : exponential(life_s),
			(uint64_t)size, forgotten);
	}
}

/* Fills, then each new entry takes the place of the oldest. */
static void make_cache(struct made_site *s)
{
	double full_s = RUN_S * (0.05 + 0.4 * uniform()), step = RUN_S / MAX_BLOCKS;
	for (int i = 0; i < MAX_BLOCKS; i++)
		put_block(s, step * (i + uniform()), full_s, (uint64_t)(200 + 8000 * uniform()), false);
}

/* Users come and go; every one ends in his time. */
static void make_sessions(struct made_site *s)
{
	double mean = RUN_S * (0.005 + 0.08 * uniform()), swing = 0.6 * uniform(), phase = 6.28 * uniform();
	double waves = 2 + 4 * uniform();
	for (int i = 0; i < MAX_BLOCKS; i++) {
		double t = RUN_S * (i + uniform()) / MAX_BLOCKS;
		if (uniform() < (1 + swing * sin(phase + waves * 6.28 * t / RUN_S)) / (1 + swing))
			put_block(s, t, exponential(mean), (uint64_t)(500 + 3000 * uniform()), false);
	}
}

static void make_start_up(struct made_site *s)
{
	for (int i = 0; i < 50; i++)
		put_block(s, RUN_S * 0.02 * uniform(), 2 * RUN_S, (uint64_t)(100 + 50000 * uniform()), false);
}

static void make_temporary(struct made_site *s)
{
	for (int i = 0; i < MAX_BLOCKS; i++)
		put_block(s, RUN_S * (i + uniform()) / MAX_BLOCKS, exponential(0.5), 512, false);
}

static void make_site(struct made_site *s, int number)
{
	static const double share[] = {1, 0.5, 0.2, 0.1, 1};
	s->n = 0;
	s->leaks = false;
	if (number < LEAKING)
		make_leak(s, share[number % 5], RUN_S * (0.002 + 0.02 * uniform()));
	else if (number % 4 == 0)
		make_cache(s);
	else if (number % 4 == 1)
		make_sessions(s);
	else if (number % 4 == 2)
		make_start_up(s);
	else
		make_temporary(s);
}

struct change {
	double t_s;
	int64_t bytes;
};

static int by_time(const void *a, const void *b)
{
	double x = ((const struct change *)a)->t_s, y = ((const struct change *)b)->t_s;
	return (x > y) - (x < y);
}

/* Live bytes at their minima, by the series that the collector keeps. */
static size_t trace_of(const struct made_site *s, struct growth_point *point)
{
	static struct change change[2 * MAX_BLOCKS];
	struct series *series = series_new(0, 10000000);
	uint64_t live = 0;
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		change[n++] = (struct change){s->block[i].born_s, (int64_t)s->block[i].size};
		change[n++] = (struct change){s->block[i].died_s, -(int64_t)s->block[i].size};
	}
	qsort(change, n, sizeof(*change), by_time);
	for (size_t i = 0; i < n && change[i].t_s < RUN_S; i++) {
		live += (uint64_t)change[i].bytes;
		series_put(series, (uint64_t)(change[i].t_s * 1e9), live);
	}
	series_put(series, (uint64_t)(RUN_S * 1e9) - 1, live);
	for (size_t i = 0; i < POINTS; i++) {
		size_t from = i * series->n / POINTS, to = (i + 1) * series->n / POINTS;
		uint64_t least = UINT64_MAX;
		for (size_t k = from; k < to; k++)
			least = series->bucket[k].min < least ? series->bucket[k].min : least;
		point[i] = (struct growth_point){(double)(from * series->width_ns) / 1e9, (double)least};
	}
	series_free(series);
	return POINTS;
}

static void count_block(struct verdict_facts *f, const struct made_block *b, bool examined)
{
	enum reach reach = !examined ? REACH_UNCLASSIFIED : b->lost ? REACH_DEFINITE : REACH_REACHABLE;
	uint64_t born = (uint64_t)(b->born_s * 1e9);

	f->blocks[reach]++;
	f->bytes[reach] += b->size;
	f->oldest_ns = !f->listed_blocks || born < f->oldest_ns ? born : f->oldest_ns;
	f->youngest_ns = born > f->youngest_ns ? born : f->youngest_ns;
	f->listed_blocks++;
	f->listed_bytes += b->size;
	if (f->usual_life_ns && f->end_ns - born > f->usual_life_ns) {
		f->old_blocks++;
		f->old_bytes += b->size;
	}
}

static void facts_of(const struct made_site *s, bool examined, struct verdict_facts *f)
{
	struct growth_point point[POINTS];
	uint32_t lives[VERDICT_LIVES] = {0};

	*f = (struct verdict_facts){.end_ns = (uint64_t)(RUN_S * 1e9)};
	for (size_t i = 0; i < s->n; i++) {
		if (s->block[i].died_s < RUN_S) {
			lives[(int)log2((s->block[i].died_s - s->block[i].born_s) * 1e9 + 1)]++;
			f->free_blocks++;
		}
	}
	f->usual_life_ns = verdict_usual_life(lives, VERDICT_LIVES);
	for (size_t i = 0; i < s->n; i++)
		if (s->block[i].died_s >= RUN_S)
			count_block(f, &s->block[i], examined);
	CHECK_EQ(growth_recent(point, trace_of(s, point), &f->growth), 0);
}

static void check_mix(bool examined)
{
	static struct made_site site;
	unsigned told = 0, right = 0, leaks = 0;

	for (unsigned seed = 1; seed <= SEEDS; seed++) {
		random_state = seed;
		for (int i = 0; i < SITES; i++) {
			struct verdict_facts f;
			struct verdict v;
			make_site(&site, i);
			facts_of(&site, examined, &f);
			verdict_judge(&f, &v);
			leaks += site.leaks;
			told += v.class == CLASS_LEAKING;
			right += v.class == CLASS_LEAKING && site.leaks;
			CHECK(v.class != CLASS_LEAKING || v.score > 0);
		}
	}
	printf("%s: %u of %u found, %u told\n", examined ? "reachability known" : "not examined", right, leaks, told);
	CHECK_EQ(leaks, SEEDS * LEAKING);
	CHECK(right * 10 >= leaks * 9);
	CHECK(right * 10 >= told * 9);
}

static void test_mix_examined(void)
{
	check_mix(true);
}

static void test_mix_not_examined(void)
{
	check_mix(false);
}

#define SECOND 1000000000ull

/* 100 blocks of 10 bytes in a run of 100 s, born evenly over it. */
static struct verdict_facts plain_facts(enum reach reach)
{
	struct verdict_facts f = {.end_ns = 100 * SECOND, .listed_blocks = 100, .listed_bytes = 1000,
		.oldest_ns = SECOND, .youngest_ns = 99 * SECOND, .growth = {.verdict = GROWTH_FLAT, .window_s = 90}};
	f.blocks[reach] = 100;
	f.bytes[reach] = 1000;
	return f;
}

static struct verdict_facts growing_facts(enum reach reach)
{
	struct verdict_facts f = plain_facts(reach);
	f.growth = (struct growth){.verdict = GROWTH_GROWING, .per_s = 10, .low = 8, .high = 12, .window_s = 90};
	return f;
}

static void check_class(const struct verdict_facts *f, enum site_class class, double score, const char *part)
{
	struct verdict v;
	verdict_judge(f, &v);
	CHECK_STR(class_word(v.class), class_word(class));
	CHECK(fabs(v.score - score) < 0.01);
	CHECK(strstr(v.why, part) != NULL);
	CHECK(v.why[strlen(v.why) - 1] == '.');
}

static void test_lost(void)
{
	struct verdict_facts f = plain_facts(REACH_DEFINITE);
	check_class(&f, CLASS_LOST, 0, "Nothing points to 100 blocks, 1000 B in all.");
	f = growing_facts(REACH_DEFINITE);
	check_class(&f, CLASS_LEAKING, 8, "Grows by 8 B to 12 B a second");
	/* One lost block is not what makes a site of reachable ones grow. */
	f = growing_facts(REACH_REACHABLE);
	f.blocks[REACH_INDIRECT] = 1;
	f.bytes[REACH_INDIRECT] = 10;
	check_class(&f, CLASS_LOST, 8 * 10 / 1010.0, "Only lost blocks point to 1 block of 10 B");
	f = plain_facts(REACH_INDIRECT);
	check_class(&f, CLASS_LOST, 0, "Only lost blocks point to 100 blocks, 1000 B in all.");
	f.blocks[REACH_DEFINITE] = 7;
	f.bytes[REACH_DEFINITE] = 24;
	check_class(&f, CLASS_LOST, 0, "Nothing points to 7 blocks, and only lost blocks to 100 more, 1.00 KiB in all.");
}

static void test_growing(void)
{
	struct verdict_facts f = growing_facts(REACH_REACHABLE);
	check_class(&f, CLASS_GROWING, 0, "without a limit");
	f = growing_facts(REACH_UNCLASSIFIED);
	check_class(&f, CLASS_LEAKING, 8, "none of its blocks was ever freed");
	f.growth.window_s = 0.5;
	check_class(&f, CLASS_UNPROVEN, 0, "too short");
	/* All young: a crowd of sessions that grows. */
	f = growing_facts(REACH_UNCLASSIFIED);
	f.free_blocks = 500;
	f.usual_life_ns = 100 * SECOND;
	check_class(&f, CLASS_UNPROVEN, 0, "no older than those it frees");
	f.usual_life_ns = SECOND;
	f.old_blocks = 50;
	f.old_bytes = 500;
	check_class(&f, CLASS_LEAKING, 4, "50 blocks are older than 99 of 100");
}

static void test_quiet(void)
{
	struct verdict_facts f = plain_facts(REACH_UNCLASSIFIED);
	check_class(&f, CLASS_UNPROVEN, 0, "does not grow");
	f.youngest_ns = 2 * SECOND;
	check_class(&f, CLASS_START_UP, 0, "within the first 2.00 s");
	f.listed_blocks = 99; /* one of unknown birth */
	check_class(&f, CLASS_UNPROVEN, 0, "does not grow");
	f = plain_facts(REACH_UNCLASSIFIED);
	f.oldest_ns = 98 * SECOND;
	check_class(&f, CLASS_EXIT_NOISE, 0, "None is older than 2.00 s");
	f.oldest_ns = 80 * SECOND;
	f.free_blocks = 1000;
	f.usual_life_ns = 30 * SECOND;
	check_class(&f, CLASS_EXIT_NOISE, 0, "None is older than 20");
	f = plain_facts(REACH_POSSIBLE);
	check_class(&f, CLASS_UNPROVEN, 0, "into the middle");
	/* A run of a moment has neither start nor end. */
	f = plain_facts(REACH_UNCLASSIFIED);
	f.end_ns = 100000;
	f.oldest_ns = f.youngest_ns = 10;
	f.growth.verdict = GROWTH_UNPROVEN;
	check_class(&f, CLASS_UNPROVEN, 0, "Kept to the end; too little to be followed");
	f.running = true;
	check_class(&f, CLASS_UNPROVEN, 0, "Live now; whether it grows is known when the recording ends.");
	f.traced = true;
	check_class(&f, CLASS_UNPROVEN, 0, "watched too short");
}

static void test_usual_life(void)
{
	uint32_t counts[VERDICT_LIVES] = {[10] = 99, [20] = 1};
	CHECK_EQ(verdict_usual_life(counts, VERDICT_LIVES), 2048);
	counts[20] = 2;
	CHECK_EQ(verdict_usual_life(counts, VERDICT_LIVES), 2 << 20);
	CHECK_EQ(verdict_usual_life(counts, 5), 0);
	CHECK_EQ(reach_of_word("indirect"), REACH_INDIRECT);
	CHECK_EQ(reach_of_word(NULL), REACH_UNCLASSIFIED);
}

int main(void)
{
	test_lost();
	test_growing();
	test_quiet();
	test_usual_life();
	test_mix_examined();
	test_mix_not_examined();
	return check_done();
}
