/*
 * allocator.c - see allocator.h.
 *
 * THE LAW.  An allocator that is asked takes its locks and walks its lists.
 * The last word of a process may come from a signal handler that interrupted
 * the allocator, beside a thread that holds its lock, or after a bug of the
 * program has broken its lists: the program would have ended well, and may not
 * hang or die of our question.  So a copy of the process is asked.
 *
 *	process   block signals . clone ....... wait ...... reap
 *	copy                       \-- quiet -- ask -- answer -- exit
 *	                               hangs or dies: the process goes on, the
 *	                               answer is "not known"
 *
 * With one thread it hangs only when the allocator was interrupted, or broken;
 * beside other threads, whenever one of them was inside: so the wait is short.
 *
 * The copy sends no signal when it ends, is followed by no debugger, runs no
 * handler of the program (all signals are blocked, SIGABRT is the default),
 * writes no core and no message (its descriptor 2 is closed, it has no
 * terminal).  It costs what a fork of that memory costs: 25 ns a KiB.
 */
#include "wrap/allocator.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <mmscope/launch.h>
#include <mmscope/record.h>

#include "base/aside.h"
#include "base/enter.h"
#include "base/next.h"
#include "base/sys.h"
#include "capture/emit.h"

#define ASK_MIN (4ull << 20)
#define ASK_MAX (1ull << 30)
#define WAIT_NS 500000000ull
#define WAIT_THREADS_NS 20000000ull
#define LOOK_NS 500000ull /* at whether the copy lives */

struct answer {
	_Atomic uint32_t done;
	struct mms_allocator a;
};

extern void *__libc_malloc(size_t) __attribute__((weak));

/* ---- in the copy ---- */

static int ask_glibc(struct mms_allocator *a)
{
	struct mallinfo2 (*info)(void) = (struct mallinfo2 (*)(void))dlsym(RTLD_NEXT, "mallinfo2");

	if (!info) /* before glibc 2.33 */
		return -ENOSYS;
	struct mallinfo2 m = info();
	a->kind = MMS_ALLOCATOR_GLIBC;
	a->in_use = m.uordblks;
	a->mapped = m.hblkhd;
	a->cached = m.keepcost;
	a->fragmented = m.fordblks - m.keepcost;
	return 0;
}

typedef int mallctl_function(const char *, void *, size_t *, void *, size_t);

static size_t jemalloc_number(mallctl_function *ctl, const char *name, int *error)
{
	size_t value = 0, size = sizeof(value);

	if (ctl(name, &value, &size, NULL, 0) != 0)
		*error = -ENOSYS;
	return value;
}

static int ask_jemalloc(struct mms_allocator *a)
{
	mallctl_function *ctl = (mallctl_function *)dlsym(RTLD_NEXT, "mallctl");
	uint64_t epoch = 1;
	int error = 0;

	if (!ctl)
		return -ENOSYS;
	ctl("epoch", NULL, NULL, &epoch, sizeof(epoch)); /* brings the numbers up to date */
	size_t active = jemalloc_number(ctl, "stats.active", &error);
	size_t kept = jemalloc_number(ctl, "stats.resident", &error) - jemalloc_number(ctl, "stats.metadata", &error);
	a->kind = MMS_ALLOCATOR_JEMALLOC;
	a->in_use = jemalloc_number(ctl, "stats.allocated", &error);
	a->fragmented = active - a->in_use;
	a->cached = kept > active ? kept - active : 0;
	return error;
}

static _Noreturn void in_copy(struct answer *shared)
{
	static const uint64_t as_default[4]; /* struct sigaction of the kernel */

	mms_prctl(PR_SET_DUMPABLE, 0, 0);
	mms_syscall3(SYS_setsid, 0, 0, 0);
	mms_close(2);
	mms_syscall4(SYS_rt_sigaction, SIGABRT, (long)as_default, 0, 8);
	guard_enter();
	shared->a.error = next.malloc == __libc_malloc ? ask_glibc(&shared->a) : ask_jemalloc(&shared->a);
	atomic_store(&shared->done, 1);
	mms_futex_wake(&shared->done, 1);
	mms_exit_group(0);
}

/* ---- in the process ---- */

static long reap(long pid, int options)
{
	long r;

	do
		r = mms_syscall4(SYS_wait4, pid, 0, options | __WALL, 0);
	while (r == -EINTR);
	return r;
}

static void await(struct answer *shared, long pid)
{
	uint64_t wait_ns = aside_is_alone() ? WAIT_NS : WAIT_THREADS_NS;
	uint64_t since_ns = mms_clock_ns(CLOCK_MONOTONIC);

	while (!atomic_load(&shared->done)) {
		mms_futex_wait(&shared->done, 0, LOOK_NS);
		if (reap(pid, WNOHANG) != 0) /* it died, or somebody else waited for it */
			return;
		if (mms_clock_ns(CLOCK_MONOTONIC) - since_ns > wait_ns) {
			mms_syscall3(SYS_kill, pid, SIGKILL, 0);
			break;
		}
	}
	reap(pid, 0);
}

static int ask_copy(struct answer *shared)
{
	uint64_t signals = mms_signals_block();
	long pid = mms_syscall6(SYS_clone, CLONE_UNTRACED, 0, 0, 0, 0, 0);

	if (pid == 0)
		in_copy(shared);
	if (pid > 0)
		await(shared, pid);
	mms_signals_set(signals);
	if (pid < 0)
		return (int)pid;
	return atomic_load(&shared->done) ? shared->a.error : -EDEADLK;
}

void allocator_tell(uint64_t anonymous_bytes)
{
	struct mms_allocator a = { .error = -E2BIG };
	uint64_t begin = mms_clock_ns(CLOCK_MONOTONIC);

	if (anonymous_bytes < ASK_MIN)
		return;
	if (anonymous_bytes <= ASK_MAX) {
		long page = mms_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		struct answer *shared = (struct answer *)page;

		if (mms_is_error(page)) {
			a.error = (int32_t)page;
		} else {
			int error = ask_copy(shared);
			if (error == 0)
				a = shared->a;
			a.error = error;
			mms_munmap(shared, 4096);
		}
	}
	a.cost_ns = mms_clock_ns(CLOCK_MONOTONIC) - begin;
	emit_long(MMS_LONG_ALLOCATOR, 0, &a, sizeof(a), NULL, 0, NULL, 0);
}
