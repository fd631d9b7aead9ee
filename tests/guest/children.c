/* children.c - what wait and SIGCHLD show: our own children and nobody else,
 * before, between and after. */
#include <signal.h>
#include <sys/wait.h>

#include "guest.h"

static volatile int n_sigchld;

static void on_child(int sig) { n_sigchld++; }

static void look(const char *when)
{
	siginfo_t info = { 0 };
	int status, r = waitpid(-1, &status, WNOHANG);
	printf("%s: waitpid %d %s", when, r, r < 0 ? strerror(errno) : "");
	r = waitpid(-1, &status, WNOHANG | __WALL);
	printf(", __WALL %d %s", r, r < 0 ? strerror(errno) : "");
	r = waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
	printf(", waitid %d %s, SIGCHLD %d\n", r, r < 0 ? strerror(errno) : "", n_sigchld);
}

int main(void)
{
	int status = 0;
	look("at the start");
	signal(SIGCHLD, on_child);
	churn(1000);
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(i + 1);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		printf("child ended with %d\n", WEXITSTATUS(status));
		look("between");
	}
	usleep(20000);
	look("at the end");
	return 5;
}
