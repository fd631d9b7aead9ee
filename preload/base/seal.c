/*
 * seal.c - the world as the private jemalloc sees it.
 *
 * seal.sh renames what jemalloc calls to the names below, so that it cannot
 * reach the target: memory comes from raw system calls and not through our
 * own wrappers; no file is opened, no variable of the environment read
 * (MALLOC_CONF is meant for the target's jemalloc), no message printed, no
 * thread, no exit or fork handler, no key of thread-specific data; and what
 * would drag in libm, libgcc_s or libpthread is not there.  Called by
 * jemalloc alone.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unwind.h>

#include "own.h"
#include "seal.h"
#include "sys.h"

static _Atomic size_t mapped;

size_t sealed_mapped(void)
{
	return atomic_load_explicit(&mapped, memory_order_relaxed);
}

#define SEALED(ret, name, parameters, body)                                                        \
	ret sealed_##name parameters;                                                              \
	ret sealed_##name parameters                                                               \
	{                                                                                          \
		body;                                                                              \
	}

static void *map(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
	long r = mms_mmap(at, n, prot, flags, fd, (uint64_t)offset);
	if (mms_is_error(r))
		return MAP_FAILED;
	atomic_fetch_add_explicit(&mapped, n, memory_order_relaxed);
	own_note((void *)r, n);
	return (void *)r;
}

static int unmap(void *at, size_t n)
{
	if (own_unmap(at, n) < 0)
		return -1;
	atomic_fetch_sub_explicit(&mapped, n, memory_order_relaxed);
	return 0;
}

SEALED(void *, mmap, (void *at, size_t n, int p, int f, int fd, off_t o), return map(at, n, p, f, fd, o))
SEALED(int, munmap, (void *at, size_t n), return unmap(at, n))
SEALED(int, madvise, (void *at, size_t n, int a), return mms_madvise(at, n, a) < 0 ? -1 : 0)
SEALED(int, mprotect, (void *at, size_t n, int p), return mms_mprotect(at, n, p) < 0 ? -1 : 0)
SEALED(void *, sbrk, (intptr_t n), return (void *)-1)

/* No file, no message, no environment. */
SEALED(ssize_t, readlink, (const char *p, char *b, size_t n), return -1)
SEALED(int, open, (const char *p, int flags, ...), return -1)
SEALED(int, creat, (const char *p, unsigned mode), return -1)
SEALED(int, close, (int fd), return 0)
SEALED(long, syscall, (long number, ...), return -1)
SEALED(char *, secure_getenv, (const char *name), return NULL)

/* Nothing of ours runs at exit, at fork, or in a thread of its own. */
SEALED(int, atexit, (void (*fn)(void)), return 0)
SEALED(int, pthread_atfork, (void (*a)(void), void (*b)(void), void (*c)(void)), return 0)
SEALED(int, pthread_create, (pthread_t *t, const void *a, void *(*fn)(void *), void *x), return EAGAIN)
SEALED(int, pthread_join, (pthread_t t, void **ret), return EINVAL)
SEALED(int, pthread_key_create, (pthread_key_t *k, void (*fn)(void *)), *k = 0; return 0)
SEALED(int, pthread_setspecific, (pthread_key_t k, const void *v), return 0)
SEALED(int, pthread_getname_np, (pthread_t t, char *b, size_t n), return EINVAL)
SEALED(int, pthread_setname_np, (pthread_t t, const char *b), return EINVAL)
SEALED(int, pthread_sigmask, (int how, const void *set, void *old), return EINVAL)
SEALED(int, sched_setaffinity, (pid_t p, size_t n, const void *set), return -1)
SEALED(void *, dlsym, (void *h, const char *name), return NULL)

SEALED(pid_t, getpid, (void), return mms_getpid())
SEALED(int, clock_gettime, (clockid_t c, struct timespec *t), return mms_clock_gettime(c, t))

SEALED(int, gettimeofday, (struct timeval *t, void *zone),
	uint64_t ns = 0; struct timespec now; mms_clock_gettime(CLOCK_REALTIME, &now);
	ns = (uint64_t)now.tv_nsec; t->tv_sec = now.tv_sec; t->tv_usec = (suseconds_t)(ns / 1000);
	return 0)

/* jemalloc's own profiler, which is off, would need these. */
SEALED(_Unwind_Reason_Code, _Unwind_Backtrace, (_Unwind_Trace_Fn fn, void *x), return _URC_END_OF_STACK)
SEALED(_Unwind_Ptr, _Unwind_GetIP, (struct _Unwind_Context *c), return 0)
SEALED(double, log, (double x), return 0)
SEALED(double, exp, (double x), return 1)
SEALED(double, round, (double x), return (double)(int64_t)(x + 0.5))

SEALED(int, __popcountdi2, (uint64_t x), int n = 0; for (; x; x &= x - 1) n++; return n)

/* A failed self check of jemalloc leaves by the way it came in, and the heap
 * is closed for good (heap.c): the target must not die of it. */
SEALED(_Noreturn void, abort, (void), heap_escape())
SEALED(_Noreturn void, _exit, (int status), heap_escape())
