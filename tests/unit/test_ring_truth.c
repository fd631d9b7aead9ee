/*
 * test_ring_truth.c - recorded + lost == made, where records cannot all arrive:
 * handlers that jump away out of the middle of one, threads that end in each
 * way, a ring that overflows under threads and signals, a dead collector.
 */
#include "ring_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "capture/emit.h"
#include "capture/thread.h"

static struct rig rig;

static void begin(uint32_t cells, enum mms_policy policy)
{
	rig_open(&rig, cells, policy, MMS_COLLECTOR_ALIVE);
	REQUIRE(capture_start(&rig.session) == 0);
	REQUIRE(capture_on());
}

/* What the books say of process 1; read to the end, so that is the sink's. */
static uint64_t lost(void)
{
	return rig.n_read ? rig.n_lost : UINT64_MAX;
}

static uint64_t holes(void)
{
	struct drain_stats stats;
	drain_stats(rig.drain, &stats);
	return stats.n_holes;
}

static uint64_t recorded(void)
{
	uint64_t n = rig.n_long;
	for (uint32_t i = 0; i < RIG_LANES; i++)
		n += rig.lane[i].n + rig.lane[i].n_free;
	return n;
}

static void alarms(void (*handler)(int), int us)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct itimerval every = { { 0, us }, { 0, us } };
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

/* ---- jumps ---- */

#define N_JUMPS 300
#define N_CALLS 1000000u

static sigjmp_buf away;
static volatile sig_atomic_t in_call, n_jumps;
static volatile uintptr_t before; /* the cursor when the call began */
static volatile uint32_t n_unmade, n_unfinished, n_of_handler;

/* Where the record of the interrupted call goes; 0: it has no place yet. */
static uintptr_t place_of_call(void)
{
	uintptr_t now = thread_get()->cursor, first = before;
	if (!thread_spent(first)) /* the last place of a block leaves a spent cursor */
		return now == first ? 0 : first;
	if (thread_spent(now))
		return 0;
	first = (uintptr_t)mms_block_of(now) + MMS_BLOCK_FIRST;
	return now == first ? 0 : first;
}

/* Judges by the ring itself what the call had done, then leaves for good. */
static void jump_out(int sig)
{
	if (!in_call || n_jumps >= N_JUMPS)
		return;
	uintptr_t place = place_of_call();
	if (!place)
		n_unmade++;
	else if (mms_w0_gen(*(volatile uint64_t *)place) != mms_block_of(place)->gen)
		n_unfinished++;
	rig_alloc(10, n_of_handler++); /* a record behind the hole */
	n_jumps++;
	in_call = 0; /* the next signal may come before the jump has arrived */
	siglongjmp(away, 1);
}

static void jumps(void)
{
	static volatile uint32_t i;
	begin(100, MMS_POLICY_BLOCK);
	rig_start_reader(&rig, 200);
	alarms(jump_out, 20);
	if (sigsetjmp(away, 1))
		i++;
	while (i < N_CALLS || (n_jumps < N_JUMPS && i < 200 * N_CALLS)) {
		before = thread_get()->cursor;
		in_call = 1;
		rig_free(0, 2 * (i & 0xffff)); /* one slot each */
		in_call = 0;
		i++;
	}
	alarms(SIG_IGN, 0);
	rig_finish(&rig);
	printf("%d jumps: %u before the record, %u in the middle of it\n", (int)n_jumps, n_unmade, n_unfinished);
	CHECK_EQ(n_jumps, N_JUMPS);
	CHECK(n_unfinished > 0);
	CHECK_EQ(rig.lane[10].n, n_of_handler);
	CHECK_EQ(holes(), n_unfinished);
	CHECK_EQ(lost(), n_unfinished);
	CHECK_EQ(recorded() + lost(), i - n_unmade + n_of_handler);
}

/* ---- ends of threads ---- */

#define N_OF_THREAD 3000u

static void *ending_main(void *arg)
{
	uint32_t how = (uint32_t)(uintptr_t)arg;
	for (uint32_t i = 0; i < N_OF_THREAD; i++)
		rig_free(how, 2 * i);
	if (how == 1)
		pthread_exit(NULL);
	if (how == 2)
		syscall(SYS_exit, 0); /* the C library knows nothing of it */
	if (how == 3) {
		pthread_cancel(pthread_self());
		pthread_testcancel();
	}
	return NULL;
}

