/*
 * test_drain.c - ring blocks by hand: order, forms of records, holes, deaths,
 * what goes back and when.
 */
#include "check.h"

#include <linux/futex.h>

#include "collect/drain.h"
#include "fake_session.h"

#define MS (1000000u / FAKE_TICK_NS) /* ticks */

struct seen {
	uint64_t n, n_notes, n_begin, n_read, n_thread, rounds;
	uint64_t address[20000], t_ns[20000], last_size, lost, horizon;
	uint32_t last_op, last_type;
	uint8_t payload[4096];
	size_t bytes;
};

static struct seen seen;

/* Not NULL: a process forks while the next event is read. */
static struct mms_session *forks;
static uint64_t fork_parent, fork_ticks;

static void on_event(const struct order_heap *e)
{
	if (forks) {
		fake_process(forks, fork_parent, MMS_BEGIN_FORK, 77, fork_ticks);
		forks = NULL;
	}
	CHECK(seen.n == 0 || e->t_ns >= seen.t_ns[seen.n - 1]);
	if (seen.n < 20000) {
		seen.address[seen.n] = e->address;
		seen.t_ns[seen.n++] = e->t_ns;
	}
	seen.last_op = e->op;
	seen.last_size = e->size;
}

static void on_heap(void *arg, const struct order_heap *e, size_t n)
{
	CHECK(n > 0 && n <= ORDER_BATCH);
	while (n--)
		on_event(e++);
}

static void on_note(void *arg, struct order_writer *w, const struct order_note *n)
{
	seen.n_notes++;
	seen.last_type = n->type;
	seen.bytes = n->bytes;
	memcpy(seen.payload, n->payload, n->bytes < sizeof(seen.payload) ? n->bytes : sizeof(seen.payload));
}

static void on_begin(void *arg, const struct mms_process *slot, uint64_t t_ns) { seen.n_begin++; }
static void on_read(void *arg, const struct mms_process *slot, uint64_t lost)
{
	seen.n_read++;
	seen.lost = lost;
}
static void on_thread(void *arg, struct order_writer *w) { seen.n_thread++; }
static void on_round(void *arg, uint64_t horizon_ns)
{
	seen.rounds++;
	seen.horizon = horizon_ns;
}

static const struct order_sink sink = { .heap = on_heap, .note = on_note, .process_begin = on_begin,
	.process_read = on_read, .thread_read = on_thread, .round = on_round };

struct bench {
	struct mms_session *s;
	struct drain *d;
	uint64_t process, now;
	struct fake_thread a, b;
};

static struct bench set_up(uint32_t n_ring)
{
	struct bench x = { .s = fake_session_new(n_ring), .now = FAKE_START_TICKS + 100 };

	memset(&seen, 0, sizeof(seen));
	x.process = fake_process(x.s, 0, MMS_BEGIN_START, 50, x.now);
	x.a = fake_thread(x.s, x.process, 1);
	x.b = fake_thread(x.s, x.process, 2);
	x.d = drain_open(x.s, &sink);
	return x;
}

static void tear_down(struct bench *x)
{
	drain_close(x->d);
	fake_session_free(x->s);
}

static void round_at(struct bench *x, uint64_t ticks)
{
	x->now = ticks;
	drain_round_at(x->d, fake_stamp(ticks));
}

static struct drain_stats stats_of(const struct bench *x)
{
	struct drain_stats stats;

	drain_stats(x->d, &stats);
	return stats;
}

static void merges_by_time(void)
{
	struct bench x = set_up(8);
	uint64_t t = x.now;

	for (uint64_t i = 0; i < 9000; i++) /* more than two blocks of a */
		CHECK(fake_heap(i % 7 == 0 ? &x.b : &x.a, MMS_OP_MALLOC, 8 * (i + 1), 1, 1, t + 10 + i));
	round_at(&x, t + 10 + 5000);
	CHECK_EQ(seen.n, 5001); /* the horizon counts in */
	CHECK_EQ(seen.n_begin, 1);
	CHECK_EQ(seen.horizon, fake_ns(t + 10 + 5000));
	round_at(&x, t + 20000);
	CHECK_EQ(seen.n, 9000);
	for (uint64_t i = 0; i < 9000; i++)
		if (!CHECK_EQ(seen.address[i], 8 * (i + 1)))
			break;
	CHECK_EQ(seen.t_ns[8999], fake_ns(t + 10 + 8999));
	CHECK_EQ(fake_free_cells(x.s), 6); /* one open block each */
	CHECK_EQ(atomic_load(&x.s->header->n_full), 0);
	CHECK(atomic_load(&x.s->header->free_seq) > 0);
	tear_down(&x);
}

