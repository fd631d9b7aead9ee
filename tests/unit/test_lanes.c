/*
 * test_lanes.c - one recorded stream, read by one thread and by several: the
 * databases are the same, row for row.
 *
 * Four families of processes with two threads each: allocations, reallocs, maps,
 * modules, forks whose children free what they inherited, refused allocations,
 * threads and processes that die, more call sites than get a series at the first
 * bound.  Stamps are in order and no two are the same: what is kept of all
 * processes has one order.
 *
 *     test_lanes [SEEDS]     2; more by hand
 */
#include "check.h"

#include <sqlite3.h>
#include <unistd.h>

#include "collect/drain.h"
#include "collect/feed.h"
#include "fake_session.h"
#include "store/writer.h"

#define FAMILIES 4u
#define CHILDREN 3u /* of each */
#define PROCESSES (FAMILIES * (1 + CHILDREN))
#define BLOCKS 4000u
#define SITES 700u
#define EVENTS 400000u
#define ROUND 16000u /* events */

struct program {
	uint64_t number;
	struct fake_thread thread[2];
	uint32_t n_children;
	bool gone;
	uint64_t size[BLOCKS]; /* of live blocks; 0: none */
};

struct world {
	struct mms_session *session;
	struct drain *drain;
	struct feed feed;
	struct model *model;
	uint64_t ticks, seed;
	uint32_t n_programs;
	struct program program[PROCESSES];
};

static uint32_t draw(struct world *w, uint32_t n)
{
	return fake_draw(&w->seed, n);
}

static uint64_t tick(struct world *w)
{
	return w->ticks += 1 + draw(w, 30);
}

static void round_now(struct world *w)
{
	drain_round_at(w->drain, fake_stamp(w->ticks));
}

static void heap(struct world *w, struct program *p, uint32_t thread, enum mms_op op, uint32_t k, uint64_t size)
{
	uint32_t site = op == MMS_OP_FREE ? 0 : 1 + k * 7 % SITES;

	REQUIRE(fake_heap(&p->thread[thread], op, 0x550000000000ull + (uint64_t)k * 64, size, site, tick(w)));
}

static void note(struct world *w, struct program *p, enum mms_long type, const void *payload, size_t bytes)
{
	REQUIRE(fake_long(&p->thread[draw(w, 2)], type, payload, bytes, tick(w)));
}

static void begin(struct world *w, struct program *parent)
{
	struct program *p = &w->program[w->n_programs++];

	p->number = fake_process(w->session, parent ? parent->number : 0, parent ? MMS_BEGIN_FORK : MMS_BEGIN_START,
		100 + w->n_programs, tick(w));
	for (uint32_t i = 0; i < 2; i++)
		p->thread[i] = fake_thread(w->session, p->number, i + 1);
	if (parent)
		memcpy(p->size, parent->size, sizeof(p->size));
}

static void do_fork(struct world *w, struct program *p)
{
	struct mms_fork f = { .kind = MMS_FORK_FORK, .child_pid = 101 + w->n_programs, .begin_stamp = fake_stamp(tick(w)) };

	if (p->n_children == CHILDREN || p >= &w->program[FAMILIES])
		return;
	p->n_children++;
	f.end_stamp = fake_stamp(tick(w));
	if (draw(w, 2)) {
		note(w, p, MMS_LONG_FORK, &f, sizeof(f));
		begin(w, p);
	} else {
		begin(w, p);
		note(w, p, MMS_LONG_FORK, &f, sizeof(f));
	}
}

static void do_note(struct world *w, struct program *p)
{
	struct { struct mms_module m; char path[16]; } module = { { .context = (uint32_t)p->number, .path_length = 9,
		.start = (1ull + draw(w, 1000)) << 20, .end = 2000ull << 20 }, "/lib/a.so" };
	struct mms_vm vm = { .address = 0x7f0000000000ull + ((uint64_t)draw(w, 1000) << 16), .length = 65536, .fd = -1 };
	struct mms_heap_fail fail = { .size = 1 + draw(w, 1000), .error = 12 };

	switch (draw(w, 4)) {
	case 0:
		note(w, p, MMS_LONG_MODULE, &module, sizeof(module));
		break;
	case 1:
		note(w, p, MMS_LONG_HEAP_FAIL, &fail, sizeof(fail));
		break;
	default:
		note(w, p, draw(w, 2) ? MMS_LONG_MMAP : MMS_LONG_MPROTECT, &vm, sizeof(vm));
	}
}

static void do_realloc(struct world *w, struct program *p, uint32_t thread, uint32_t k)
{
	uint32_t to = draw(w, BLOCKS);

	heap(w, p, thread, MMS_OP_REALLOC_BEGIN, k, 0);
	if (p->size[to]) { /* it is refused */
		heap(w, p, thread, MMS_OP_REALLOC_FAIL, k, 0);
		return;
	}
	p->size[to] = p->size[k] * 2;
	p->size[k] = 0;
	heap(w, p, thread, MMS_OP_REALLOC_END, to, p->size[to]);
}

