/*
 * hurry.c - see hurry.h.  Two system calls a side; what the kernel refuses is
 * not asked for again, and everything goes on as it would without.
 */
#include "collect/hurry.h"

#include <sched.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURN_NS 100000u /* the shortest the kernel gives */

static bool set(struct hurry *how)
{
	how->flags = 0;
	return syscall(SYS_sched_setattr, 0, how, 0) == 0;
}

void hurry_begin(struct hurry *before)
{
	static bool first_refused, turn_refused;

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
}

void hurry_end(struct hurry *before)
{
	if (before->size)
		set(before);
}
