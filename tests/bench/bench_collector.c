/*
 * bench_collector.c - ns per record from ring block to model.
 *
 * Fills the ring of an in-memory session with records (not timed), drains it
 * into a model (timed), again and again.  Streams:
 *   lifo    malloc and free in turn, the last address: what simple programs do
 *   random  a set of live blocks, a random one freed and given again
 *   threads the same from four threads in turn, runs of 8
 *   two/1, two/2  the second, in two processes that have nothing to do with each
 *           other, by one thread and by two: ns of time, best of five rounds, and
 *           in the last column ns of CPU of all threads in that one
 * Prints ns of CPU per record, records per second and bytes per live block of the
 * live table, for 1e3 to 1e7 live blocks.  Linked with jemalloc, as the
 * collector is.
 *
 *   bench_collector [MAX_LIVE]     default 1e7
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collect/drain.h"
#include "collect/feed.h"
#include "model/live.h"
#include "unit/fake_session.h"

#define THREADS 5u
#define OTHER (THREADS - 1) /* thread of another process */
#define RING 64u
#define SITES 2000u
#define BATCH (60u * MMS_RECORDS_PER_BLOCK / 2)

struct setup {
	struct mms_session *s;
	struct drain *d;
	struct feed feed;
	struct model *m;
	struct fake_thread thread[THREADS];
	uint64_t ticks, seed, ns, wall_ns, all_ns, records;
	uint32_t *live; /* which address each live block has */
};

