/*
 * test_model.c - random programs through ring, drain, order, feed and model,
 * compared with a sequential oracle.
 *
 * 1 to 8 threads a process, frees by other threads, reallocs with other
 * threads' events between begin and end (who may get the old address), failed
 * reallocs, addresses of both record forms, forked children and grandchildren
 * that free what they inherited, threads and processes that die, a ring that
 * is always nearly full, rounds at any moment.  100 seeds, 0 differences.
 *
 * Then many sites, whose look-up changes with their number.
 *
 *   test_model          all seeds
 *   test_model SEED     that one
 */
#include "check.h"

#include "collect/drain.h"
#include "collect/feed.h"
#include "fake_session.h"
#include "oracle.h"

#define PROCESSES_MAX 6
#define NEVER_GIVEN (ORACLE_BLOCKS - 1)

struct actor {
	struct fake_thread t;
	bool dead;
};

struct program {
	bool gone;
	uint64_t number;
	uint32_t pid, n_threads;
	struct actor actor[ORACLE_THREADS];
	struct oracle oracle;
	int last_freed; /* handed out first: LIFO */
};

struct world {
	struct mms_session *session;
	struct drain *drain;
	struct feed feed;
	struct model *model;
	uint64_t ticks, seed;
	unsigned n_processes;
	struct program program[PROCESSES_MAX];
};

static uint32_t draw(struct world *w, uint32_t n)
{
	return fake_draw(&w->seed, n);
}

static uint64_t address_of(int k)
{
	if (k % 71 == 0)
		return 0x800000000000ull + (uint64_t)k * 32;
	return 0x7f1200000000ull + (uint64_t)k * 32 + (k % 50 == 0 ? 4 : 0);
}

static void round_now(struct world *w)
{
	drain_round_at(w->drain, fake_stamp(w->ticks));
}

static uint64_t tick(struct world *w)
{
	return w->ticks += 1 + (draw(w, 50) ? draw(w, 4) : draw(w, 5000));
}

static void put(struct world *w, struct actor *a, enum mms_op op, int k, uint64_t size, uint32_t site, uint64_t at)
{
	while (!fake_heap(&a->t, op, address_of(k), size, site, at)) {
		round_now(w);
		if (!fake_free_cells(w->session) && !CHECK(!"the ring stays full"))
			exit(1);
	}
}

/* A block that is in no use in this program; LIFO when it can be. */
static int free_block(struct world *w, struct program *p)
{
	int k = p->last_freed;

	for (int i = 0; i < 1000; i++) {
		if (k >= 0 && !p->oracle.block[k].live && !p->oracle.inherited[k])
			return k;
		k = (int)draw(w, NEVER_GIVEN);
	}
	return -1;
}

static int used_block(struct world *w, struct program *p)
{
	for (int i = 0; i < 50; i++) {
		int k = (int)draw(w, ORACLE_BLOCKS);

		if (p->oracle.block[k].live || (p->oracle.inherited[k] && draw(w, 4) == 0))
			return k;
	}
	return -1;
}

static uint64_t some_size(struct world *w)
{
	return draw(w, 20) ? draw(w, 500) : draw(w, 10) ? 65530 + draw(w, 10) : 1ull << (20 + draw(w, 23));
}

static void do_alloc(struct world *w, struct program *p, uint32_t thread)
{
	static const enum mms_op ops[] = { MMS_OP_MALLOC, MMS_OP_CALLOC, MMS_OP_ALIGNED };
	uint64_t size = some_size(w), at = tick(w);
	uint32_t site = draw(w, ORACLE_SITES);
	int k = free_block(w, p);

	if (k < 0)
		return;
	put(w, &p->actor[thread], ops[draw(w, 3)], k, size, site, at);
	oracle_alloc(&p->oracle, thread, k, size, site, fake_ns(at));
}

static void do_free(struct world *w, struct program *p, uint32_t thread)
{
	int k = draw(w, 3) == 0 ? p->oracle.last[thread] : -1;
	uint64_t at = tick(w);

	if (k < 0 || !p->oracle.block[k].live)
		k = used_block(w, p);
	if (draw(w, 300) == 0)
		k = NEVER_GIVEN; /* of a block that was never recorded */
	if (k < 0)
		return;
	put(w, &p->actor[thread], MMS_OP_FREE, k, 0, 0, at);
	oracle_free(&p->oracle, thread, k, fake_ns(at));
	p->last_freed = k == NEVER_GIVEN ? p->last_freed : k;
}

