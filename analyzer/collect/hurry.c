/*
 * hurry.c - see hurry.h.  What the kernel refuses is not asked for again, and
 * everything goes on as it would without.
 *
 * In a short turn (EEVDF, kernel/sched/fair.c) the processor is lost where the
 * timer ticks after the turn is spent, and before that to nobody who is not
 * due earlier.  So a turn begins with a sleep, which makes it a whole one and
 * pays back what was used too much, and not right before a tick:
 *
 *	tick          tick          tick          tick
 *	 |  sleep turn |    sleep turn |  sleep ------|- turn
 *
 * What cannot be kept off: the lock is given to us while we wait for it, and
 * another is on the processor then.  We are the next, at the tick.
 */
#include "collect/hurry.h"

#include <sched.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TURN_NS 100000u /* the shortest the kernel gives */
#define FIRST_NS 250000u /* at once, where nobody goes first */
#define REST_NS 100000
#define MOST_NS 250000 /* a slice, its way into the kernel, and what it is too long */

static bool first_refused, turn_refused;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void rest(uint64_t ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = (long)ns }, NULL);
}

/* The coarse clock stands still between two ticks. */
static void begin_turn(void)
{
	struct timespec tick = { 0 };

	rest(REST_NS);
	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	uint64_t coarse = clock_ns(CLOCK_MONOTONIC_COARSE), since = clock_ns(CLOCK_MONOTONIC) - coarse;
	uint64_t length = (uint64_t)tick.tv_nsec;
	if (since < length && length - since < MOST_NS && length > 2 * MOST_NS)
		rest(length - since);
}

static bool set(struct hurry *how)
{
	how->flags = 0;
	return syscall(SYS_sched_setattr, 0, how, 0) == 0;
}

void hurry_begin(struct hurry *before)
{
	*before = (struct hurry){ .size = 0 };
	if (syscall(SYS_sched_getattr, 0, before, sizeof(*before), 0) < 0 || before->policy != SCHED_OTHER)
		before->size = 0;
	struct hurry now = *before;
	if (now.size && !first_refused) {
		now.policy = SCHED_FIFO;
		now.priority = 1;
		first_refused = !set(&now);
		now = *before;
	}
	if (now.size && first_refused && !turn_refused) {
		now.runtime = TURN_NS;
		turn_refused = !set(&now);
	}
	if (now.size && first_refused)
		begin_turn();
}

void hurry_end(struct hurry *before)
{
	if (before->size)
		set(before);
}

void hurry_rest(struct hurry *before)
{
	hurry_end(before);
	rest(REST_NS);
	hurry_begin(before);
}

uint64_t hurry_ns(void)
{
	return first_refused ? TURN_NS / 2 : FIRST_NS;
}
