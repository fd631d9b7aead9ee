/*
 * wait.c - how a child ended, told by the parent that waited for it.
 *
 * The collector is nobody's parent.  Before Linux 6.15 the kernel tells it how
 * a process ended only while that is a zombie, and a parent that waits is
 * quicker.  So the parent tells what it was given; a recording that is read
 * without a collector (recover) has nothing else.
 *
 * The real call comes first and its result is the program's own: a place of
 * ours stands in where the program wants no status.  Whoever is cancelled, or
 * leaves a handler by a jump, leaves nothing behind here.
 *
 * Not seen: what system, pclose and wordexp wait for inside libc, and waits by
 * syscall().
 */
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/enter.h"
#include "base/next.h"
#include "base/sys.h"
#include "capture/emit.h"

static __attribute__((noinline)) void tell(pid_t pid, int status)
{
	struct mms_reaped note = { .pid = (uint32_t)pid, .status = status };

	if (capture_on() || preload_enter())
		emit_long(MMS_LONG_REAPED, 0, &note, sizeof(note), NULL, 0, NULL, 0);
}

static inline pid_t told(pid_t pid, const int *status)
{
	if (pid > 0 && (WIFEXITED(*status) || WIFSIGNALED(*status)))
		tell(pid, *status);
	return pid;
}

WRAPPER pid_t wait(int *status)
{
	int own, *at = status ? status : &own;

	return told(next.wait(at), at);
}

WRAPPER pid_t waitpid(pid_t pid, int *status, int options)
{
	int own, *at = status ? status : &own;

	return told(next.waitpid(pid, at, options), at);
}

WRAPPER pid_t wait3(int *status, int options, struct rusage *usage)
{
	int own, *at = status ? status : &own;

	return told(next.wait3(at, options, usage), at);
}

WRAPPER pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	int own, *at = status ? status : &own;

	return told(next.wait4(pid, at, options, usage), at);
}

/* As the kernel packs it; -1: it did not end. */
static int status_of(const siginfo_t *info)
{
	switch (info->si_code) {
	case CLD_EXITED:
		return W_EXITCODE(info->si_status & 0xff, 0);
	case CLD_KILLED:
		return info->si_status & 0x7f;
	case CLD_DUMPED:
		return (info->si_status & 0x7f) | WCOREFLAG;
	default:
		return -1;
	}
}

/* With WNOWAIT the child stays, and is waited for once more.  Of no child
 * (WNOHANG) the kernel writes the pid 0. */
WRAPPER int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	siginfo_t own, *at = info ? info : &own;
	int r = next.waitid(type, id, at, options);

	if (r == 0 && !(options & WNOWAIT) && at->si_pid > 0 && status_of(at) >= 0)
		tell(at->si_pid, status_of(at));
	return r;
}
