/*
 * freeze.h - a process stands still while it is looked at, and the copy of it
 * that is looked at when it goes on.
 *
 * Everything is asked of the kernel from outside (ptrace): the process gets no
 * signal, no descriptor and no thread.  One thread of the collector does all
 * calls for one process, and ends afterwards: what does not stop in time is
 * let go by that.
 */
#ifndef COLLECT_FREEZE_H
#define COLLECT_FREEZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct freeze_thread {
	pid_t tid;
	struct user_regs_struct regs; /* as it goes on with */
	struct user_fpregs_struct vectors;
};

struct freeze {
	pid_t pid;
	struct freeze_thread *threads; /* all that the process had */
	size_t n_threads, room;
	uint64_t begin_ns, pause_ns; /* CLOCK_MONOTONIC; how long it stood */
	pid_t copy;     /* 0: there is none */
	pid_t copy_own; /* the copy as the process itself would call it */
	uint64_t call_at; /* a system call instruction in the process; 0: none found */
};

/* Stops all threads and reads their registers.  0, or -errno with all going
 * on: -EPERM (may not be traced, or is traced by another), -ESRCH, -ETIMEDOUT
 * (a thread does not stop). */
int freeze_stop(struct freeze *f, pid_t pid, int proc_fd);

/* While it stands: makes a process of its memory, which never runs.  Its parent
 * gets no signal at its end, and no wait that does not ask for clones sees it.
 * 0, or -errno: -EACCES where a system call filter might answer for it. */
int freeze_copy(struct freeze *f, int proc_fd);

/* All go on as if nothing had been.  May be called twice. */
void freeze_release(struct freeze *f);

/* Ends the copy, and takes it out of the process's list of children. */
void freeze_drop_copy(struct freeze *f);

/* The rest; releases and drops what was not. */
void freeze_done(struct freeze *f);

#endif