/* Stamps have 38 bits: a block that is looked at stays readable for ever. */
static void stamps_wrap(void)
{
	struct bench x = set_up(4);
	uint64_t t = x.now, step = 1ull << 37;

	for (uint64_t i = 0; i < 10; i++) {
		fake_heap(&x.a, MMS_OP_MALLOC, 8, 1, 1, t + i * step);
		round_at(&x, t + i * step + 10);
		CHECK_EQ(seen.t_ns[i], fake_ns(t + i * step));
	}
	/* Nothing for a long time, but it was looked at. */
	for (uint64_t i = 10; i < 20; i++)
		round_at(&x, t + i * step);
	fake_heap(&x.a, MMS_OP_MALLOC, 8, 1, 1, t + 20 * step);
	round_at(&x, t + 20 * step);
	CHECK_EQ(seen.n, 11);
	CHECK_EQ(seen.t_ns[10], fake_ns(t + 20 * step));
	tear_down(&x);
}

static void forms_of_records(void)
{
	struct bench x = set_up(6);
	uint64_t t = x.now;
	uint8_t payload[1000];

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + 1);
	fake_heap(&x.a, MMS_OP_CALLOC, 0x7f0000000010, 65534, 9, t + 1);
	round_at(&x, t + 1);
	CHECK_EQ(seen.last_op, MMS_OP_CALLOC);
	CHECK_EQ(seen.last_size, 65534);
	fake_heap(&x.a, MMS_OP_ALIGNED, 0x7f0000000010, 65535, 9, t + 2);
	round_at(&x, t + 2);
	CHECK_EQ(seen.last_op, MMS_OP_ALIGNED);
	CHECK_EQ(seen.last_size, 65535);
	fake_heap(&x.a, MMS_OP_REALLOC_END, 0xfff0000000000011, 1ull << 50, 9, t + 3);
	round_at(&x, t + 3);
	CHECK_EQ(seen.last_op, MMS_OP_REALLOC_END);
	CHECK_EQ(seen.last_size, 1ull << 50);
	CHECK_EQ(seen.address[2], 0xfff0000000000011);
	/* Long ones over several block ends. */
	for (uint64_t i = 0; i < 300; i++) {
		fake_long(&x.a, MMS_LONG_MODULE, payload, sizeof(payload), t + 10 + i);
		if (i % 60 == 0)
			round_at(&x, t + 10 + i);
	}
	round_at(&x, t + 1000);
	CHECK_EQ(seen.n_notes, 300);
	CHECK_EQ(seen.last_type, MMS_LONG_MODULE);
	CHECK_EQ(seen.bytes, 1008);
	CHECK(!memcmp(seen.payload, payload, sizeof(payload)));
	CHECK_EQ(stats_of(&x).n_bad, 0);
	CHECK_EQ(stats_of(&x).n_holes, 0);
	CHECK_EQ(stats_of(&x).n_records, 303);
	tear_down(&x);
}

/* Payload of an earlier use never looks like a record of a later one. */
static void old_payload_is_gone(void)
{
	struct bench x = set_up(2);
	uint64_t t = x.now, n = 0;
	uint64_t junk[100];

	for (int use = 0; use < 12; use++) {
		uint32_t gen = (uint32_t)(use % 3 + 1);

		for (size_t i = 0; i < 100; i++)
			junk[i] = i % 2 ? mms_w1(8, MMS_OP_MALLOC, 1) : mms_w0((t + 50) & MMS_STAMP_MASK, 1, gen);
		for (int i = 0; i < 20; i++)
			fake_long(&x.a, MMS_LONG_MMAP, junk, sizeof(junk), t + 1 + (uint64_t)i);
		fake_close_block(&x.a, MMS_BLOCK_RETURNED);
		round_at(&x, t + 100);
		CHECK_EQ(seen.n_notes, n += 20);
		CHECK_EQ(seen.n, 0);
		t += 200;
	}
	CHECK_EQ(stats_of(&x).n_holes, 0);
	tear_down(&x);
}

