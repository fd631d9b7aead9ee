/* waits.c - each call that waits for a child, with all it can answer, and what
 * is told of it: the ends that were given, and nothing else. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "guest.h"

static pid_t child(int status)
{
	pid_t pid = fork();
	if (pid == 0)
		status < 0 ? (void)raise(-status), pause() : _exit(status);
	return pid;
}

static void show(const char *what, pid_t got, pid_t want, int status)
{
	printf("%s: %s, errno %d", what, got == want ? "the child" : got < 0 ? "failed" : got ? "another" : "none", got < 0 ? errno : 0);
	if (got > 0)
		printf(", status %#x", (unsigned)status);
	putchar('\n');
	fflush(stdout);
}

static void by_status(void)
{
	struct rusage usage;
	int status = -1;
	pid_t pid = child(11);
	show("wait", wait(&status), pid, status);
	pid = child(12);
	show("wait without a place", wait(NULL), pid, 0);
	pid = child(13);
	show("waitpid", waitpid(pid, &status, 0), pid, status);
	pid = child(14);
	show("waitpid without a place", waitpid(pid, NULL, 0), pid, 0);
	pid = child(15);
	show("wait3", wait3(&status, 0, &usage), pid, status);
	pid = child(16);
	show("wait4", wait4(pid, &status, 0, NULL), pid, status);
	pid = child(-SIGKILL);
	show("killed", waitpid(-1, &status, 0), pid, status);
	for (int i = 11; i <= 16; i++)
		EXPECT("reaped 1 pid * status %#x", i << 8);
	status = 77;
	show("nobody there", wait(&status), 0, status);
	printf("place %d\n", status);
	show("bad option", waitpid(-1, &status, 0x40000), 0, status);
	pid = child(17);
	siginfo_t info;
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	show("nowhere to write", waitpid(pid, (int *)8, 0), 0, 0);
	REFUSE("reaped 1 pid * status 0x1100");
}

static void stopped(void)
{
	int status = 0;
	pid_t pid = child(-SIGSTOP);
	show("stopped", waitpid(pid, &status, WUNTRACED), pid, status);
	show("not now", waitpid(pid, &status, WNOHANG), pid, status);
	kill(pid, SIGCONT);
	show("goes on", waitpid(pid, &status, WCONTINUED), pid, status);
	kill(pid, SIGTERM);
	show("ended", waitpid(pid, &status, 0), pid, status);
	REFUSE("reaped * status 0x137f");
	REFUSE("reaped * status 0xffff");
	EXPECT("reaped 1 pid * status 0xf");
}

static void by_info(void)
{
	siginfo_t info;
	memset(&info, 0x55, sizeof(info));
	pid_t pid = child(21);
	int r = waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	printf("waitid that leaves it: %d %d %d %d\n", r, info.si_pid == pid, info.si_code, info.si_status);
	r = waitid(P_ALL, 0, &info, WEXITED);
	printf("waitid: %d %d %d %d\n", r, info.si_pid == pid, info.si_code, info.si_status);
	COUNT(1, "reaped 1 pid * status 0x1500");
	pid = child(-SIGUSR2);
	r = waitid(P_PID, pid, NULL, WEXITED);
	printf("waitid without a place: %d\n", r);
	EXPECT("reaped 1 pid * status 0xc");
	r = waitid(P_PID, pid, &info, WEXITED);
	printf("waitid of nobody: %d %d\n", r, errno);
	pid = child(-SIGSTOP);
	r = waitid(P_PID, pid, &info, WSTOPPED | WEXITED);
	printf("waitid of a stop: %d %d %d\n", r, info.si_code, info.si_status);
	r = waitid(P_PID, pid, &info, WEXITED | WNOHANG);
	printf("waitid, not now: %d %d\n", r, info.si_pid);
	kill(pid, SIGKILL);
	waitid(P_PID, pid, &info, WEXITED);
}

static void noted(int sig) { (void)sig; }

static void interrupted(void)
{
	struct sigaction action = { .sa_handler = noted };
	int status = 0;
	pid_t pid = child(-SIGSTOP);
	sigaction(SIGALRM, &action, NULL);
	alarm(1);
	show("interrupted", waitpid(pid, &status, 0), pid, status);
	kill(pid, SIGKILL);
	errno = 1234;
	waitpid(pid, &status, 0);
	printf("errno stays %d\n", errno);
}

static void *wait_for_ever(void *arg)
{
	waitpid(*(pid_t *)arg, NULL, 0);
	return arg;
}

static void cancelled(void)
{
	pthread_t thread;
	void *result = NULL;
	pid_t pid = child(-SIGSTOP);
	pthread_create(&thread, NULL, wait_for_ever, &pid);
	usleep(50000);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	printf("cancelled: %d\n", result == PTHREAD_CANCELED);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static volatile sig_atomic_t in_handler;

static void reap(int sig)
{
	int status, error = errno;
	(void)sig;
	while (waitpid(-1, &status, WNOHANG) > 0)
		in_handler = status;
	errno = error;
}

static void by_handler(void)
{
	signal(SIGCHLD, reap);
	child(22);
	while (!in_handler)
		free(malloc(40));
	printf("in the handler: %#x\n", (unsigned)in_handler);
	EXPECT("reaped 1 pid * status 0x1600");
}

int main(void)
{
	by_status();
	stopped();
	by_info();
	interrupted();
	cancelled();
	by_handler();
	COUNT(4, "reaped 1 pid * status 0x9"); /* each that was killed */
	return 0;
}