static void dead_threads(void)
{
	begin(6, MMS_POLICY_BLOCK);
	rig_start_reader(&rig, 300);
	for (uint32_t round = 0; round < 10; round++) {
		pthread_t t[4];
		for (uintptr_t how = 0; how < 4; how++)
			REQUIRE(pthread_create(&t[how], NULL, ending_main, (void *)how) == 0);
		for (uint32_t how = 0; how < 4; how++)
			pthread_join(t[how], NULL);
	}
	rig_finish(&rig);
	for (uint32_t how = 0; how < 4; how++)
		CHECK_EQ(rig.lane[how].n_free, 10 * N_OF_THREAD);
	CHECK_EQ(lost(), 0);
}

/* ---- a saturated collector ---- */

#define N_SATURATED 300000u

static __thread volatile uint32_t n_handled;
static __thread volatile bool counts;
static _Atomic uint64_t n_made;

static void on_alarm(int sig)
{
	int error = errno;
	for (int i = 0; i < 3 && counts; i++) {
		rig_free(20, 2 * n_handled);
		n_handled++;
	}
	errno = error;
}

static void *saturating_main(void *arg)
{
	uint32_t lane = (uint32_t)(uintptr_t)arg;
	uint64_t made = 0;
	counts = true;
	for (uint32_t i = 0; i < N_SATURATED; i++) {
		rig_alloc(lane, i);
		rig_free(lane, i);
		made += 2;
		if (i % 512 == 0) {
			rig_long(i % 5003, i);
			made++;
		}
	}
	counts = false;
	atomic_fetch_add(&n_made, made + n_handled);
	return NULL;
}

static void saturated(void)
{
	pthread_t t[4];
	begin(8, MMS_POLICY_DROP);
	/* No room for more: the collector cannot help. */
	rig.session.header->n_cells_max = atomic_load(&rig.session.header->n_cells_ready);
	rig_start_reader(&rig, 4000);
	alarms(on_alarm, 100);
	for (uintptr_t i = 0; i < 4; i++)
		REQUIRE(pthread_create(&t[i], NULL, saturating_main, (void *)i) == 0);
	for (uint32_t i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	alarms(SIG_IGN, 0);
	rig_finish(&rig);
	printf("%" PRIu64 " made, %" PRIu64 " recorded, %" PRIu64 " lost\n", n_made, recorded(), lost());
	CHECK(lost() > 0 && recorded() > 8 * MMS_RECORDS_PER_BLOCK);
	CHECK_EQ(recorded() + lost(), n_made);
	CHECK_EQ(holes(), 0);
}

/* The same, but it waits: all of it arrives. */
static void back_pressure(void)
{
	pthread_t t[4];
	begin(8, MMS_POLICY_BLOCK);
	rig.session.header->n_cells_max = atomic_load(&rig.session.header->n_cells_ready);
	rig_start_reader(&rig, 1000);
	for (uintptr_t i = 0; i < 4; i++)
		REQUIRE(pthread_create(&t[i], NULL, saturating_main, (void *)i) == 0);
	for (uint32_t i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	rig_finish(&rig);
	CHECK_EQ(lost(), 0);
	CHECK_EQ(recorded(), n_made);
}

/* ---- a collector that dies ---- */

static void *until_off(void *arg)
{
	uint64_t made = 0;
	for (uint32_t i = 0; i < 1000000 && capture_on(); i++) {
		rig_free((uint32_t)(uintptr_t)arg, 2);
		made++;
	}
	atomic_fetch_add(&n_made, made);
	return NULL;
}

/* Two threads fill what is left of the ring.  Everything up to the moment when
 * recording ends is there or counted, and that it ended is said. */
static void dead_collector(void)
{
	pthread_t t[2];
	begin(6, MMS_POLICY_BLOCK);
	*(uint32_t *)(void *)&rig.session.header->collector_alive = 0x40000000u | 77;
	for (uintptr_t i = 0; i < 2; i++)
		REQUIRE(pthread_create(&t[i], NULL, until_off, (void *)i) == 0);
	for (uint32_t i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CHECK(!capture_on());
	CHECK(capture_process()->coverage & MMS_COV_COLLECTOR_GONE);
	rig_finish(&rig);
	CHECK(lost() >= 1 && lost() <= 4);
	/* Who finds recording ended leaves the rest of its block empty. */
	CHECK(recorded() > 5 * MMS_RECORDS_PER_BLOCK && recorded() <= 6 * MMS_RECORDS_PER_BLOCK);
	CHECK_EQ(recorded() + lost(), n_made);
}

int main(void)
{
	rig_scenario("jumps", jumps);
	rig_scenario("ends of threads", dead_threads);
	rig_scenario("saturated, drop", saturated);
	rig_scenario("saturated, block", back_pressure);
	rig_scenario("dead collector", dead_collector);
	return check_done();
}
