/*
 * test_workers.c - when more than one thread may read: not before the ring was
 * full for some rounds while a processor had nothing to do, and not for long after.
 */
#include "check.h"

#include "collect/feed.h"
#include "collect/workers.h"
#include "fake_session.h"

#define MS 1000000ull

struct rig {
	struct mms_session *session;
	struct model *model;
	struct feed feed;
	struct drain *drain;
	struct fake_thread thread[2];
	struct workers workers;
	uint64_t now_ns;
};

static double idle_s;
static double idle(void) { return idle_s; }

static struct rig *rig_new(uint32_t workers, uint32_t events)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->session = fake_session_new(64);
	r->session->header->workers = workers;
	r->session->header->record_events = events;
	r->model = model_new();
	feed_init(&r->feed, r->model);
	r->drain = drain_open(r->session, &r->feed.sink);
	r->feed.clock = drain_clock(r->drain);
	for (uint32_t i = 0; i < 2; i++)
		r->thread[i] = fake_thread(r->session,
			fake_process(r->session, 0, MMS_BEGIN_START, 100 + i, FAKE_START_TICKS + 10 + i), 1);
	workers_init(&r->workers, r->session->header, r->drain);
	r->workers.idle_seconds = idle;
	r->now_ns = 5000 * MS;
	idle_s = 100;
	return r;
}

static void rig_free(struct rig *r)
{
	drain_close(r->drain);
	model_free(r->model);
	fake_session_free(r->session);
	free(r);
}

/* A round 50 ms later that finds so many blocks of each program; share: of the
 * time in which a processor had nothing to do. */
static bool round_of(struct rig *r, uint32_t blocks, double share)
{
	r->now_ns += 50 * MS;
	idle_s += share * 0.05;
	for (uint32_t i = 0; i < blocks * MMS_RECORDS_PER_BLOCK; i++)
		for (uint32_t k = 0; k < 2; k++)
			REQUIRE(fake_heap(&r->thread[k], MMS_OP_MALLOC, 16 * (i + 1), 1, 1,
				FAKE_START_TICKS + (r->now_ns - 50 * MS) / FAKE_TICK_NS + 1 + 2 * i + k));
	for (uint32_t k = 0; k < 2; k++)
		fake_close_block(&r->thread[k], MMS_BLOCK_CLOSED);
	drain_round_at(r->drain, fake_stamp(FAKE_START_TICKS + r->now_ns / FAKE_TICK_NS));
	workers_step(&r->workers, r->session->header, r->drain, r->now_ns);
	return r->workers.more;
}

static uint64_t shared(const struct rig *r)
{
	struct drain_stats s;

	drain_stats(r->drain, &s);
	return s.n_shared;
}

static void begins_and_ends(void)
{
	struct rig *r = rig_new(0, 0);

	for (int i = 0; i < 20; i++)
		CHECK(!round_of(r, 2, 1)); /* there is room */
	for (int i = 0; i < 8; i++)
		CHECK(!round_of(r, 12, 0.1)); /* no processor */
	CHECK_EQ(shared(r), 0);
	for (int i = 0; i < 20 && !round_of(r, 12, 0.5); i++)
		;
	CHECK(r->workers.more);
	uint64_t before = shared(r);
	CHECK(round_of(r, 12, 0));
	CHECK(round_of(r, 2, 0));
	for (int i = 0; i < 18; i++)
		CHECK(round_of(r, 0, 1)); /* for a second */
	for (int i = 0; i < 4; i++)
		round_of(r, 0, 1);
	CHECK(!r->workers.more);
	/* Where there is but one processor there is one thread. */
	CHECK(shared(r) <= before + 1);
	rig_free(r);
}

static void is_told(void)
{
	struct rig *r = rig_new(1, 0);

	for (int i = 0; i < 8; i++)
		CHECK(!round_of(r, 12, 1));
	CHECK_EQ(shared(r), 0);
	rig_free(r);
	r = rig_new(2, 0);
	for (int i = 0; i < 20; i++)
		round_of(r, 1, 0);
	CHECK_EQ(shared(r), 20);
	rig_free(r);
	r = rig_new(2, 1); /* the list of events is in the order of time */
	for (int i = 0; i < 20; i++)
		round_of(r, 1, 0);
	CHECK_EQ(shared(r), 0);
	rig_free(r);
}

int main(void)
{
	begins_and_ends();
	is_told();
	return check_done();
}
