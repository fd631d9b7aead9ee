/*
 * lanes.c - a round that several threads merge.
 *
 *   main    plan . add streams | merge lane 0 | . rounds go on as with one thread
 *   worker               waits | merge lane 1 | waits
 *
 * What is shared out is families: processes that forked from each other use the
 * same blocks.  Order, batches and times are theirs alone; so are the live
 * tables and totals in the model.  What the model keeps of all (processes,
 * modules, forks, calls that mapped, how many series there are) is touched in
 * take_turn(): by one at a time, in the order of time.  So each figure, and each
 * number given out, is what one thread would have made.  Between two rounds
 * nothing runs but the main loop.
 *
 * Called by drain.c.  Whether threads are wanted is workers.c's to say.
 */
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include <mmscope/syscall.h>

#include "collect/stream.h"

#define FAMILIES_MAX 64u /* that are shared out; what the others do is little */
#define SPINS 2000u
#define YIELDS 64u
#define NAP_NS 50000

enum { LANE_REST, LANE_GO, LANE_END };

struct lanes {
	struct lane_thread {
		struct lane *lane;
		pthread_t thread;
		_Atomic uint32_t state; /* futex of the worker */
		char line[64];
	} thread[LANES_MAX]; /* the first is nobody's: the main loop's own */
	uint32_t n;               /* threads that there are, the main one included */
	uint32_t n_used;          /* in this round */
	_Atomic uint32_t n_running; /* futex of the main loop */
};

static _Thread_local struct lane *this_lane;

/* Waits a little longer each time. */
static void pause_for(uint32_t times)
{
	if (times < SPINS)
		__builtin_ia32_pause();
	else if (times < SPINS + YIELDS)
		sched_yield();
	else
		nanosleep(&(struct timespec){ .tv_nsec = NAP_NS }, NULL);
}

/* ---- in a worker ---- */

static uint64_t reached(const struct lane *l)
{
	return atomic_load_explicit(&l->reached_ns, memory_order_acquire);
}

/* Of equal times the lower lane is first. */
static void take_turn(uint64_t t_ns)
{
	struct lane *me = this_lane;
	const struct lanes *all = me->d->lanes;
	uint32_t at = (uint32_t)(me - me->d->lane);

	if (t_ns > reached(me))
		atomic_store_explicit(&me->reached_ns, t_ns, memory_order_release);
	else
		t_ns = reached(me);
	for (uint32_t i = 0; i < all->n_used; i++)
		for (uint32_t times = 0; i != at && reached(&me->d->lane[i]) < t_ns + (i < at); times++)
			pause_for(times);
}

static void lane_merge(struct lane *l)
{
	this_lane = l;
	order_merge(&l->order, l->order.horizon);
	batch_flush(l);
	atomic_store_explicit(&l->reached_ns, UINT64_MAX, memory_order_release);
}

static void *work(void *arg)
{
	struct lane_thread *t = arg;
	struct lanes *all = t->lane->d->lanes;

	prctl(PR_SET_NAME, "mmscope-lane");
	for (;;) {
		uint32_t state = atomic_load_explicit(&t->state, memory_order_acquire);

		if (state == LANE_END)
			return NULL;
		if (state == LANE_REST) {
			mms_futex_wait(&t->state, LANE_REST, 0);
			continue;
		}
		lane_merge(t->lane);
		atomic_store_explicit(&t->state, LANE_REST, memory_order_relaxed);
		if (atomic_fetch_sub_explicit(&all->n_running, 1, memory_order_acq_rel) == 1)
			mms_futex_wake(&all->n_running, 1);
	}
}

/* ---- which lane ---- */

static uint32_t blocks_of(const struct stream *s)
{
	uint32_t n = s->block != NULL;

	for (uint32_t cell = s->queue; cell != NO_CELL; cell = s->d->cells[cell].next)
		n++;
	return n;
}

/* Families with blocks that wait, those with most of them first.  0: somebody's
 * is not known. */
static uint32_t families_busy(struct drain *d, struct family **ret)
{
	uint32_t n = 0;

	for (struct family *f = d->families; f; f = f->next)
		f->n_blocks = 0;
	for (struct stream *s = d->busy; s; s = s->next_busy) {
		if (!s->family->id)
			return 0;
		s->family->n_blocks += blocks_of(s);
	}
	for (struct family *f = d->families; f; f = f->next) {
		uint32_t at = n < FAMILIES_MAX ? n++ : FAMILIES_MAX - 1;

		if (at == FAMILIES_MAX - 1 && n == FAMILIES_MAX && ret[at] && ret[at]->n_blocks >= f->n_blocks)
			continue;
		for (; at && ret[at - 1]->n_blocks < f->n_blocks; at--)
			ret[at] = ret[at - 1];
		ret[at] = f;
	}
	while (n && !ret[n - 1]->n_blocks)
		n--;
	return n;
}