/* A record that is missing holds everything back for 100 ms, not longer. */
static void hole_waits(void)
{
	struct bench x = set_up(6);
	uint64_t t = x.now, *slot;

	fake_heap(&x.a, MMS_OP_MALLOC, 8, 1, 1, t + 1);
	slot = fake_reserve(&x.a, t + 2);
	fake_heap(&x.a, MMS_OP_MALLOC, 24, 1, 1, t + 3);
	fake_heap(&x.b, MMS_OP_MALLOC, 32, 1, 1, t + 4);
	round_at(&x, t + 10);
	CHECK_EQ(seen.n, 1);
	round_at(&x, t + 10 + 50 * MS);
	CHECK_EQ(seen.n, 1);
	fake_publish(&x.a, slot, MMS_OP_MALLOC, 16, 1, 1, t + 2);
	round_at(&x, t + 10 + 60 * MS);
	CHECK_EQ(seen.n, 4);
	CHECK_EQ(seen.address[1], 16);
	CHECK_EQ(seen.address[3], 32);
	CHECK_EQ(stats_of(&x).n_holes, 0);

	/* And one that never comes. */
	t += 200 * MS;
	fake_reserve(&x.a, t);
	fake_heap(&x.a, MMS_OP_MALLOC, 48, 1, 1, t + 1);
	fake_heap(&x.b, MMS_OP_MALLOC, 56, 1, 1, t + 2);
	round_at(&x, t + 10);
	CHECK_EQ(seen.n, 4);
	round_at(&x, t + 10 + 99 * MS);
	CHECK_EQ(seen.n, 4);
	round_at(&x, t + 10 + 101 * MS);
	CHECK_EQ(seen.n, 6);
	CHECK_EQ(stats_of(&x).n_holes, 1);
	/* Its block is not given back while the thread lives. */
	fake_close_block(&x.a, MMS_BLOCK_RETURNED);
	fake_close_block(&x.b, MMS_BLOCK_RETURNED);
	round_at(&x, t + 500 * MS);
	CHECK_EQ(fake_free_cells(x.s), 5);
	fake_thread_dies(&x.a);
	round_at(&x, t + 600 * MS);
	CHECK_EQ(fake_free_cells(x.s), 6);
	CHECK_EQ(seen.n_thread, 1);
	tear_down(&x);
}

/* What was left comes after all, the inner handler's first: it is delivered
 * before what its thread does next, and the block goes back. */
static void late_records(void)
{
	struct bench x = set_up(6);
	uint64_t t = x.now, *outer, *inner;

	fake_heap(&x.a, MMS_OP_MALLOC, 8, 1, 1, t + 1);
	outer = fake_reserve(&x.a, t + 2);
	inner = fake_reserve(&x.a, t + 3);
	fake_close_block(&x.a, MMS_BLOCK_CLOSED);
	fake_heap(&x.a, MMS_OP_MALLOC, 16, 1, 1, t + 4);
	atomic_store(&x.s->header->n_waiting, 1);
	round_at(&x, t + 10);
	CHECK_EQ(seen.n, 1); /* the first round with this thread */
	round_at(&x, t + 20);
	CHECK_EQ(seen.n, 2); /* without 100 ms: somebody waits */
	CHECK_EQ(stats_of(&x).n_holes, 1);
	CHECK_EQ(fake_free_cells(x.s), 4);
	CHECK_EQ(atomic_load(&x.s->header->n_full), 0); /* nothing there that waits to be read */
	fake_publish(&x.a, inner, MMS_OP_MALLOC, 24, 1, 1, t + 30);
	fake_heap(&x.a, MMS_OP_FREE, 24, 0, 0, t + 31);
	round_at(&x, t + 40);
	CHECK_EQ(seen.n, 4);
	CHECK_EQ(seen.address[2], 24);
	CHECK_EQ(seen.last_op, MMS_OP_FREE);
	fake_publish(&x.a, outer, MMS_OP_MALLOC, 32, 1, 1, t + 2); /* stamped before it was interrupted */
	fake_heap(&x.a, MMS_OP_FREE, 32, 0, 0, t + 51);
	round_at(&x, t + 60);
	CHECK_EQ(seen.n, 6);
	CHECK_EQ(seen.address[4], 32);
	CHECK_EQ(seen.t_ns[4], seen.t_ns[3]);
	CHECK_EQ(seen.t_ns[5], fake_ns(t + 51));
	/* The rest of the block was never used: one hole, until the thread ends. */
	CHECK_EQ(stats_of(&x).n_holes, 1);
	fake_thread_dies(&x.a);
	round_at(&x, t + 100 * MS);
	CHECK_EQ(fake_free_cells(x.s), 6);
	CHECK_EQ(stats_of(&x).n_bad, 0);
	tear_down(&x);
}

