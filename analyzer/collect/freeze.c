/*
 * freeze.c - see freeze.h.
 *
 *	process    runs --|stop: registers . clone|-- runs ----------|wait4|--
 *	copy                               exists, never runs .. killed
 *
 * THE LAW.  What the process cannot notice by itself must be so afterwards:
 *
 *   - PTRACE_INTERRUPT ends a system call that waits.  Most are begun again by
 *     the kernel; those that are not (epoll_wait, semop, ...) would say EINTR.
 *     Their registers are changed to ERESTARTNOHAND: begun again, unless a
 *     handler of the program is to run.
 *   - A thread that makes a call for us gets its registers back, and then
 *     stops once more: the kernel decides about its own interrupted call where
 *     it always does, with what signals came meanwhile.
 *   - The copy shares the table of descriptors, so that it holds no pipe open
 *     that the process closes.  It dies with us (EXITKILL).
 *   - A thread inside a restartable sequence (rseq) makes no call: the kernel
 *     would not find it there any more.
 *   - Where a filter of system calls is in force nothing is called.
 *
 * Not handled: a wait of the program with __WALL sees the copy.
 */
#include "collect/freeze.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h> /* CLONE_FILES */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_NS 1000000000ull /* for a thread to stop: it may be in the kernel for long */
#define SPIN_NS 300000u           /* as long as it mostly takes */
#define NO_WHERE 16ull            /* no stack: whatever would run there dies at once */
/* Between system calls and a debugger, not in the headers of programs. */
#define KERNEL_ERESTARTNOHAND 514
#define GET_RSEQ 0x420f /* PTRACE_GET_RSEQ_CONFIGURATION, Linux 5.13 */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int trace(int request, pid_t tid, uint64_t address, void *data)
{
	return ptrace((enum __ptrace_request)request, tid, (void *)(uintptr_t)address, data) < 0 ? -errno : 0;
}

/* The next stop of the thread.  0, -ESRCH when it has ended, -ETIMEDOUT. */
static int await(pid_t tid, int *status)
{
	const struct timespec nap = { .tv_nsec = 20000 };
	uint64_t since = now_ns();

	for (;;) {
		pid_t r = waitpid(tid, status, __WALL | WNOHANG);

		if (r == tid)
			return WIFSTOPPED(*status) ? 0 : -ESRCH;
		if (r < 0 && errno != EINTR)
			return -ESRCH;
		uint64_t waited = now_ns() - since;
		if (waited > PATIENCE_NS)
			return -ETIMEDOUT;
		if (waited > SPIN_NS)
			nanosleep(&nap, NULL);
	}
}

static bool is_interrupt(int status)
{
	return status >> 16 == PTRACE_EVENT_STOP;
}

/* Until it stops because of us; signals that come before go to the thread. */
static int await_interrupt(pid_t tid)
{
	int status;

	for (;;) {
		int r = await(tid, &status);

		if (r < 0 || is_interrupt(status))
			return r;
		trace(PTRACE_CONT, tid, 0, (void *)(uintptr_t)(status >> 16 ? 0 : WSTOPSIG(status) & 0x7f));
	}
}

/* Calls that the kernel does not begin again by itself. */
static bool is_ended_by_stop(uint64_t call)
{
	switch (call) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
#ifdef SYS_epoll_pwait2
	case SYS_epoll_pwait2:
#endif
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_msgrcv:
	case SYS_msgsnd:
	case SYS_io_getevents:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_sendto:
	case SYS_sendmsg:
		return true;
	default:
		return false;
	}
}

static int read_registers(struct freeze_thread *t)
{
	int r = trace(PTRACE_GETREGS, t->tid, 0, &t->regs);

	if (r == 0)
		r = trace(PTRACE_GETFPREGS, t->tid, 0, &t->vectors);
	if (r < 0 || (int64_t)t->regs.rax != -EINTR || !is_ended_by_stop(t->regs.orig_rax))
		return r;
	t->regs.rax = (uint64_t)-KERNEL_ERESTARTNOHAND;
	return trace(PTRACE_SETREGS, t->tid, 0, &t->regs);
}

static bool is_known(const struct freeze *f, pid_t tid)
{
	for (size_t i = 0; i < f->n_threads; i++)
		if (f->threads[i].tid == tid)
			return true;
	return false;
}

