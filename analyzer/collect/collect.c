/*
 * collect.c - `mmscope collect SESSION`: the collector process.
 *
 * Started by `run` (run_collector.c) and by the preload as nobody's child: descriptor 3 is a
 * pidfd of the first process, 10 the write end of a pipe on which "R" says
 * that the session is listened to, and later "F" that the database is
 * finished, or "E" and a text that it is not.  Not for people: it is not
 * listed in --help.
 *
 * One loop: drain the rings, hear of processes, extend the
 * session, write now and then, sleep on wake_seq.  It ends when the last
 * process of the session has ended, or on SIGTERM.  Targets see its death by
 * the robust mutex, so it may be killed at any moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <mmscope/launch.h>

#include "collect/collector.h"
#include "collect/pressure.h"
#include "collect/ticks.h"
#include "verbs.h"

#define MS 1000000ull
#define FIRST_TICK (100 * MS) /* an early look at short processes */
#define FEW 256u /* records of a round; a full block, 4,096 of them, may wake us */

static volatile sig_atomic_t stop_asked;
static _Atomic uint32_t *stop_wake;

static void on_term(int sig)
{
	(void)sig;
	stop_asked = 1;
	atomic_fetch_add(stop_wake, 1);
}

static void catch_signals(struct mms_header *h)
{
	struct sigaction action = {.sa_handler = on_term};
	stop_wake = &h->wake_seq;
	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	const int ignored[] = {SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGXFSZ};
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		sigaction(ignored[i], &action, NULL);
}

/* -EBUSY: the session has a collector. */
static int hold_alive(struct mms_header *h)
{
	pthread_mutexattr_t attr;
	uint32_t none = 0;
	if (!atomic_compare_exchange_strong(&h->collector_pid, &none, (uint32_t)getpid()))
		return -EBUSY;
	atomic_store(&h->sees_frames, cow_sees_frames());
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&h->collector_alive, &attr);
	pthread_mutexattr_destroy(&attr);
	return -pthread_mutex_lock(&h->collector_alive);
}

static void tell(const char *text)
{
	size_t n = strlen(text);
	if (write(MMS_READY_FD, text, n) != (ssize_t)n)
		return; /* nobody listens any more: `run` became the target */
}

/* How long to sleep: a busy session is polled, a quiet one wakes us.  One that
 * is sampled brings some records in each round and is quiet: each wake-up takes
 * a processor away from somebody. */
static uint64_t nap(const struct collector *c, uint64_t now_ns)
{
	uint64_t quiet = now_ns - c->last_busy_ns;
	uint64_t tick = c->next_tick_ns > now_ns ? c->next_tick_ns - now_ns : 0;
	if (c->judge.more)
		return 1;
	if (c->judge.later_ns || c->judge.kept || c->spaces.looking || c->cows.waited_for || c->watch.awaits_thread)
		return MS;
	if (c->watch.n_alive == 0)
		return 2 * MS;
	if (c->watch.n_waiting || quiet < 1000 * MS)
		return 10 * MS;
	uint64_t long_nap = quiet < 10000 * MS ? 50 * MS : 200 * MS;
	if (tick == 0)
		return 1; /* it came due during the round; 0 would be for ever */
	return tick < long_nap ? tick : long_nap;
}

static void sleep_on(struct collector *c, uint32_t seen, uint64_t ns)
{
	struct mms_header *h = c->file.session.header;
	atomic_store(&h->collector_sleeping, 1);
	mms_futex_wait(&h->wake_seq, seen, ns);
	atomic_store(&h->collector_sleeping, 0);
}

/* One round.  Returns false when the session is over. */
static bool round_once(struct collector *c)
{
	struct drain_stats d;
	size_t failures = c->model->n_failures;
	bool asked = judge_is_asked(&c->judge), compared = cows_is_asked(&c->cows);
	uint64_t n = judge_drain(&c->judge, &c->spaces, c->store);
	uint64_t now = collector_now(c);
	size_t alive = c->watch.n_alive, images = c->model->n_processes;
	watch_round(&c->watch, now);
	if (compared)
		cows_compare(&c->cows, now);
	cows_round(&c->cows, now);
	if (asked)
		judge_round(&c->judge, &c->watch, &c->spaces, c->store);
	if (snapshot_round(&c->snapshots, c->store)) {
		collector_flush(c);
		snapshot_answer(&c->snapshots);
	}
	drain_stats(c->drain, &d);
	session_file_grow(&c->file, d.free_cells);
	workers_step(&c->workers, c->file.session.header, c->drain, now);
	/* Short threads leave a block each, however little is in it. */
	if (n >= FEW || (d.n_blocks - c->blocks_before) * 8 >= d.ring_cells || d.free_cells * 2 < d.ring_cells)
		c->last_busy_ns = now;
	c->blocks_before = d.n_blocks;
	if (n)
		c->dirty = true;
	if (alive != c->watch.n_alive || images != c->model->n_processes)
		c->dirty = true;
	if (alive != c->watch.n_alive)
		pressure_gone(c->pressure, &c->watch, c->store, now);
	/* What said no is seen best at once. */
	if (now >= c->next_tick_ns || failures != c->model->n_failures) {
		ticks_take(&c->watch, c->store, &c->spaces, now);
		c->next_tick_ns = now + pressure_take(c->pressure, &c->watch, c->store, &c->spaces, now);
		c->dirty = c->dirty || c->watch.n_alive;
	}
	c->spaces.rarely = c->file.session.header->recording & (MMS_RECORDING_SAMPLE | MMS_RECORDING_PAUSED);
	spaces_step(&c->spaces, now);
	collector_sum_up(c, false);
	if (c->dirty && collector_flush_due(c, now))
		collector_flush(c);
	return !control_over(&c->control, now) && (n || c->judge.more || !watch_over(&c->watch, now));
}