/* A reserved slot at the frontier is no hole: the thread may be stopped. */
static void frontier_is_no_hole(void)
{
	struct bench x = set_up(4);
	uint64_t t = x.now;
	uint64_t *slot = fake_reserve(&x.a, t + 1);

	fake_heap(&x.b, MMS_OP_MALLOC, 8, 1, 1, t + 2);
	round_at(&x, t + 10);
	CHECK_EQ(seen.n, 1);
	round_at(&x, t + 500 * MS);
	fake_publish(&x.a, slot, MMS_OP_MALLOC, 16, 1, 1, t + 1);
	round_at(&x, t + 600 * MS);
	CHECK_EQ(seen.n, 2);
	CHECK_EQ(stats_of(&x).n_late, 1);
	CHECK_EQ(stats_of(&x).n_holes, 0);
	CHECK_EQ(seen.t_ns[1], seen.t_ns[0]); /* times never run backwards */
	tear_down(&x);
}

/* A closed block with its last record missing. */
static void hole_at_the_end(void)
{
	struct bench x = set_up(4);
	uint64_t t = x.now;

	for (uint32_t i = 0; i < MMS_RECORDS_PER_BLOCK - 1; i++)
		fake_heap(&x.a, MMS_OP_MALLOC, 8, 1, 1, t + i);
	fake_reserve(&x.a, t + 5000);
	fake_heap(&x.a, MMS_OP_MALLOC, 16, 1, 1, t + 5001);
	round_at(&x, t + 6000);
	CHECK_EQ(seen.n, MMS_RECORDS_PER_BLOCK - 1);
	round_at(&x, t + 6000 + 101 * MS);
	CHECK_EQ(seen.n, MMS_RECORDS_PER_BLOCK);
	CHECK_EQ(stats_of(&x).n_holes, 1);
	tear_down(&x);
}

static void the_dead(void)
{
	struct bench x = set_up(6);
	uint64_t t = x.now;

	fake_heap(&x.a, MMS_OP_MALLOC, 8, 1, 1, t + 1);
	fake_reserve(&x.a, t + 2);
	fake_heap(&x.a, MMS_OP_MALLOC, 16, 1, 1, t + 3);
	fake_reserve(&x.a, t + 4);
	atomic_store(&x.s->cell0->thread[x.a.slot].n_lost, 7);
	fake_thread_dies(&x.a);
	round_at(&x, t + 100 * MS);
	CHECK_EQ(seen.n, 2); /* at once */
	CHECK_EQ(stats_of(&x).n_holes, 1);
	CHECK_EQ(fake_free_cells(x.s), 6);
	CHECK_EQ(atomic_load(&x.s->cell0->thread[x.a.slot].process), 0);
	CHECK_EQ(drain_lost(x.d, x.process), 8); /* the hole counts */

	/* Killed between claim and header; its other thread never wrote. */
	atomic_store(&x.s->cell0->owner[3], mms_owner_word(x.b.process_slot, x.b.slot + 1));
	fake_heap(&x.b, MMS_OP_MALLOC, 24, 1, 1, t + 101 * MS);
	round_at(&x, t + 200 * MS);
	CHECK_EQ(fake_free_cells(x.s), 4);
	fake_thread_dies(&x.b);
	drain_process_gone(x.d, x.process);
	CHECK_EQ(seen.n_read, 0);
	round_at(&x, t + 300 * MS);
	CHECK_EQ(seen.n_read, 1);
	CHECK_EQ(seen.lost, 8);
	CHECK_EQ(stats_of(&x).n_torn, 1);
	CHECK_EQ(fake_free_cells(x.s), 6);
	CHECK_EQ(atomic_load(&x.s->cell0->process[0].state), MMS_SLOT_FREE);
	CHECK_EQ(atomic_load(&x.s->cell0->thread[x.b.slot].process), 0);
	CHECK_EQ(stats_of(&x).threads, 0);
	tear_down(&x);
}

