/*
 * test_ring.c - the record path against the collector's reader: every record
 * that a thread or a signal handler emits is found once, or counted as lost.
 */
#include "ring_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>

#include "capture/emit.h"
#include "capture/thread.h"

static struct rig rig;

static void begin(uint32_t cells, enum mms_policy policy, enum mms_collector_state state)
{
	rig_open(&rig, cells, policy, state);
	REQUIRE(capture_start(&rig.session) == 0);
	REQUIRE(capture_on());
}

/* Counted so far by process 1. */
static uint64_t lost(void)
{
	uint64_t n = rig.n_lost;
	if (!rig.n_read)
		n = rig.session.cell0->process[0].n_lost;
	for (uint32_t i = 0; i < MMS_THREADS_INLINE && !rig.n_read; i++)
		n += rig.session.cell0->thread[i].n_lost;
	return n;
}

static uint64_t holes(void)
{
	struct drain_stats stats;
	drain_stats(rig.drain, &stats);
	return stats.n_holes;
}

/* ---- threads ---- */

#define N_EACH 100000u

static void *pairs_main(void *arg)
{
	uint32_t lane = (uint32_t)(uintptr_t)arg;
	for (uint32_t i = 0; i < N_EACH; i++) {
		rig_alloc(lane, i);
		rig_free(lane, i);
		if (i % 1024 == 0)
			rig_long(i % 5003, i);
	}
	return NULL;
}