static uint64_t draw(struct setup *x)
{
	x->seed ^= x->seed << 13;
	x->seed ^= x->seed >> 7;
	x->seed ^= x->seed << 17;
	return x->seed >> 11;
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void drain_timed(struct setup *x)
{
	uint64_t begin = now_ns(CLOCK_THREAD_CPUTIME_ID), wall = now_ns(CLOCK_MONOTONIC), all = now_ns(CLOCK_PROCESS_CPUTIME_ID);

	x->records += drain_round_at(x->d, fake_stamp(x->ticks));
	x->ns += now_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
	x->wall_ns += now_ns(CLOCK_MONOTONIC) - wall;
	x->all_ns += now_ns(CLOCK_PROCESS_CPUTIME_ID) - all;
}

static void emit(struct setup *x, uint32_t thread, enum mms_op op, uint64_t k)
{
	/* Sites by address: the same block comes from the same place. */
	uint32_t site = op == MMS_OP_FREE ? 0 : 1 + (uint32_t)(k * 2654435761u) % SITES;

	x->ticks += 2;
	while (!fake_heap(&x->thread[thread], op, 0x550000000000ull + k * 48, 40, site, x->ticks))
		drain_timed(x);
}

static void set_up(struct setup *x)
{
	memset(x, 0, sizeof(*x));
	x->seed = 88172645463325252ull;
	x->ticks = FAKE_START_TICKS + 100;
	x->s = fake_session_new(RING);
	x->m = model_new();
	feed_init(&x->feed, x->m);
	x->d = drain_open(x->s, &x->feed.sink);
	x->feed.clock = drain_clock(x->d);
	for (uint32_t i = 0; i < THREADS; i++) {
		uint64_t process = i && i != OTHER ? 1 : fake_process(x->s, 0, MMS_BEGIN_START, i + 1, x->ticks);
		x->thread[i] = fake_thread(x->s, process, i + 1);
	}
}

static void tear_down(struct setup *x)
{
	drain_close(x->d);
	model_free(x->m);
	fake_session_free(x->s);
	free(x->live);
}

static void fill(struct setup *x, uint32_t n_live)
{
	x->live = malloc(n_live * sizeof(*x->live));
	for (uint32_t i = 0; i < n_live; i++) {
		x->live[i] = i;
		emit(x, 0, MMS_OP_MALLOC, i);
	}
	drain_timed(x);
}

static void print_row(struct setup *x, const char *stream, uint32_t n_live)
{
	const struct model_process *p = model_process_find(x->m, 1);
	double ns = (double)x->ns / (double)x->records;

	printf("%-8s %9u %8.1f %10.1f", stream, n_live, ns, 1e3 / ns);
	if (n_live)
		printf(" %10.1f", (double)live_memory(p->live) / n_live);
	printf("\n");
	fflush(stdout);
}

static void lifo(void)
{
	struct setup x;

	set_up(&x);
	for (uint32_t i = 0; i < 10000000; i++) {
		emit(&x, 0, MMS_OP_MALLOC, i % 7);
		emit(&x, 0, MMS_OP_FREE, i % 7);
	}
	print_row(&x, "lifo", 0);
	tear_down(&x);
}

/* A victim is freed and another address of the same range is given: the set
 * stays as large as it is. */
static void churn(struct setup *x, uint32_t n_live, uint32_t n_threads, uint32_t run)
{
	uint64_t pairs = n_live < 2000000 ? 4000000 : 2 * (uint64_t)n_live;
	uint32_t spare = n_live;

	x->ns = x->records = 0;
	for (uint64_t i = 0; i < pairs; i++) {
		uint32_t thread = (uint32_t)(i / run) % n_threads, at = (uint32_t)(draw(x) % n_live);
		uint32_t old = x->live[at];

		emit(x, thread, MMS_OP_FREE, old);
		x->live[at] = spare;
		emit(x, thread, MMS_OP_MALLOC, spare);
		spare = old;
	}
}

/* Both programs free and give the same addresses, each its own blocks. */
static void two_programs(uint32_t n_live)
{
	double best[3] = { 0, 1e9, 1e9 }, cpu[3] = { 0 };
	struct drain_stats stats;
	struct setup x;

	set_up(&x);
	fill(&x, n_live);
	for (uint32_t i = 0; i < n_live; i++)
		emit(&x, OTHER, MMS_OP_MALLOC, i);
	uint32_t spare = n_live;
	for (uint32_t turn = 0; turn < 10; turn++) {
		uint32_t lanes = 1 + turn % 2;

		drain_timed(&x);
		drain_lanes(x.d, lanes, 8);
		x.wall_ns = x.all_ns = x.records = 0;
		for (uint32_t i = 0; i < 1000000; i++) {
			uint32_t at = (uint32_t)(draw(&x) % n_live), old = x.live[at];

			for (uint32_t k = 0; k < 2; k++) {
				emit(&x, k * OTHER, MMS_OP_FREE, old);
				emit(&x, k * OTHER, MMS_OP_MALLOC, spare);
			}
			x.live[at] = spare;
			spare = old;
		}
		double ns = (double)x.wall_ns / (double)x.records;
		if (ns < best[lanes]) {
			best[lanes] = ns;
			cpu[lanes] = (double)x.all_ns / (double)x.records;
		}
	}
	drain_stats(x.d, &stats);
	for (uint32_t lanes = 1; lanes <= 2; lanes++)
		printf("two/%u    %9u %8.1f %10.1f %10.1f\n", lanes, n_live, best[lanes], 1e3 / best[lanes], cpu[lanes]);
	if (stats.lanes != 2)
		printf("(there was never more than one thread)\n");
	tear_down(&x);
}

int main(int argc, char **argv)
{
	uint32_t max_live = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 10000000;

	printf("%-8s %9s %8s %10s %10s\n", "stream", "live", "ns/rec", "M rec/s", "B/live");
	lifo();
	for (uint32_t n_live = 1000; n_live <= max_live; n_live *= 10) {
		struct setup x;

		set_up(&x);
		fill(&x, n_live);
		print_row(&x, "growth", n_live);
		churn(&x, n_live, 1, 1);
		print_row(&x, "random", n_live);
		if (n_live <= 100000) {
			churn(&x, n_live, OTHER, 8);
			print_row(&x, "threads", n_live);
		}
		tear_down(&x);
		if (n_live <= 100000)
			two_programs(n_live);
	}
	return 0;
}