/* A record of two slots whose first was never published: its payload has the
 * block's generation and an operation, and a stamp of 0. */
static uint64_t *headless(struct bench *x, uint64_t t)
{
	uint64_t *slot, *payload;

	fake_heap(&x->a, MMS_OP_MALLOC, 8, 1, 1, t + 1);
	slot = fake_reserve(&x->a, t + 2);
	payload = fake_reserve(&x->a, t + 2);
	payload[0] = 1000000 + ((struct mms_block *)(void *)mms_cell(x->s, x->a.cell))->gen;
	payload[1] = 0x7f0000010010;
	fake_heap(&x->a, MMS_OP_MALLOC, 24, 1, 1, t + 3);
	return slot;
}

static void payload_is_no_head(void)
{
	const uint64_t wrap = FAKE_START_TICKS + MMS_STAMP_MASK + 1;
	const uint64_t times[] = { FAKE_START_TICKS + (1ull << 30), wrap - 30, wrap + 16 };
	struct bench x;
	uint64_t t;

	for (int i = 0; i < 3; i++) {
		x = set_up(4);
		headless(&x, times[i]);
		drain_finish_at(x.d, fake_stamp(times[i] + 10));
		CHECK_EQ(seen.n, 2);
		CHECK_EQ(stats_of(&x).n_holes, 1);
		tear_down(&x);
	}

	/* Shortly before the stamps begin again at 0; and it comes after all. */
	x = set_up(4);
	t = wrap - (1ull << 30);
	uint64_t *slot = headless(&x, t);
	for (int i = 0; i < 3; i++)
		round_at(&x, t + 10 + (uint64_t)i * 101 * MS);
	CHECK_EQ(seen.n, 2);
	CHECK_EQ(stats_of(&x).n_holes, 1);
	fake_publish(&x.a, slot, MMS_OP_MALLOC_EXT, 0, 0, 1, t + 400 * MS);
	round_at(&x, t + 500 * MS);
	CHECK_EQ(seen.n, 3);
	CHECK_EQ(seen.address[2], 0x7f0000010010);
	CHECK_EQ(stats_of(&x).n_holes, 0);
	tear_down(&x);
}

/* The collector stands still between its clock and the news of a death. */
static void dead_meanwhile(void)
{
	struct bench x = set_up(4);
	uint64_t t = x.now;

	fake_heap(&x.a, MMS_OP_MALLOC, 8, 1, 1, t + 1);
	fake_reserve(&x.a, t + 2);
	fake_heap(&x.a, MMS_OP_MALLOC, 16, 1, 1, t + 10 + 500 * MS);
	fake_thread_dies(&x.a);
	round_at(&x, t + 10);
	CHECK_EQ(seen.n, 1);
	round_at(&x, t + 600 * MS);
	CHECK_EQ(seen.n, 2);
	CHECK_EQ(stats_of(&x).n_holes, 1);
	tear_down(&x);
}

/* A thread that leaves holes without end: its blocks stay, since it may still
 * write there, and it gets no more before they are the whole ring. */
