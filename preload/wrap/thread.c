/*
 * thread.c - names of threads, and threads that there could not be.
 *
 * pthread_setname_np makes its system call inside libc; prctl(PR_SET_NAME)
 * is told by filter.c, which watches prctl anyway.
 *
 * pthread_create is passed on as it is: what a new thread runs is the
 * program's, and a thread's death is told by the kernel (capture/death.c).
 * Only a refusal is told.  It is EAGAIN for whatever reason, so the stack is
 * asked for once more: refused, it was memory; given, it was the number of
 * threads.  There is no key destructor: a key would take a number that the
 * program counts on.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "base/doorbell.h"
#include "base/enter.h"
#include "base/next.h"
#include "base/sys.h"
#include "capture/emit.h"
#include "wrap/refused.h"

/* A thread that has not recorded anything yet is not known by its tid; its
 * name is read by the collector. */
static void note_name(pthread_t thread, const char *name)
{
	struct mms_thread_note note = { .tid = capture_tid_of((uintptr_t)thread) };
	size_t n = mms_strlen(name);
	note.name_length = (uint32_t)n;
	if (note.tid)
		emit_long(MMS_LONG_THREAD_NAME, 0, &note, sizeof(note), name, n, NULL, 0);
}

WRAPPER int pthread_setname_np(pthread_t thread, const char *name)
{
	int r = next.pthread_setname_np(thread, name);
	if (r == 0 && (capture_on() || preload_enter()))
		note_name(thread, name);
	return r;
}

/* ---- a thread that was refused ---- */

/* What libc would map; 0: the program gave a stack of its own. */
static size_t stack_bytes(const pthread_attr_t *attr)
{
	pthread_attr_t usual;
	size_t size = 0, guard = 0;
	void *at = NULL;

	if (!attr && pthread_attr_init(&usual) != 0)
		return 0;
	if (!attr)
		attr = &usual;
	if (pthread_attr_getstack(attr, &at, &size) != 0 || (uintptr_t)at + size != 0)
		return 0;
	/* Of one that has no size set this tells the usual one, getstack 0. */
	pthread_attr_getstacksize(attr, &size);
	pthread_attr_getguardsize(attr, &guard);
	return size + guard;
}

/* As nptl/allocatestack.c asks. */
static bool would_be_given(size_t bytes)
{
	long at = mms_mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (mms_is_error(at))
		return false;
	bool given = mms_mprotect((void *)at, bytes, PROT_READ | PROT_WRITE) == 0;
	mms_munmap((void *)at, bytes);
	return given;
}

static __attribute__((noinline, cold)) void refused(const pthread_attr_t *attr, void *const *fp)
{
	if (!(capture_on() || preload_enter()) || guard_inside() || doorbell_is_silent())
		return;
	size_t bytes = stack_bytes(attr);
	bool memory = bytes && !would_be_given(bytes);
	struct mms_heap_fail fail = { .size = memory ? bytes : 0, .error = memory ? ENOMEM : EAGAIN };
	refused_tell(&fail, capture_stack(fp));
}

WRAPPER int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	int r = next.pthread_create(thread, attr, start, arg);
	if (__builtin_expect(r == EAGAIN || r == ENOMEM, 0))
		refused(attr, (void *const *)__builtin_frame_address(0));
	return r;
}
