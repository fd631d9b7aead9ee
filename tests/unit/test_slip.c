/*
 * test_slip.c - stamps that are inverted by up to 0.3 us, with addresses that
 * go from hand to hand at once.
 *
 * What rdtsc does in tight hand-overs: an event's stamp is older than its true
 * moment, never older than the thread's event before.  Two to eight threads
 * share one to six addresses, last freed first given.  Totals by site equal
 * the truth; nothing is unknown, replaced or taken for nested.
 *
 *   test_slip          all seeds
 *   test_slip SEED     that one
 */
#include "check.h"

#include "collect/drain.h"
#include "collect/feed.h"
#include "fake_session.h"
#include "oracle.h"

#define SLIP_MAX 18u /* ticks of 16 ns: 288 ns */
#define HAND_OVER 3u /* 48 ns and what passes between two events */

struct world {
	struct mms_session *session;
	struct drain *drain;
	struct feed feed;
	struct model *model;
	struct fake_thread thread[8];
	uint32_t last_user[8]; /* of each address */
	uint64_t own[8]; /* each thread's latest stamp */
	int pool[8], n_pool; /* free addresses, a stack */
	struct oracle oracle;
	uint64_t ticks, seed;
	uint32_t n_threads;
	uint64_t n_inverted;
	uint64_t latest;
};

static uint32_t draw(struct world *w, uint32_t n)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return (uint32_t)(w->seed >> 20) % n;
}

/* The stamp of an event that happens now in this thread. */
static uint64_t stamp(struct world *w, uint32_t thread)
{
	uint64_t at = w->ticks += 1 + draw(w, 3);

	if (draw(w, 3) == 0)
		at -= draw(w, SLIP_MAX + 1);
	if (at <= w->own[thread])
		at = w->own[thread] + 1;
	w->own[thread] = at;
	w->n_inverted += at < w->latest;
	w->latest = at > w->latest ? at : w->latest;
	return at;
}

static void put(struct world *w, uint32_t thread, enum mms_op op, int k, uint64_t size, uint32_t site)
{
	uint64_t at;

	/* An address takes its time from one core to another. */
	if (w->last_user[k] != thread)
		w->ticks += HAND_OVER;
	w->last_user[k] = thread;
	at = stamp(w, thread);
	while (!fake_heap(&w->thread[thread], op, 0x7f0000000000ull + (uint64_t)k * 64, size, site, at))
		drain_round_at(w->drain, fake_stamp(w->ticks));
}

static void give(struct world *w, uint32_t thread, bool moved)
{
	uint64_t size = draw(w, 1000);
	uint32_t site = draw(w, ORACLE_SITES);
	int k = w->pool[--w->n_pool];

	put(w, thread, moved ? MMS_OP_REALLOC_END : MMS_OP_MALLOC, k, size, site);
	if (moved)
		oracle_realloc_end(&w->oracle, thread, k, size, site, 0);
	else
		oracle_alloc(&w->oracle, thread, k, size, site, 0);
}

static int any_live(struct world *w)
{
	int start = (int)draw(w, 8);

	for (int i = 0; i < 8; i++)
		if (w->oracle.block[(start + i) % 8].live)
			return (start + i) % 8;
	return -1;
}

static void take(struct world *w, uint32_t thread, bool to_move)
{
	int k = any_live(w);

	if (k < 0)
		return;
	put(w, thread, to_move ? MMS_OP_REALLOC_BEGIN : MMS_OP_FREE, k, 0, 0);
	w->pool[w->n_pool++] = k; /* the old block is free before the new one is given */
	if (!to_move) {
		oracle_free(&w->oracle, thread, k, 0);
		return;
	}
	oracle_realloc_begin(&w->oracle, thread, k);
	give(w, thread, true);
}

static void begin(struct world *w, uint64_t seed)
{
	w->seed = seed * 0x9e3779b97f4a7c15ull + 1;
	w->ticks = w->latest = FAKE_START_TICKS + 1000;
	w->session = fake_session_new(20);
	w->model = model_new();
	feed_init(&w->feed, w->model);
	w->drain = drain_open(w->session, &w->feed.sink);
	w->feed.clock = drain_clock(w->drain);
	w->n_threads = 2 + draw(w, 7);
	oracle_init(&w->oracle);
	uint64_t number = fake_process(w->session, 0, MMS_BEGIN_START, 5, w->ticks);
	for (uint32_t i = 0; i < w->n_threads; i++)
		w->thread[i] = fake_thread(w->session, number, i);
	w->n_pool = 1 + (int)draw(w, 6);
	for (int i = 0; i < w->n_pool; i++)
		w->pool[i] = i;
	/* Every thread has had an event before the rush begins. */
	for (uint32_t i = 0; i < w->n_threads; i++) {
		give(w, i, false);
		take(w, i, false);
		w->ticks += 1000;
	}
}

/* Which of two allocations was the last one cannot be told when a chain of two
 * hand-overs lies within the slip.  The rest is freed, slowly: then every
 * allocation and every free must have been counted at its site. */
static void quiet_end(struct world *w)
{
	while (any_live(w) >= 0) {
		w->ticks += 1000;
		take(w, draw(w, w->n_threads), false);
	}
}

static uint64_t run(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	uint64_t inverted;
	bool split_roles, reallocs;

	begin(w, seed);
	split_roles = draw(w, 3) == 0;
	reallocs = draw(w, 2);
	for (int i = 0; i < 8000; i++) {
		uint32_t thread = draw(w, w->n_threads), what = draw(w, 100);

		if (what < 50 && w->n_pool && !(split_roles && thread % 2))
			give(w, thread, false);
		else if (what < 90 && !(split_roles && thread % 2 == 0))
			take(w, thread, false);
		else if (reallocs && what >= 90)
			take(w, thread, true);
		if (draw(w, 200) == 0)
			drain_round_at(w->drain, fake_stamp(w->ticks));
	}
	quiet_end(w);
	drain_finish(w->drain);
	struct model_process *p = w->model->processes[0];
	unsigned n = oracle_compare(&w->oracle, p, false);
	if (!CHECK_EQ(n + p->replaced + p->nested_allocs, 0))
		fprintf(stderr, "seed %" PRIu64 ": repaired %" PRIu64 " replaced %" PRIu64 " nested %" PRIu64 "\n",
			seed, p->repaired, p->replaced, p->nested_allocs);
	inverted = w->n_inverted;
	drain_close(w->drain);
	model_free(w->model);
	fake_session_free(w->session);
	free(w);
	return inverted;
}

int main(int argc, char **argv)
{
	uint64_t inverted = 0;

	if (argc > 1) {
		run(strtoull(argv[1], NULL, 0));
		return check_done();
	}
	for (uint64_t seed = 1; seed <= 100; seed++)
		inverted += run(seed);
	printf("inverted stamps: %" PRIu64 "\n", inverted);
	CHECK(inverted > 50000);
	return check_done();
}