static void run_threads(uint32_t n, void *(*main_of)(void *))
{
	pthread_t t[16];
	for (uint32_t i = 0; i < n; i++)
		REQUIRE(pthread_create(&t[i], NULL, main_of, (void *)(uintptr_t)i) == 0);
	for (uint32_t i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

static void check_threads(uint32_t n)
{
	begin(n + 4, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	rig_start_reader(&rig, 200);
	run_threads(n, pairs_main);
	rig_finish(&rig);
	for (uint32_t i = 0; i < n; i++) {
		CHECK_EQ(rig.lane[i].n, N_EACH);
		CHECK_EQ(rig.lane[i].n_free, N_EACH);
	}
	CHECK_EQ(rig.n_long, (uint64_t)n * ((N_EACH + 1023) / 1024));
	CHECK_EQ(holes(), 0);
	CHECK_EQ(lost(), 0);
}

static void threads_1(void) { check_threads(1); }
static void threads_2(void) { check_threads(2); }
static void threads_4(void) { check_threads(4); }
static void threads_8(void) { check_threads(8); }

/* ---- signals ---- */

/* Lane of the handler of a thread; its own numbers, its own order.  Volatile:
 * the thread asks how far the handler came after it has stopped it. */
static __thread volatile uint32_t handler_lane, handler_next;
static __thread uint32_t n_jumps;
static __thread sigjmp_buf *jump;

static void on_alarm(int sig)
{
	int error = errno;
	for (int i = 0; i < 6 && handler_lane && handler_next < RIG_LANE_MAX; i++)
		rig_alloc(handler_lane, handler_next++);
	errno = error;
	if (jump && n_jumps < 40) {
		n_jumps++;
		siglongjmp(*jump, 1);
	}
}

static void start_alarms(int us)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval every = { { 0, us }, { 0, us } };
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

static void stop_alarms(void)
{
	struct itimerval none = { 0 };
	setitimer(ITIMER_REAL, &none, NULL);
	signal(SIGALRM, SIG_IGN);
}

static uint32_t handler_total[2];

static void *signalled_main(void *arg)
{
	uint32_t lane = (uint32_t)(uintptr_t)arg;
	handler_lane = 10 + lane;
	for (uint32_t i = 0; i < 600000; i++) {
		rig_alloc(lane, i);
		if (i % 4096 == 0)
			rig_long(i % 3001, i);
	}
	uint32_t done = handler_lane;
	handler_lane = 0;
	handler_total[lane] = handler_next;
	return (void *)(uintptr_t)done;
}

static void signals(void)
{
	begin(400, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	rig_start_reader(&rig, 200);
	start_alarms(30);
	sigset_t alarm_set;
	sigemptyset(&alarm_set);
	sigaddset(&alarm_set, SIGALRM);
	pthread_t t;
	REQUIRE(pthread_create(&t, NULL, signalled_main, (void *)1) == 0);
	signalled_main((void *)0);
	pthread_join(t, NULL);
	stop_alarms();
	rig_finish(&rig);
	for (uint32_t i = 0; i < 2; i++) {
		CHECK_EQ(rig.lane[i].n, 600000);
		CHECK_EQ(rig.lane[10 + i].n, handler_total[i]);
	}
	CHECK(handler_total[0] + handler_total[1] > 600);
	CHECK_EQ(holes(), 0);
	CHECK_EQ(lost(), 0);
}

/* What a handler does on top of a record that is not finished: it fills the
 * ring twice over and waits for blocks, while the reader waits for the record.
 * Three deep, so that records are finished in the order of handlers. */
static uint32_t on_top_next;

static void on_top(uint32_t depth, uint32_t i)
{
	uintptr_t p = thread_reserve(thread_get(), 16);
	while (thread_spent(p)) {
		REQUIRE(thread_slow());
		p = thread_reserve(thread_get(), 16);
	}
	if (depth < 3)
		on_top(depth + 1, i);
	for (uint32_t n = 0; n < 8 * MMS_RECORDS_PER_BLOCK; n++)
		rig_alloc(10, on_top_next++);
	rig_publish(p, depth, i);
	rig_alloc(4, 4 * i + depth);
}

static void unfinished(void)
{
	begin(12, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	rig.session.header->n_cells_max = atomic_load(&rig.session.header->n_cells_ready);
	rig_start_reader(&rig, 500);
	for (uint32_t i = 0; i < 8; i++)
		on_top(0, 2 * i);
	rig_finish(&rig);
	for (uint32_t depth = 0; depth < 4; depth++)
		CHECK_EQ(rig.lane[depth].n, 8);
	CHECK_EQ(rig.lane[4].n, 4 * 8);
	CHECK_EQ(rig.lane[10].n, on_top_next);
	CHECK_EQ(holes(), 0);
	CHECK_EQ(lost(), 0);
}

/* A handler that leaves by longjmp: the record that it interrupted may be
 * missing, nothing else may. */
static void jumps(void)
{
	static volatile uint32_t i;
	static sigjmp_buf buffer;
	begin(64, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	rig_start_reader(&rig, 200);
	handler_lane = 10;
	start_alarms(30);
	if (sigsetjmp(buffer, 1)) /* came back out of the handler */
		i++;
	jump = &buffer;
	for (; i < 500000; i++)
		rig_alloc(0, i);
	jump = NULL;
	handler_lane = 0;
	stop_alarms();
	rig_finish(&rig);
	CHECK_EQ(n_jumps, 40);
	CHECK_EQ(rig.lane[10].n, handler_next);
	CHECK(rig.lane[0].n <= 500000 && rig.lane[0].n + n_jumps >= 500000);
	CHECK(holes() <= n_jumps);
	CHECK_EQ(lost(), holes());
}

/* Records that are begun and left, one in each block: in the end its thread
 * gets no more blocks, and what it loses is counted; others go on. */
static void *left_main(void *arg)
{
	for (uint32_t i = 0; i < 60; i++) {
		uintptr_t p = thread_reserve(thread_get(), 16);
		while (thread_spent(p) && thread_slow())
			p = thread_reserve(thread_get(), 16);
		for (uint32_t k = 0; k < MMS_RECORDS_PER_BLOCK; k++)
			rig_free(1, 2);
	}
	return NULL;
}

static void left(void)
{
	pthread_t t;
	begin(40, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	rig.session.header->n_cells_max = atomic_load(&rig.session.header->n_cells_ready);
	rig_start_reader(&rig, 200);
	REQUIRE(pthread_create(&t, NULL, left_main, NULL) == 0);
	for (uint32_t i = 0; i < 200000; i++)
		rig_free(0, 2);
	pthread_join(t, NULL);
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n_free, 200000);
	CHECK(rig.lane[1].n_free >= 19 * MMS_RECORDS_PER_BLOCK);
	CHECK(rig.lane[1].n_free <= 40 * MMS_RECORDS_PER_BLOCK);
	CHECK_EQ(rig.lane[1].n_free + lost(), 60 * (MMS_RECORDS_PER_BLOCK + 1));
}

/* ---- a full ring ---- */

static void drop(void)
{
	uint32_t n = 0;
	begin(4, MMS_POLICY_DROP, MMS_COLLECTOR_ALIVE);
	for (; n < 100000; n++)
		rig_free(0, 2 * n + 2); /* one slot each */
	CHECK_EQ(lost(), 100000 - 4 * MMS_RECORDS_PER_BLOCK);
	drain_round(rig.drain);
	/* The closed blocks are back: recording goes on by itself. */
	uint64_t before = lost();
	for (uint32_t i = 0; i < 1000; i++)
		rig_free(0, 2);
	CHECK_EQ(lost(), before);
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n_free, 4 * MMS_RECORDS_PER_BLOCK + 1000);
}

static void block(void)
{
	begin(3, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	rig_start_reader(&rig, 3000);
	run_threads(2, pairs_main);
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n + rig.lane[1].n, 2 * N_EACH);
	CHECK_EQ(lost(), 0);
}

/* Nobody reads.  Returns the time that 100,000 records took. */
static uint64_t unread(enum mms_collector_state state, bool dead)
{
	begin(4, MMS_POLICY_BLOCK, state);
	if (dead) {
		*(uint32_t *)(void *)&rig.session.header->collector_alive = 0x40000000u | 77;
	}
	uint64_t t = rig_now_ms();
	for (uint32_t i = 0; i < 100000; i++)
		if (capture_on())
			rig_free(0, 2);
	return rig_now_ms() - t;
}

static void collector_dead(void)
{
	CHECK(unread(MMS_COLLECTOR_ALIVE, true) < 1000);
	CHECK(!capture_on());
	CHECK(capture_process()->coverage & MMS_COV_COLLECTOR_GONE);
	CHECK_EQ(rig.session.header->collector_state, MMS_COLLECTOR_GONE);
	CHECK(lost() >= 1);
	rig_finish(&rig); /* what was recorded before is all there */
	CHECK_EQ(rig.lane[0].n_free, 4 * MMS_RECORDS_PER_BLOCK);
}

static void collector_never(void)
{
	CHECK(unread(MMS_COLLECTOR_NONE, false) < 1000);
	CHECK(capture_on());
	CHECK_EQ(lost(), 100000 - 4 * MMS_RECORDS_PER_BLOCK);
}

static void collector_late(void)
{
	CHECK(unread(MMS_COLLECTOR_COMING, false) >= 1900);
	CHECK_EQ(lost(), 100000 - 4 * MMS_RECORDS_PER_BLOCK);
}

/* More threads than blocks, all alive: who finds none loses its records, and
 * soon. */
static pthread_barrier_t pinned_barrier;
static void *pinned_main(void *arg)
{
	rig_free(0, 2);
	pthread_barrier_wait(&pinned_barrier);
	return NULL;
}

static void pinned(void)
{
	pthread_t t[5];
	begin(4, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	/* No room for more cells: the collector cannot help. */
	rig.session.header->n_cells_max = atomic_load(&rig.session.header->n_cells_ready);
	rig_start_reader(&rig, 200);
	pthread_barrier_init(&pinned_barrier, NULL, 6);
	uint64_t from = rig_now_ms();
	for (uint32_t i = 0; i < 5; i++)
		REQUIRE(pthread_create(&t[i], NULL, pinned_main, NULL) == 0);
	pthread_barrier_wait(&pinned_barrier);
	CHECK(rig_now_ms() - from < 1000);
	for (uint32_t i = 0; i < 5; i++)
		pthread_join(t[i], NULL);
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n_free, 4);
	CHECK_EQ(lost(), 1);
}

/* A thread that waits for a block still takes its signals. */
static void *one_more(void *arg)
{
	for (uint32_t i = 0; i < 3 * MMS_RECORDS_PER_BLOCK; i++)
		rig_free(0, 2);
	return NULL;
}

static _Atomic uint32_t n_usr1;
static void on_usr1(int sig) { n_usr1++; }

static void signal_while_waiting(void)
{
	pthread_t t;
	begin(2, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	signal(SIGUSR1, on_usr1);
	REQUIRE(pthread_create(&t, NULL, one_more, NULL) == 0);
	while (!atomic_load(&rig.session.header->n_waiting))
		usleep(1000);
	pthread_kill(t, SIGUSR1);
	uint64_t until = rig_now_ms() + 2000;
	while (!n_usr1 && rig_now_ms() < until)
		usleep(1000);
	CHECK_EQ(n_usr1, 1);
	rig_start_reader(&rig, 200);
	pthread_join(t, NULL);
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n_free, 3 * MMS_RECORDS_PER_BLOCK);
	CHECK_EQ(lost(), 0);
}

/* ---- threads that come and go ---- */

static void *short_main(void *arg)
{
	uint32_t n = (uint32_t)(uintptr_t)arg;
	for (uint32_t i = 0; i < 50; i++)
		rig_alloc(0, n * 50 + i);
	if (n % 2)
		capture_thread_end();
	rig_free(0, n); /* destructors that free after everybody else */
	return NULL;
}

/* More threads than blocks, one after the other: states and blocks are used
 * again, and nothing is lost when they die. */
static void short_threads(void)
{
	uint32_t n = 400, tid_max = 0;
	begin(6, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	rig_start_reader(&rig, 500);
	for (uint32_t i = 0; i < n; i++) {
		pthread_t t;
		REQUIRE(pthread_create(&t, NULL, short_main, (void *)(uintptr_t)i) == 0);
		pthread_join(t, NULL);
		tid_max++;
	}
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n, n * 50);
	CHECK_EQ(rig.lane[0].n_free, n);
	CHECK_EQ(lost(), 0);
	uint32_t n_slots = 0;
	for (uint32_t i = 0; i < MMS_THREADS_INLINE; i++)
		n_slots += rig.session.cell0->thread[i].process != 0;
	CHECK_EQ(n_slots, 0); /* all given back */
}

/* Threads that begin at the same moment: no two may get one state. */
static void *burst_main(void *arg)
{
	pthread_barrier_wait(arg);
	static _Atomic uint32_t next_lane;
	uint32_t lane = atomic_fetch_add(&next_lane, 1) % RIG_LANES;
	for (uint32_t i = 0; i < 20; i++)
		rig_free(lane, i);
	pthread_barrier_wait(arg);
	return NULL;
}

static void bursts(void)
{
	pthread_barrier_t barrier;
	begin(20, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	rig_start_reader(&rig, 100);
	pthread_barrier_init(&barrier, NULL, 8);
	for (uint32_t round = 0; round < 200; round++) {
		pthread_t t[8];
		for (uint32_t i = 0; i < 8; i++)
			REQUIRE(pthread_create(&t[i], NULL, burst_main, &barrier) == 0);
		for (uint32_t i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
	}
	rig_finish(&rig);
	uint64_t n = 0;
	for (uint32_t i = 0; i < RIG_LANES; i++)
		n += rig.lane[i].n_free;
	CHECK_EQ(n, 200 * 8 * 20);
	CHECK_EQ(lost(), 0);
	CHECK_EQ(holes(), 0);
}

/* ---- the target's own robust mutexes ---- */

static pthread_mutex_t robust[4];

static void *robust_main(void *arg)
{
	pthread_mutex_lock(&robust[0]);
	pthread_mutex_lock(&robust[1]);
	rig_alloc(0, 0); /* ours comes into the list here */
	pthread_mutex_lock(&robust[2]);
	pthread_mutex_lock(&robust[3]);
	pthread_mutex_unlock(&robust[1]); /* the neighbours of ours go */
	pthread_mutex_unlock(&robust[2]);
	rig_alloc(0, 1);
	return NULL; /* dies with 0 and 3 */
}

static void robust_list(void)
{
	pthread_mutexattr_t a;
	pthread_t t;
	begin(4, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	for (int i = 0; i < 4; i++)
		pthread_mutex_init(&robust[i], &a);
	REQUIRE(pthread_create(&t, NULL, robust_main, NULL) == 0);
	pthread_join(t, NULL);
	CHECK_EQ(pthread_mutex_trylock(&robust[0]), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_trylock(&robust[1]), 0);
	CHECK_EQ(pthread_mutex_trylock(&robust[2]), 0);
	CHECK_EQ(pthread_mutex_trylock(&robust[3]), EOWNERDEAD);
	/* and our notice was given */
	CHECK(*(uint32_t *)(void *)&rig.session.cell0->thread[0].alive & 0x40000000u);
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n, 2);
}

/* Under ThreadSanitizer, which holds signals back and takes its own time,
 * only what is about threads and blocks. */
static void threads_alone(void)
{
	rig_scenario("threads 1", threads_1);
	rig_scenario("threads 2", threads_2);
	rig_scenario("threads 4", threads_4);
	rig_scenario("threads 8", threads_8);
	rig_scenario("full ring, drop", drop);
	rig_scenario("full ring, block", block);
	rig_scenario("short threads", short_threads);
	rig_scenario("bursts of threads", bursts);
}

int main(int argc, char **argv)
{
	threads_alone();
	if (argc > 1 && !strcmp(argv[1], "--threads-alone"))
		return check_done();
	rig_scenario("signals", signals);
	rig_scenario("full ring on top of a record", unfinished);
	rig_scenario("jumps out of handlers", jumps);
	rig_scenario("records left unfinished", left);
	rig_scenario("collector dead", collector_dead);
	rig_scenario("collector never came", collector_never);
	rig_scenario("collector too late", collector_late);
	rig_scenario("more threads than blocks", pinned);
	rig_scenario("signal while waiting", signal_while_waiting);
	rig_scenario("robust mutexes", robust_list);
	return check_done();
}