static void do_realloc_begin(struct world *w, struct program *p, uint32_t thread)
{
	int k = used_block(w, p);

	if (k < 0)
		return;
	put(w, &p->actor[thread], MMS_OP_REALLOC_BEGIN, k, 0, 0, tick(w));
	oracle_realloc_begin(&p->oracle, thread, k);
	p->last_freed = draw(w, 2) ? k : p->last_freed;
}

/* Has somebody got the old address of a begun realloc since?  Then the call
 * cannot fail any more. */
static bool given_again(const struct program *p, uint32_t thread)
{
	int old = p->oracle.flight_of[thread];
	bool again = p->oracle.block[old].live || p->oracle.inherited[old];

	for (uint32_t i = 0; i < p->n_threads; i++)
		again |= i != thread && p->oracle.flight_of[i] == old;
	return again;
}

/* The begun realloc ends, one way or the other. */
static void do_realloc_end(struct world *w, struct program *p, uint32_t thread)
{
	int old = p->oracle.flight_of[thread], k = free_block(w, p);
	uint64_t size = some_size(w), at = tick(w);
	uint32_t site = draw(w, ORACLE_SITES), how = draw(w, 10);

	if (how < 2 && given_again(p, thread))
		how = 9;
	if (how < 2 || k < 0) {
		bool freed = how == 0 || k < 0;

		put(w, &p->actor[thread], MMS_OP_REALLOC_FAIL, old, freed, 0, at);
		oracle_realloc_fail(&p->oracle, thread, freed, fake_ns(at));
		return;
	}
	put(w, &p->actor[thread], MMS_OP_REALLOC_END, k, size, site, at);
	oracle_realloc_end(&p->oracle, thread, k, size, site, fake_ns(at));
}

static void step(struct world *w, struct program *p)
{
	uint32_t thread = draw(w, p->n_threads), what = draw(w, 100);

	if (p->actor[thread].dead)
		return;
	if (p->oracle.flight_of[thread] >= 0) {
		if (what < 50)
			do_realloc_end(w, p, thread);
	} else if (what < 45) {
		do_alloc(w, p, thread);
	} else if (what < 85) {
		do_free(w, p, thread);
	} else {
		do_realloc_begin(w, p, thread);
	}
}

static struct program *begin_program(struct world *w, uint64_t parent, uint32_t begin, uint64_t at)
{
	struct program *p = &w->program[w->n_processes++];

	memset(p, 0, sizeof(*p));
	p->pid = 100 + w->n_processes;
	p->number = fake_process(w->session, parent, begin, p->pid, at);
	p->n_threads = 1 + draw(w, ORACLE_THREADS - 1);
	p->last_freed = -1;
	for (uint32_t i = 0; i < p->n_threads; i++)
		p->actor[i].t = fake_thread(w->session, p->number, i);
	oracle_init(&p->oracle);
	return p;
}

/* All reallocs end first: a flight is inherited too, but the oracle has no
 * word for it. */
static void land_all(struct world *w, struct program *p)
{
	for (uint32_t i = 0; i < p->n_threads; i++)
		if (p->oracle.flight_of[i] >= 0)
			do_realloc_end(w, p, i);
}

static void do_fork(struct world *w, struct program *p)
{
	struct mms_fork note = { .kind = MMS_FORK_FORK };
	struct program *child;
	bool parent_first = draw(w, 2);
	uint64_t begin = tick(w);

	if (w->n_processes == PROCESSES_MAX || p->actor[0].dead)
		return;
	land_all(w, p);
	begin = tick(w);
	note.begin_stamp = fake_stamp(begin);
	note.child_pid = 100 + w->n_processes + 1;
	if (!parent_first) {
		child = begin_program(w, p->number, MMS_BEGIN_FORK, tick(w));
		if (draw(w, 2))
			round_now(w);
	}
	note.end_stamp = fake_stamp(tick(w));
	while (!fake_long(&p->actor[0].t, MMS_LONG_FORK, &note, sizeof(note), w->ticks))
		round_now(w);
	if (parent_first) {
		/* The parent goes on before the child comes to its first event. */
		struct oracle before = p->oracle;

		for (int i = 0; i < 20; i++)
			step(w, p);
		child = begin_program(w, p->number, MMS_BEGIN_FORK, tick(w));
		oracle_fork(&child->oracle, &before);
	} else {
		oracle_fork(&child->oracle, &p->oracle);
	}
}

static void thread_dies(struct world *w, struct program *p)
{
	uint32_t i = draw(w, p->n_threads);

	if (!i || p->actor[i].dead || p->oracle.flight_of[i] >= 0)
		return;
	if (draw(w, 2))
		fake_close_block(&p->actor[i].t, MMS_BLOCK_RETURNED);
	fake_thread_dies(&p->actor[i].t);
	p->actor[i].dead = true;
}

