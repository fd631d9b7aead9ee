/*
 * thread.c - names of threads.
 *
 * pthread_setname_np makes its system call inside libc; prctl(PR_SET_NAME)
 * is told by filter.c, which watches prctl anyway.
 *
 * There is no key destructor and no wrapper of pthread_create: a thread's
 * death is told by the kernel (capture/death.c), its block comes back by
 * that, and a key would take a number that the program counts on.
 */
#include <pthread.h>

#include "base/enter.h"
#include "base/next.h"
#include "base/sys.h"
#include "capture/emit.h"

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
