/*
 * witness.c - see witness.h.
 *
 *	program --clone A (our memory, our stack)--waits--[ fork ]----->
 *	          A --clone B (a copy of the memory)-- ends
 *	               B = the witness: stands still until it is killed
 *
 * As long as B maps a page too, no side of the fork becomes its only owner by
 * the other's write: a page that one side has for itself is one that this side
 * wrote.  And B still holds the bytes of the fork.
 *
 * A is waited for here, by __WCLONE; B is an orphan at once, so that no wait
 * of the program sees either, and no signal tells of them.  Where orphans come
 * to the program itself (pid 1 of a namespace, a subreaper) none is made.
 *
 * B makes system calls only.  It holds no descriptor but one, the pidfd of the
 * program; it ends when the collector kills it, when the collector is gone,
 * and some seconds after the program's end.  Whoever looks for memory may have
 * it first (oom_score_adj).
 *
 * THE LAW.  Called by the thread that forks, before the fork, with all signals
 * held back.  One flag, taken by one try.  Private memory is copied on both
 * sides as after any fork: the caller was told by --cow witness.
 */
#include "wrap/witness.h"

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include <mmscope/launch.h>

#include "base/sys.h"
#include "capture/emit.h"
#include "capture/ring.h"
#include "mirror/cow.h"

#define SLICE_MS 250
#define LINGER_MS 3000 /* after the program's end: it is still compared with its child */
#define WCLONE 0x80000000l

static atomic_flag busy = ATOMIC_FLAG_INIT;
static uint8_t stack[MMS_SPAWN_STACK] __attribute__((aligned(16)));

struct order {
	const struct mms_session *session;
	int pid; /* of B, or -errno */
};

/* ---- B ---- */

static void put_on_record(const char *path, const char *text)
{
	int fd = mms_openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return;
	mms_syscall3(SYS_write, fd, (long)text, (long)mms_strlen(text));
	mms_close(fd);
}

static bool program_lives(int pidfd, int wait_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	long r = mms_syscall3(SYS_poll, (long)&p, 1, wait_ms);

	return r == 0 || r == -EINTR;
}

static _Noreturn void stand_still(const struct mms_session *s, int pidfd)
{
	int fd = (int)mms_syscall3(SYS_dup2, pidfd, 3, 0);

	if (pidfd > 3)
		mms_close_range(4, ~0u);
	mms_close_range(0, 2);
	mms_syscall3(SYS_setsid, 0, 0, 0);
	mms_syscall3(SYS_chdir, (long)"/", 0, 0);
	mms_prctl(PR_SET_PTRACER, atomic_load(&s->header->collector_pid), 0);
	put_on_record("/proc/self/oom_score_adj", "1000");
	while (ring_collector(s) == MMS_COLLECTOR_ALIVE && program_lives(fd, SLICE_MS))
		;
	for (int left = LINGER_MS; left > 0 && ring_collector(s) == MMS_COLLECTOR_ALIVE; left -= SLICE_MS)
		mms_sleep_ns(SLICE_MS * 1000000ull);
	mms_exit_group(0);
}

/* ---- A ---- */

static void make(void *argument)
{
	struct order *o = argument;
	int pidfd = (int)mms_syscall3(SYS_pidfd_open, mms_getppid(), 0, 0);

	o->pid = pidfd;
	if (pidfd >= 0) {
		mms_prctl(PR_SET_NAME, (unsigned long)MMS_WITNESS_NAME, 0); /* B's from its first moment */
		long b = mms_syscall6(SYS_clone, CLONE_UNTRACED, 0, 0, 0, 0, 0);
		if (b == 0)
			stand_still(o->session, pidfd);
		o->pid = (int)b;
	}
	mms_exit_group(0);
}

/* ---- the program ---- */

/* MemAvailable of /proc/meminfo in bytes; 0: not known. */
static uint64_t available(void)
{
	char text[512];
	const char *rest = NULL;
	uint64_t kib = 0;
	int fd = mms_openat(AT_FDCWD, "/proc/meminfo", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	long n = mms_read(fd, text, sizeof(text) - 1);
	mms_close(fd);
	text[n > 0 ? n : 0] = 0;
	for (const char *line = text; *line && !mms_after(line, "MemAvailable:", &rest); line++)
		;
	while (rest && *rest == ' ')
		rest++;
	for (; rest && *rest >= '0' && *rest <= '9'; rest++)
		kib = kib * 10 + (uint64_t)(*rest - '0');
	return kib << 10;
}

/* At worst both sides write all they share: each has then its own, and the
 * witness the old. */
static bool has_room(void)
{
	uint64_t need = 2 * (cow_private_pages() << 12), host = available();
	uint64_t limit = atomic_load_explicit(&capture_session()->header->headroom, memory_order_relaxed);

	return host && need <= host && (!limit || need <= limit);
}

static bool adopts_orphans(void)
{
	int subreaper = 0;

	return mms_getpid() == 1 || mms_prctl(PR_GET_CHILD_SUBREAPER, (unsigned long)&subreaper, 0) < 0 || subreaper;
}

int witness_make(void)
{
	struct order o = { .session = capture_session(), .pid = -ESRCH };

	if (ring_collector(o.session) != MMS_COLLECTOR_ALIVE)
		return -ESRCH;
	if (adopts_orphans())
		return -ECHILD;
	if (!has_room())
		return -ENOMEM;
	if (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
		return -EBUSY;
	uint64_t signals = mms_signals_block();
	long a = mms_clone_call(CLONE_VM | CLONE_VFORK | CLONE_UNTRACED, stack + sizeof(stack), make, &o);
	if (a > 0) {
		int status = 0;
		long r;
		do
			r = mms_syscall4(SYS_wait4, a, (long)&status, WCLONE, 0);
		while (r == -EINTR);
	}
	mms_signals_set(signals);
	atomic_flag_clear_explicit(&busy, memory_order_release);
	return a < 0 ? (int)a : o.pid;
}

void witness_forked(void)
{
	atomic_flag_clear_explicit(&busy, memory_order_release);
}

void witness_end(int pid)
{
	if (pid > 0)
		mms_syscall3(SYS_kill, pid, 9 /* SIGKILL */, 0);
}
