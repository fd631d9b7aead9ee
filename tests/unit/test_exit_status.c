/* test_exit_status.c - collect/exit_status.c: zombie, reaped, alive, by every end. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collect/exit_status.h"

static int proc_of(pid_t pid)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return open(path, O_PATH | O_DIRECTORY);
}

/* A child that ends by `sig`, or with `code` when sig is 0, once we say so. */
static pid_t child(int code, int sig, int *ret_go)
{
	int go[2];
	char byte;
	REQUIRE(pipe(go) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &byte, 1) < 0)
			_exit(99);
		signal(sig ? sig : SIGUSR1, SIG_DFL);
		if (sig)
			syscall(SYS_kill, getpid(), sig);
		_exit(code);
	}
	close(go[0]);
	*ret_go = go[1];
	return pid;
}

static void one(int code, int sig)
{
	int go, got = -1, real = -1;
	pid_t pid = child(code, sig, &go);
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), proc = proc_of(pid);
	REQUIRE(pidfd >= 0 && proc >= 0);
	CHECK_EQ(pidfd_pid(pidfd), pid);
	CHECK_EQ(exit_status(pidfd, proc, &got), -EAGAIN); /* lives */
	close(go);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	REQUIRE(poll(&p, 1, 5000) == 1);
	CHECK_EQ(exit_status(pidfd, proc, &got), 0); /* zombie */
	int zombie = got;
	REQUIRE(waitpid(pid, &real, 0) == pid);
	CHECK_EQ(zombie & ~0x80, real & ~0x80); /* whether a core was written is not our business */
	got = -1;
	int r = exit_status(pidfd, proc, &got); /* reaped: Linux 6.15 knows, others do not */
	CHECK(r == 0 || r == -ENODATA);
	if (r == 0)
		CHECK_EQ(got, real);
	CHECK_EQ(exit_status(-1, -1, &got), -ENODATA);
	CHECK(pidfd_pid(pidfd) < 0);
	close(pidfd);
	close(proc);
}

int main(void)
{
	one(0, 0);
	one(7, 0);
	one(255, 0);
	one(0, SIGKILL);
	one(0, SIGTERM);
	return check_done();
}