static void step(struct world *w)
{
	struct program *p = &w->program[draw(w, w->n_programs)];
	uint32_t thread = draw(w, 2), k = draw(w, BLOCKS), what = draw(w, 2000);

	if (p->gone)
		return;
	if (what < 2) {
		do_fork(w, p);
	} else if (what < 12) {
		do_note(w, p);
	} else if (what == 12 && p >= &w->program[FAMILIES]) {
		for (uint32_t i = 0; i < 2; i++)
			fake_thread_dies(&p->thread[i]);
		p->gone = true;
		drain_process_gone(w->drain, p->number);
	} else if (!p->size[k]) {
		p->size[k] = 1 + draw(w, draw(w, 8) ? 300 : 60000);
		heap(w, p, thread, MMS_OP_MALLOC, k, p->size[k]);
	} else if (what < 200) {
		do_realloc(w, p, thread, k);
	} else {
		heap(w, p, thread, MMS_OP_FREE, k, 0);
		p->size[k] = 0;
	}
}

/* Each stack is one frame. */
static bool one_frame(const void *arg, uint32_t id, struct stack_node *ret)
{
	*ret = (struct stack_node){ .pc = 0x400000 + id };
	return id <= SITES;
}

static void write_database(struct world *w, const char *path)
{
	const struct stack_source stacks = { one_frame, NULL };
	struct store *s = NULL;

	unlink(path);
	REQUIRE(store_open(path, &s, NULL, 0) == 0);
	CHECK_EQ(store_flush(s, w->model, &stacks), 0);
	CHECK_EQ(store_finish(s, w->model, &stacks, NULL), 0);
	store_close(s);
}

/* Rounds that were shared. */
static uint64_t record(uint64_t seed, uint32_t lanes, const char *path)
{
	struct world *w = calloc(1, sizeof(*w));
	struct drain_stats stats;

	w->seed = seed * 0x9e3779b97f4a7c15ull + 1;
	w->ticks = FAKE_START_TICKS + 1000;
	w->session = fake_session_new(120);
	w->model = model_new();
	feed_init(&w->feed, w->model);
	w->drain = drain_open(w->session, &w->feed.sink);
	w->feed.clock = drain_clock(w->drain);
	drain_lanes(w->drain, lanes, 1);
	for (uint32_t i = 0; i < FAMILIES; i++)
		begin(w, NULL);
	for (uint32_t i = 0; i < EVENTS; i++) {
		step(w);
		if (i % ROUND == ROUND - 1)
			round_now(w);
	}
	drain_finish(w->drain);
	drain_stats(w->drain, &stats);
	CHECK_EQ(stats.n_bad + stats.n_holes + stats.n_late, 0);
	CHECK_EQ(w->model->n_dropped, 0);
	CHECK(w->model->series_worth > 16384); /* the bound was passed */
	CHECK_EQ(w->model->n_processes, w->n_programs);
	CHECK(w->model->n_forks > 3 && w->model->n_modules > 3 && w->model->n_failures > 3);
	write_database(w, path);
	drain_close(w->drain);
	model_free(w->model);
	fake_session_free(w->session);
	free(w);
	return stats.n_shared;
}

/* ---- two databases ---- */

static sqlite3 *both(const char *a, const char *b)
{
	char attach[512];
	sqlite3 *db = NULL;

	snprintf(attach, sizeof(attach), "ATTACH '%s' AS other", b);
	REQUIRE(sqlite3_open(a, &db) == SQLITE_OK);
	REQUIRE(sqlite3_exec(db, attach, NULL, NULL, NULL) == SQLITE_OK);
	return db;
}

static int64_t number(sqlite3 *db, const char *format, const char *table)
{
	char sql[512];
	sqlite3_stmt *st = NULL;

	snprintf(sql, sizeof(sql), format, table, table);
	REQUIRE(sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK);
	REQUIRE(sqlite3_step(st) == SQLITE_ROW);
	int64_t n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static bool is_filled(const char *table)
{
	static const char *const names[] = { "process", "thread", "heap_site", "heap_series", "live_block", "fork", "module",
		"vm_event", "alloc_failure" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(table, names[i]))
			return true;
	return false;
}

static void compare(const char *a, const char *b)
{
	sqlite3 *db = both(a, b);
	sqlite3_stmt *st = NULL;
	int n_filled = 0;

	REQUIRE(sqlite3_prepare_v2(db, "SELECT name FROM main.sqlite_schema WHERE type = 'table'"
		" AND name NOT LIKE 'sqlite_%'", -1, &st, NULL) == SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		const char *table = (const char *)sqlite3_column_text(st, 0);
		int64_t rows = number(db, "SELECT count(*) FROM main.%s", table);
		bool same = rows == number(db, "SELECT count(*) FROM other.%s", table) &&
			number(db, "SELECT count(*) FROM (SELECT * FROM main.%s EXCEPT SELECT * FROM other.%s)", table) == 0;

		if (!CHECK(same))
			fprintf(stderr, "table %s differs\n", table);
		if (is_filled(table))
			n_filled += rows > 0 || !CHECK(!"the table has rows");
	}
	CHECK_EQ(n_filled, 9);
	sqlite3_finalize(st);
	sqlite3_close(db);
}

int main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 0) : 2;
	char one[] = "lanes_one.XXXXXX", more[] = "lanes_more.XXXXXX";

	close(mkstemp(one));
	close(mkstemp(more));
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		CHECK_EQ(record(seed, 1, one), 0);
		for (uint32_t lanes = 2; lanes <= LANES_MAX; lanes += 2) {
			CHECK(record(seed, lanes, more) >= EVENTS / ROUND - 2);
			compare(one, more);
		}
	}
	unlink(one);
	unlink(more);
	return check_done();
}
