/*
 * aside.c - see aside.h.
 *
 *	thread   block signals . clone ....... stands still ....... goes on
 *	aside                      \-- open, read, close -- exits
 *
 * THE LAW.  It is a thread and no process, so that nobody waits for it, no
 * signal tells of its end and /proc/self stays what it was; its descriptors are
 * a copy (no CLONE_FILES).  It runs on the stack and with the thread pointer of
 * who asked, as a child of vfork does: the kernel lets that thread go on when
 * this one has left the memory (CLONE_VFORK).  No debugger follows it.
 */
#include "aside.h"

#include <sched.h>

#include "base/doorbell.h"
#include "base/sys.h"

extern char __libc_single_threaded __attribute__((weak)); /* glibc 2.32 */

bool aside_is_alone(void)
{
	return &__libc_single_threaded && __libc_single_threaded;
}

bool aside(void (*fn)(void *arg), void *arg)
{
	long r = -1;

	if (!aside_is_alone() && !doorbell_is_silent()) {
		uint64_t signals = mms_signals_block();
		r = mms_clone_over(CLONE_VM | CLONE_VFORK | CLONE_THREAD | CLONE_SIGHAND | CLONE_FS | CLONE_UNTRACED, fn, arg);
		mms_signals_set(signals);
	}
	if (r < 0)
		fn(arg);
	return r > 0;
}
