/* forks.c - every kind of fork that is not an exec: each child is a process
 * of its own with its own end. */
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "guest.h"

static void child(int status)
{
	churn(50);
	_exit(status);
}

static void reap(pid_t pid, const char *what)
{
	int status = 0;
	waitpid(pid, &status, 0);
	printf("%s %d\n", what, WEXITSTATUS(status));
	fflush(stdout);
}

int main(void)
{
	int terminal, status;
	churn(50);
	pid_t pid = fork();
	if (pid == 0)
		child(11);
	reap(pid, "fork");
	pid = _Fork();
	if (pid == 0)
		child(12);
	reap(pid, "_Fork");
	pid = forkpty(&terminal, NULL, NULL, NULL);
	if (pid == 0)
		child(13);
	reap(pid, "forkpty");
	pid = (pid_t)syscall(SYS_fork);
	if (pid == 0)
		child(14);
	reap(pid, "syscall fork");
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(15); /* without a single event */
	reap(pid, "raw clone");
	status = system("exit 16");
	printf("system %d\n", WEXITSTATUS(status));
	fflush(stdout);
	for (int s = 11; s < 16; s++)
		EXPECT("process * begin fork end exit status %d *", s);
	EXPECT("process 7 begin spawn end exit status 16 *");
	EXPECT("fork 1 kind 1 child known");
	EXPECT("fork 1 kind 2 child known");
	EXPECT("fork 1 kind 3 child unknown");
	COUNT(3, "fork 1 *");
	EXPECT("process 1 begin start end exit status 2 *");
	return 2;
}