static void process_dies(struct world *w, struct program *p)
{
	for (uint32_t i = 0; i < p->n_threads; i++)
		fake_thread_dies(&p->actor[i].t);
	p->gone = true;
	drain_process_gone(w->drain, p->number);
}

static struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	w->seed = seed * 0x9e3779b97f4a7c15ull + 1;
	w->ticks = FAKE_START_TICKS + 1000;
	w->session = fake_session_new(PROCESSES_MAX * ORACLE_THREADS + 4);
	w->model = model_new();
	feed_init(&w->feed, w->model);
	w->drain = drain_open(w->session, &w->feed.sink);
	w->feed.clock = drain_clock(w->drain);
	if (seed % 2) /* by several threads whenever several families have a block */
		drain_lanes(w->drain, LANES_MAX, 1);
	return w;
}

static void world_free(struct world *w)
{
	drain_close(w->drain);
	model_free(w->model);
	fake_session_free(w->session);
	free(w);
}

static void world_end(struct world *w)
{
	struct drain_stats stats;

	for (unsigned i = 0; i < w->n_processes; i++)
		if (!w->program[i].gone)
			land_all(w, &w->program[i]);
	drain_finish(w->drain);
	model_settle(w->model);
	drain_stats(w->drain, &stats);
	CHECK_EQ(stats.n_holes, 0);
	CHECK_EQ(stats.n_bad, 0);
	CHECK_EQ(stats.n_late, 0);
	CHECK_EQ(stats.threads, 0);
	CHECK_EQ(fake_free_cells(w->session), stats.ring_cells);
}

static unsigned compare(struct world *w, bool with_order)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->n_processes; i++) {
		struct model_process *p = model_process_find(w->model, w->program[i].number);

		REQUIRE(p);
		n += oracle_compare(&w->program[i].oracle, p, with_order);
	}
	return n;
}

/* Events of the whole script: some blocks' worth. */
static void known_answer(uint64_t seed)
{
	struct world *w = world_new(seed);
	unsigned steps = 3000 + draw(w, 15000);

	begin_program(w, 0, MMS_BEGIN_START, w->ticks);
	for (unsigned i = 0; i < steps; i++) {
		struct program *p = &w->program[draw(w, w->n_processes)];

		if (p->gone)
			continue;
		step(w, p);
		if (draw(w, 2000) == 0)
			do_fork(w, p);
		if (draw(w, 3000) == 0)
			thread_dies(w, p);
		if (draw(w, 500) == 0)
			round_now(w);
		if (p != w->program && draw(w, 8000) == 0) {
			land_all(w, p);
			process_dies(w, p);
		}
	}
	world_end(w);
	unsigned n = compare(w, true);
	if (!CHECK_EQ(n, 0))
		fprintf(stderr, "seed %" PRIu64 "\n", seed);
	world_free(w);
}

/* Ids in order, with gaps and in any order, some far above the rest: each site
 * has exactly what was given at its stack, 1 + id % 5 blocks. */
static void many_sites(void)
{
	static const uint32_t far[] = { 0xffffff, 0x123456, 9000000 };
	struct model *m = model_new();
	struct model_process *p = model_process(m, 1);
	uint64_t address = 0x10000, given = 0;

	for (unsigned turn = 0; turn < 5; turn++)
		for (uint32_t i = 0; i < 6000 + sizeof(far) / sizeof(far[0]); i++) {
			uint32_t id = i < 6000 ? 1 + (i * 4001 % 6000) * 3 : far[i - 6000];
			if (turn > id % 5)
				continue;
			model_alloc(m, p, 1, address += 32, 24, id, given++);
		}
	uint64_t wrong = 0, seen = 0;
	for (size_t i = 0; i < p->n_sites; i++) {
		wrong += p->sites[i]->alloc_blocks != 1 + p->sites[i]->stack % 5;
		seen += p->sites[i]->alloc_blocks;
	}
	CHECK_EQ(p->n_sites, 6000 + sizeof(far) / sizeof(far[0]));
	CHECK_EQ(wrong, 0);
	CHECK_EQ(seen, given);
	model_free(m);
}

int main(int argc, char **argv)
{
	many_sites();
	if (argc > 1) {
		known_answer(strtoull(argv[1], NULL, 0));
		return check_done();
	}
	for (uint64_t seed = 1; seed <= 100; seed++)
		known_answer(seed);
	return check_done();
}
