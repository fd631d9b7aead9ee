/*
 * unwind_libunwind.c - the home of libunwind in the target.
 *
 * It is opened by dlopen(RTLD_LOCAL), never linked: as a dependency it would
 * take over the target's _Unwind_RaiseException.  Called by unwind.c when the
 * session chose this engine, and by nobody else.
 *
 * Not covered by the law of this folder: it locks, allocates and makes system
 * calls, so it runs inside guard_enter(), and errno is put back.
 */
#include "unwind_libunwind.h"

#include <dlfcn.h>
#include <errno.h>

#include <mmscope/stacks.h>

#include "base/enter.h"

#define OWN_FRAMES 8u /* ours, above the wrapper's caller */

static int (*backtrace_fn)(void **, int);

int libunwind_open(void)
{
	int saved = errno;

	if (!backtrace_fn) {
		guard_enter();
		void *lib = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
		if (lib)
			backtrace_fn = (int (*)(void **, int))dlsym(lib, "unw_backtrace");
		guard_leave();
	}
	errno = saved;
	return backtrace_fn ? 0 : -ENOENT;
}

size_t libunwind_walk(void *const *fp, unwind_frame *frames, size_t max)
{
	int saved = errno;
	size_t skip = 0, n = 0;

	if (!guard_inside() && max > OWN_FRAMES) {
		guard_enter();
		int got = backtrace_fn((void **)frames, (int)max);
		guard_leave();
		errno = saved;
		n = got > 0 ? (size_t)got : 0;
		while (skip < n && frames[skip] != (uintptr_t)fp[1])
			skip++;
	}
	if (skip == n) { /* it did not find the wrapper: what is certain is the caller */
		frames[0] = (uintptr_t)fp[1] | (uint64_t)MMS_NODE_TRUNCATED << 48;
		return 1;
	}
	for (size_t i = skip; i < n; i++)
		frames[i - skip] = mms_node_pc(frames[i]);
	if (n == max)
		frames[n - skip - 1] |= (uint64_t)MMS_NODE_TRUNCATED << 48;
	return n - skip;
}