static int add_thread(struct freeze *f, pid_t tid)
{
	if (f->n_threads == f->room) {
		size_t room = f->room * 2 + 16;
		void *grown = reallocarray(f->threads, room, sizeof(*f->threads));

		if (!grown)
			return -ENOMEM;
		f->threads = grown;
		f->room = room;
	}
	int r = trace(PTRACE_SEIZE, tid, 0, NULL);
	if (r < 0)
		return r == -ESRCH ? 0 : r; /* has just ended */
	trace(PTRACE_INTERRUPT, tid, 0, NULL);
	f->threads[f->n_threads++] = (struct freeze_thread){ .tid = tid };
	return 1;
}

/* Asks the threads that are listed and not yet known to stop; how many. */
static int stop_listed(struct freeze *f, DIR *list)
{
	const struct dirent *e;
	int n = 0;

	rewinddir(list);
	while ((e = readdir(list))) {
		pid_t tid = (pid_t)atoi(e->d_name);
		int r = tid > 0 && !is_known(f, tid) ? add_thread(f, tid) : 0;

		if (r < 0)
			return r;
		n += r;
	}
	return n;
}

static int await_new(struct freeze *f, size_t from)
{
	for (size_t i = from; i < f->n_threads;) {
		int r = await_interrupt(f->threads[i].tid);

		if (r == 0)
			r = read_registers(&f->threads[i]);
		if (r == -ESRCH)
			f->threads[i] = f->threads[--f->n_threads];
		else if (r < 0)
			return r;
		else
			i++;
	}
	return 0;
}

static int stop_all(struct freeze *f, int proc_fd)
{
	int fd = openat(proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list)
		return -errno;
	do { /* a thread that was not stopped yet may have made another */
		size_t known = f->n_threads;

		r = stop_listed(f, list);
		int waited = await_new(f, known);
		r = r < 0 ? r : waited < 0 ? waited : r;
	} while (r > 0);
	closedir(list);
	return r < 0 ? r : f->n_threads ? 0 : -ESRCH;
}

int freeze_stop(struct freeze *f, pid_t pid, int proc_fd)
{
	*f = (struct freeze){ .pid = pid, .begin_ns = now_ns() };
	int r = stop_all(f, proc_fd);

	if (r < 0)
		freeze_done(f);
	return r;
}

static void let_go(struct freeze *f)
{
	for (size_t i = 0; i < f->n_threads; i++)
		trace(PTRACE_DETACH, f->threads[i].tid, 0, NULL);
}

void freeze_release(struct freeze *f)
{
	if (!f->begin_ns)
		return;
	let_go(f);
	f->pause_ns = now_ns() - f->begin_ns;
	f->begin_ns = 0;
}

/* ---- a system call in the process ---- */

/* The kernel's own page of code has the instruction in every process. */
static uint64_t find_call(pid_t pid, int proc_fd)
{
	static const uint8_t call[] = { 0x0f, 0x05 };
	uint8_t code[8192];
	char line[512];
	unsigned long start = 0, end = 0;
	int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);
	FILE *maps = fd < 0 ? NULL : fdopen(fd, "r");

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			break;
	if (maps)
		fclose(maps);
	const struct iovec to = { code, sizeof(code) }, from = { (void *)start, end - start };
	ssize_t n = start ? process_vm_readv(pid, &to, 1, &from, 1, 0) : 0;
	const uint8_t *at = n > 0 ? memmem(code, (size_t)n, call, sizeof(call)) : NULL;
	return at ? start + (uint64_t)(at - code) : 0;
}