/* Each goes to the lane that has least to do, of several to its own last one.
 * Blocks of the lane that then has fewest. */
static uint32_t share_out(struct family **busy, uint32_t n_busy, uint32_t n)
{
	uint32_t load[LANES_MAX] = { 0 }, least = UINT32_MAX;

	for (uint32_t i = 0; i < n_busy; i++) {
		uint32_t best = busy[i]->home < n ? busy[i]->home : 0;

		for (uint32_t k = 0; k < n; k++)
			best = load[k] < load[best] ? k : best;
		busy[i]->home = best;
		load[best] += busy[i]->n_blocks;
	}
	for (uint32_t k = 0; k < n; k++)
		least = load[k] < least ? load[k] : least;
	return least;
}

static bool threads_start(struct drain *d, uint32_t n)
{
	sigset_t all, before;

	if (!d->lanes && !(d->lanes = calloc(1, sizeof(*d->lanes))))
		return false;
	d->lanes->n = d->lanes->n ? d->lanes->n : 1;
	sigfillset(&all); /* they are for the loop */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (d->lanes->n < n) {
		struct lane_thread *t = &d->lanes->thread[d->lanes->n];

		t->lane = &d->lane[d->lanes->n];
		if (pthread_create(&t->thread, NULL, work, t))
			break;
		d->lanes->n++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return d->lanes->n >= n;
}

uint32_t lanes_plan(struct drain *d)
{
	struct family *busy[FAMILIES_MAX] = { NULL };
	uint32_t n;

	if (d->lanes_max < 2 || !d->sink->share || d->finishing ||
		d->stats.ring_cells - d->stats.free_cells < 2 * d->lane_blocks)
		return 1;
	uint32_t n_busy = families_busy(d, busy);
	n = n_busy < d->lanes_max ? n_busy : d->lanes_max;
	while (n > 1 && share_out(busy, n_busy, n) < d->lane_blocks)
		n--;
	if (n < 2 || !threads_start(d, n))
		return 1;
	for (uint32_t i = 0; i < n_busy; i++)
		busy[i]->lane = &d->lane[busy[i]->home];
	return n;
}

/* ---- the round ---- */

static void share(struct drain *d, uint32_t n)
{
	struct lanes *all = d->lanes;
	uint64_t begin_ns = stamp_ns(&d->clock, d->done);

	all->n_used = n;
	d->sink->share(d->sink->arg, take_turn, stamp_ns(&d->clock, d->lane[0].order.horizon));
	for (uint32_t i = 0; i < n; i++)
		atomic_store_explicit(&d->lane[i].reached_ns, begin_ns, memory_order_relaxed);
	atomic_store_explicit(&all->n_running, n - 1, memory_order_relaxed);
	for (uint32_t i = 1; i < n; i++) {
		atomic_store_explicit(&all->thread[i].state, LANE_GO, memory_order_release);
		mms_futex_wake(&all->thread[i].state, 1);
	}
	lane_merge(&d->lane[0]);
	for (uint32_t left, times = 0; (left = atomic_load_explicit(&all->n_running, memory_order_acquire)); times++) {
		if (times < SPINS)
			__builtin_ia32_pause();
		else
			mms_futex_wait(&all->n_running, left, 0);
	}
	d->sink->share(d->sink->arg, NULL, 0);
	for (struct family *f = d->families; f; f = f->next)
		f->lane = &d->lane[0];
}

void lanes_merge(struct drain *d, uint32_t n)
{
	if (n < 2) {
		order_merge(&d->lane[0].order, d->lane[0].order.horizon);
		batch_flush(&d->lane[0]);
		return;
	}
	d->stats.lanes = n > d->stats.lanes ? n : d->stats.lanes;
	d->stats.n_shared++;
	share(d, n);
	for (uint32_t i = 1; i < n; i++) {
		d->lane[0].n_freed += d->lane[i].n_freed;
		d->lane[i].n_freed = 0;
	}
}

void lanes_done(struct drain *d)
{
	for (uint32_t i = 1; d->lanes && i < d->lanes->n; i++) {
		atomic_store_explicit(&d->lanes->thread[i].state, LANE_END, memory_order_release);
		mms_futex_wake(&d->lanes->thread[i].state, 1);
		pthread_join(d->lanes->thread[i].thread, NULL);
	}
	free(d->lanes);
	d->lanes = NULL;
}