static void loop(struct collector *c)
{
	struct mms_header *h = c->file.session.header;
	uint64_t now = collector_now(c);
	c->last_busy_ns = now;
	c->next_tick_ns = now + FIRST_TICK;
	c->flushed_ns = now;
	while (!stop_asked) {
		/* Read before the round: what comes during it must wake us. */
		uint32_t seen = atomic_load(&h->wake_seq);
		if (!round_once(c))
			return;
		if (!stop_asked)
			sleep_on(c, seen, nap(c, collector_now(c)));
	}
	c->incomplete = c->watch.n_alive != 0;
}

#define IN_FLIGHT_NS (20 * MS)

/* The targets go on without us: who is in the middle of a record gets a moment
 * to finish it. */
static void let_go(struct collector *c)
{
	struct mms_header *h = c->file.session.header;
	if (!c->control.stopped_ns)
		return;
	sleep_on(c, atomic_load(&h->wake_seq), IN_FLIGHT_NS);
	round_once(c);
}

static int record(struct collector *c)
{
	struct mms_header *h = c->file.session.header;
	int r = doorbell_start(c->bell, h);
	if (r == 0)
		r = collector_begin(c);
	if (r == 0)
		workers_init(&c->workers, h, c->drain);
	if (r == 0)
		r = reader_start(&c->file.session, c->bell, drain_clock(c->drain), &c->judge.reader);
	if (r == 0 && !(c->pressure = pressure_new()))
		r = -ENOMEM;
	if (r == 0 && fcntl(MMS_PIDFD_FD, F_GETFD) >= 0)
		r = watch_first(&c->watch, MMS_PIDFD_FD, collector_now(c));
	if (r < 0)
		return r;
	watch_deaths(&c->watch);
	watch_existing(&c->watch, collector_now(c));
	collector_store(c, h->output);
	loop(c);
	reader_stop(c->judge.reader); /* who is being read stands still until that is done */
	let_go(c);
	/* From here on nobody waits for us, and nobody joins. */
	atomic_store(&h->collector_state, MMS_COLLECTOR_GONE);
	mms_futex_wake(&h->free_seq, INT32_MAX);
	return collector_finish(c);
}

static int open_session(struct collector *c, const char *path)
{
	c->session_path = path;
	int r = session_file_open(path, true, &c->file);
	if (r < 0)
		return r;
	struct mms_header *h = c->file.session.header;
	r = hold_alive(h);
	if (r == 0)
		r = doorbell_open(h, &c->bell);
	if (r < 0)
		return r;
	catch_signals(h);
	return 0;
}

/* Real memory for the ring takes a while.  A target that may wait for room
 * begins meanwhile; one that would lose records does not. */
static void start_session(struct collector *c)
{
	struct mms_header *h = c->file.session.header;
	bool waits = h->policy == MMS_POLICY_BLOCK;
	if (!waits)
		session_file_start(&c->file);
	atomic_store(&h->collector_state, MMS_COLLECTOR_ALIVE);
	tell("R");
	if (waits)
		session_file_start(&c->file);
}

int verb_collect(int argc, char **argv)
{
	struct collector c = {.file.fd = -1};
	if (argc != 2) {
		fprintf(stderr, "mmscope collect: started by `mmscope run`, not by hand\n");
		return VERB_USAGE;
	}
	fcntl(MMS_PIDFD_FD, F_SETFD, FD_CLOEXEC);
	fcntl(MMS_READY_FD, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_NAME, "mmscope-collect");
	int r = open_session(&c, argv[1]);
	if (r < 0) {
		fprintf(stderr, "mmscope collect: %s: %s\n", argv[1], strerror(-r));
		return VERB_USAGE;
	}
	start_session(&c);
	r = record(&c);
	if (r == 0)
		unlink(c.session_path);
	if (c.failure[0]) {
		tell("E");
		tell(c.failure);
	} else {
		tell(r == 0 ? "F" : "E");
	}
	doorbell_close(c.bell);
	collector_end(&c);
	return r == 0 ? VERB_OK : VERB_INCOMPLETE;
}
