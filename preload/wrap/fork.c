/*
 * fork.c - the fork bracket.
 *
 *	parent  --before--[ real fork ]--parent side: MMS_LONG_FORK----->
 *	child                        \--child side: own identity-------->
 *
 * Law: no lock of ours is held over a fork, by any thread; everything that a
 * child could find half done is lock-free or is given up in the child
 * (base/heap.c).  fork and _Fork are wrapped; daemon and forkpty fork inside
 * libc and pass the atfork handlers only; vfork is not wrapped, because a C
 * function cannot return twice on one stack, and posix_spawn, system and
 * popen are seen when the new image starts.  A raw clone is noticed by its
 * first event (capture/thread.c).  fork runs the atfork handlers too: the
 * mark of the thread keeps one fork from being told twice.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/doorbell.h"
#include "base/enter.h"
#include "base/next.h"
#include "base/sys.h"
#include "capture/emit.h"
#include "capture/unwind.h"
#include "mirror/cow.h"
#include "mirror/mirror.h"
#include "wrap/cow.h"
#include "wrap/process.h"
#include "wrap/refused.h"

/* The fork that this thread is in.  begin_stamp 0: none is told. */
static __thread struct mms_fork fork_note __attribute__((tls_model("initial-exec")));
static __thread uint64_t forker __attribute__((tls_model("initial-exec"))); /* number of the process */
static __thread bool in_wrapper __attribute__((tls_model("initial-exec")));

static void before(uint32_t stack)
{
	fork_note = (struct mms_fork){ .begin_stamp = 0 };
	capture_forked(); /* a child of a raw clone has no number yet */
	const struct mms_process *p = capture_on() ? capture_process() : NULL;
	if (!p)
		return;
	unwind_forking(doorbell_is_silent());
	forker = p->number;
	cow_decide(stack, &fork_note);
	cow_before(&fork_note);
	fork_note.begin_stamp = capture_stamp();
}

static void parent_side(pid_t child, enum mms_fork_kind kind, uint32_t stack)
{
	struct mms_fork note = fork_note;

	if (!note.begin_stamp)
		return;
	note.end_stamp = capture_stamp();
	note.child_pid = (uint32_t)child;
	note.kind = kind;
	fork_note.begin_stamp = 0;
	emit_long(MMS_LONG_FORK, stack, &note, sizeof(note), NULL, 0, NULL, 0);
	cow_in_parent(&note, forker);
}

/* With --follow none the main process alone is recorded. */
static void child_side(uint32_t stack)
{
	struct mms_fork note = fork_note;

	if (!note.begin_stamp)
		return;
	fork_note.begin_stamp = 0;
	mirror_forked();
	if (capture_session()->header->follow == MMS_FOLLOW_NONE) {
		capture_stop();
		cow_forked(!doorbell_is_silent());
		return;
	}
	capture_forked();
	cow_in_child(&note, forker, stack);
}

/* Too little memory may be promised for a second one (ENOMEM), or there are too
 * many processes (EAGAIN). */
static __attribute__((cold)) void refused(uint32_t stack)
{
	struct mms_heap_fail note = { .error = errno };

	if (fork_note.begin_stamp && (note.error == ENOMEM || note.error == EAGAIN))
		refused_tell(&note, stack);
	if (fork_note.begin_stamp)
		cow_failed(&fork_note);
	fork_note.begin_stamp = 0;
}

static pid_t bracket(pid_t (*real)(void), enum mms_fork_kind kind, void *const *fp)
{
	if (!capture_on() && !preload_enter())
		return real();
	uint32_t stack = capture_stack(fp);
	in_wrapper = true;
	before(stack);
	pid_t pid = real();
	in_wrapper = false;
	if (pid == 0)
		child_side(stack);
	else if (pid > 0)
		parent_side(pid, kind, stack);
	else
		refused(stack);
	return pid;
}

static pid_t real_fork(void) { return next.fork(); }
static pid_t real_underscore(void) { return next._Fork(); }

WRAPPER pid_t fork(void)
{
	return bracket(real_fork, MMS_FORK_FORK, __builtin_frame_address(0));
}

WRAPPER pid_t _Fork(void)
{
	return bracket(real_underscore, MMS_FORK_UNDERSCORE, __builtin_frame_address(0));
}

/* ---- forks inside libc ---- */

static void handler_before(void)
{
	if (!in_wrapper)
		before(0);
}

static void handler_parent(void)
{
	if (!in_wrapper)
		parent_side(0, MMS_FORK_ATFORK, 0);
}

static void handler_child(void)
{
	if (!in_wrapper)
		child_side(0);
}

void process_register(void)
{
	pthread_atfork(handler_before, handler_parent, handler_child);
}
