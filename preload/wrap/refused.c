/*
 * refused.c - see refused.h.
 *
 * No allocation: there is no memory.  Nothing is asked once a system call filter
 * is in force, nor on a signal handler's own small stack; the record goes out
 * without it then, and the collector's next look has to do.
 * Called by heap.c, map.c, thread.c and fork.c.
 */
#include "wrap/refused.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/resource.h>

#include <mmscope/launch.h>

#include "base/doorbell.h"
#include "base/sys.h"
#include "capture/emit.h"
#include "mirror/mm_self.h"
#include "wrap/space.h"

#define ASK_EVERY_NS 10000000ull

static _Atomic uint64_t asked_ns; /* a forked child goes on with its parent's */

static bool is_due(void)
{
	uint64_t now = mms_clock_ns(CLOCK_MONOTONIC), before = atomic_load(&asked_ns);

	return now - before >= ASK_EVERY_NS && atomic_compare_exchange_strong(&asked_ns, &before, now);
}

static uint64_t soft_limit(int which)
{
	struct rlimit limit;

	if (mms_getrlimit(which, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return MMS_NO_LIMIT;
	return limit.rlim_cur;
}

static void ask(struct mms_own_limits *own)
{
	own->as = soft_limit(RLIMIT_AS);
	own->data = soft_limit(RLIMIT_DATA);
	own->stack = soft_limit(RLIMIT_STACK);
	own->memlock = soft_limit(RLIMIT_MEMLOCK);
	mm_read_self(&own->mm, false);
}

void refused_tell(const struct mms_heap_fail *fail, uint32_t stack)
{
	struct mms_heap_fail f = *fail;
	size_t bytes = offsetof(struct mms_heap_fail, own);

	if (!doorbell_is_silent() && !space_on_small_stack() && is_due()) {
		ask(&f.own);
		bytes = sizeof(f);
	}
	emit_long(MMS_LONG_HEAP_FAIL, stack, &f, bytes, NULL, 0, NULL, 0);
}