static void holes_without_end(void)
{
	struct bench x = set_up(40);
	uint64_t t = x.now, *slot[40];
	const _Atomic uint32_t *barred = &x.s->cell0->thread[x.a.slot].barred;
	uint32_t n = 0;

	for (; n < 40 && !atomic_load(barred); n++) {
		slot[n] = fake_reserve(&x.a, t + 1);
		if (!CHECK(fake_heap(&x.a, MMS_OP_MALLOC, 8, 1, 1, t + 2)))
			break;
		fake_close_block(&x.a, MMS_BLOCK_RETURNED);
		round_at(&x, t + 3);
		round_at(&x, t + 1200 * MS);
		round_at(&x, t + 2400 * MS); /* nor after long */
		t += 2500 * MS;
		CHECK_EQ(fake_free_cells(x.s), 40 - n - 1);
	}
	CHECK_EQ(n, 21);
	CHECK_EQ(stats_of(&x).n_barred, 1);
	CHECK_EQ(stats_of(&x).n_holes, n);
	/* The other thread goes on, through all blocks that there are. */
	for (uint64_t i = 0; i < 100 * MMS_RECORDS_PER_BLOCK; i++) {
		CHECK(fake_heap(&x.b, MMS_OP_FREE, 16, 0, 0, t + i));
		if (i % MMS_RECORDS_PER_BLOCK == 0)
			round_at(&x, t + i);
	}
	t += 100 * MMS_RECORDS_PER_BLOCK;
	round_at(&x, t);
	CHECK_EQ(stats_of(&x).n_records, n + 100 * MMS_RECORDS_PER_BLOCK);
	/* All that was left comes after all, and nothing else is touched. */
	for (uint32_t i = 0; i < n; i++)
		fake_publish(&x.a, slot[i], MMS_OP_MALLOC, 24, 1, 1, t + 1);
	round_at(&x, t + 2);
	CHECK_EQ(stats_of(&x).n_records, 2 * n + 100 * MMS_RECORDS_PER_BLOCK);
	CHECK_EQ(seen.last_op, MMS_OP_MALLOC);
	fake_thread_dies(&x.a);
	round_at(&x, t + 100 * MS);
	CHECK_EQ(fake_free_cells(x.s), 39);
	CHECK_EQ(atomic_load(barred), 0);
	CHECK_EQ(stats_of(&x).n_bad, 0);
	tear_down(&x);
}

static void five_hundred_children(void)
{
	struct bench x = set_up(8);
	uint64_t t = x.now;

	for (int i = 0; i < 500; i++) {
		uint64_t child = fake_process(x.s, x.process, MMS_BEGIN_FORK, 1000 + (uint32_t)i, ++t);
		struct fake_thread c = fake_thread(x.s, child, 1);

		if (!fake_heap(&c, MMS_OP_MALLOC, 8, 1, 1, ++t)) {
			CHECK(!"no block for a child");
			break;
		}
		fake_thread_dies(&c);
		drain_process_gone(x.d, child);
		round_at(&x, t += MS);
	}
	CHECK_EQ(seen.n_begin, 501);
	CHECK_EQ(seen.n_read, 500);
	CHECK_EQ(seen.n, 500);
	drain_finish(x.d);
	CHECK_EQ(seen.n_read, 501);
	CHECK_EQ(seen.horizon, UINT64_MAX);
	tear_down(&x);
}

/* A child that shows itself while its parent, which is gone, is read to the end:
 * it begins first. */
static void child_of_the_gone(void)
{
	struct bench x = set_up(8);
	uint64_t t = x.now;

	round_at(&x, t + 1);
	CHECK_EQ(seen.n_begin, 1);
	fake_heap(&x.a, MMS_OP_MALLOC, 8, 1, 1, t + 10);
	fake_thread_dies(&x.a);
	fake_thread_dies(&x.b);
	forks = x.s;
	fork_parent = x.process;
	fork_ticks = t + 5;
	drain_process_gone(x.d, x.process);
	round_at(&x, t + MS);
	CHECK_EQ(seen.n, 1);
	CHECK_EQ(seen.n_read, 0);
	round_at(&x, t + 2 * MS);
	CHECK_EQ(seen.n_begin, 2);
	CHECK_EQ(seen.n_read, 1);
	tear_down(&x);
}

int main(void)
{
	merges_by_time();
	stamps_wrap();
	forms_of_records();
	old_payload_is_gone();
	hole_waits();
	late_records();
	frontier_is_no_hole();
	hole_at_the_end();
	the_dead();
	payload_is_no_head();
	dead_meanwhile();
	holes_without_end();
	five_hundred_children();
	child_of_the_gone();
	return check_done();
}