static bool is_filtered(int proc_fd)
{
	char text[4096];
	int fd = openat(proc_fd, "status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	return !strstr(text, "\nSeccomp:\t0");
}

static bool in_sequence(pid_t pid, pid_t tid)
{
	struct {
		uint64_t address;
		uint32_t size, signature, flags, pad;
	} where = { .address = 0 };
	uint64_t sequence = 0;
	const struct iovec to = { &sequence, sizeof(sequence) };

	if (ptrace((enum __ptrace_request)GET_RSEQ, tid, (void *)sizeof(where), &where) < 0 || !where.address)
		return false;
	const struct iovec from = { (void *)(uintptr_t)(where.address + 8), sizeof(sequence) };
	return process_vm_readv(pid, &to, 1, &from, 1, 0) == sizeof(sequence) && sequence;
}

struct call {
	long number;
	uint64_t argument[4];
	uint64_t result;
	pid_t child;
};

/* From where it stands to the end of the call. */
static int run_call(const struct freeze_thread *t, struct call *c)
{
	int status = 0, n_stops = 0, signal = 0;

	while (n_stops < 2) {
		trace(PTRACE_SYSCALL, t->tid, 0, (void *)(uintptr_t)signal);
		int r = await(t->tid, &status);
		unsigned long message = 0;

		if (r < 0)
			return r;
		signal = 0;
		if (status >> 8 == (SIGTRAP | 0x80))
			n_stops++;
		else if (status >> 16 == PTRACE_EVENT_CLONE && trace(PTRACE_GETEVENTMSG, t->tid, 0, &message) == 0)
			c->child = (pid_t)message;
		else if (status >> 16 == 0)
			signal = WSTOPSIG(status);
	}
	struct user_regs_struct regs;
	int r = trace(PTRACE_GETREGS, t->tid, 0, &regs);
	c->result = regs.rax;
	return r;
}

/* The thread stands still before and after; its registers and mask are what
 * they were, and the kernel sees to its interrupted call again. */
static int make_call(const struct freeze *f, const struct freeze_thread *t, struct call *c)
{
	struct user_regs_struct regs = t->regs;
	uint64_t mask, none = UINT64_MAX;
	int r = trace(PTRACE_GETSIGMASK, t->tid, sizeof(mask), &mask);

	regs.rip = f->call_at;
	regs.rax = (uint64_t)c->number;
	regs.orig_rax = UINT64_MAX;
	regs.rdi = c->argument[0];
	regs.rsi = c->argument[1];
	regs.rdx = c->argument[2];
	regs.r10 = c->argument[3];
	if (r == 0)
		r = trace(PTRACE_SETOPTIONS, t->tid, 0, (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE));
	if (r == 0)
		r = trace(PTRACE_SETSIGMASK, t->tid, sizeof(none), &none);
	if (r < 0)
		return r;
	r = trace(PTRACE_SETREGS, t->tid, 0, &regs);
	if (r == 0)
		r = run_call(t, c);
	trace(PTRACE_SETREGS, t->tid, 0, (void *)&t->regs);
	trace(PTRACE_SETSIGMASK, t->tid, sizeof(mask), &mask);
	trace(PTRACE_INTERRUPT, t->tid, 0, NULL);
	trace(PTRACE_CONT, t->tid, 0, NULL);
	int stopped = await_interrupt(t->tid);
	return r < 0 ? r : stopped;
}

int freeze_copy(struct freeze *f, int proc_fd)
{
	struct call c = { .number = SYS_clone, .argument = { CLONE_FILES, NO_WHERE } };
	int status;

	if (is_filtered(proc_fd))
		return -EACCES;
	f->call_at = find_call(f->pid, proc_fd);
	if (!f->call_at)
		return -ENOEXEC;
	size_t i = 0;
	while (i < f->n_threads && in_sequence(f->pid, f->threads[i].tid))
		i++;
	int r = i < f->n_threads ? make_call(f, &f->threads[i], &c) : -EBUSY;
	if (c.child) {
		f->copy = c.child;
		f->copy_own = (pid_t)c.result;
		await(c.child, &status);
		trace(PTRACE_SETOPTIONS, c.child, 0, (void *)PTRACE_O_EXITKILL);
		return 0;
	}
	return r < 0 ? r : (int64_t)c.result < 0 ? (int)c.result : -EIO;
}

/* Where it can still be had; else the process's end takes it away. */
static void take_away(const struct freeze *f)
{
	struct call c = { .number = SYS_wait4, .argument = { (uint64_t)f->copy_own, 0, __WALL | WNOHANG, 0 } };

	for (size_t i = 0; i < f->n_threads; i++) {
		struct freeze_thread t = { .tid = f->threads[i].tid };

		if (trace(PTRACE_SEIZE, t.tid, 0, NULL) < 0)
			continue;
		trace(PTRACE_INTERRUPT, t.tid, 0, NULL);
		int r = await_interrupt(t.tid);
		if (r == 0)
			r = in_sequence(f->pid, t.tid) ? -EBUSY : read_registers(&t);
		if (r == 0)
			r = make_call(f, &t, &c);
		trace(PTRACE_DETACH, t.tid, 0, NULL);
		if (r == 0)
			return;
	}
}

void freeze_drop_copy(struct freeze *f)
{
	int status;

	if (!f->copy)
		return;
	kill(f->copy, SIGKILL);
	while (waitpid(f->copy, &status, __WALL) < 0 && errno == EINTR)
		;
	f->copy = 0;
	take_away(f);
}

void freeze_done(struct freeze *f)
{
	freeze_release(f);
	freeze_drop_copy(f);
	free(f->threads);
	f->threads = NULL;
	f->n_threads = 0;
}
