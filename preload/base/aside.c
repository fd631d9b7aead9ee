/*
 * aside.c - see aside.h.
 *
 *	thread   block signals . clone ....... stands still ....... goes on
 *	aside                      \-- leaves the table, open, read, close -- exits
 *
 * THE LAW.  It is a thread and no process, so that nobody waits for it, no
 * signal tells of its end and /proc/self stays what it was.  It begins with the
 * program's table of descriptors and leaves it for an empty one: without a copy
 * of what may be thousands, but for the first 64, which the kernel copies and
 * closes again (fs/file.c, sane_fdtable_size).  It runs on the stack and with the thread pointer of
 * who asked, as a child of vfork does: the kernel lets that thread go on when
 * this one has left the memory (CLONE_VFORK).  No debugger follows it.
 */
#include "aside.h"

#include <linux/close_range.h>
#include <sched.h>

#include "base/doorbell.h"
#include "base/sys.h"

extern char __libc_single_threaded __attribute__((weak)); /* glibc 2.32 */

bool aside_is_alone(void)
{
	return &__libc_single_threaded && __libc_single_threaded;
}

struct call {
	void (*fn)(void *arg);
	void *arg;
};

/* Before Linux 5.9, or without memory, the table stays the program's. */
static void apart(void *arg)
{
	const struct call *c = arg;

	mms_syscall3(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE);
	c->fn(c->arg);
}

bool aside(void (*fn)(void *arg), void *arg)
{
	struct call call = { fn, arg };
	long r = -1;

	if (!aside_is_alone() && !doorbell_is_silent()) {
		uint64_t signals = mms_signals_block();
		r = mms_clone_over(CLONE_VM | CLONE_VFORK | CLONE_THREAD | CLONE_SIGHAND | CLONE_FS | CLONE_FILES |
				CLONE_UNTRACED, apart, &call);
		mms_signals_set(signals);
	}
	if (r < 0)
		fn(arg);
	return r > 0;
}
