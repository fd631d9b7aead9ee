/* vfork_exit.c - a vfork child runs in our memory: its _exit and its exec are
 * not the parent's. */
#include <sys/wait.h>

#include "guest.h"

int main(void)
{
	int status = 0;
	pid_t pid = vfork();
	if (pid == 0)
		_exit(7);
	waitpid(pid, &status, 0);
	printf("first %d\n", WEXITSTATUS(status));
	pid = vfork();
	if (pid == 0) {
		execl("/nonexistent/program", "x", NULL);
		_exit(8);
	}
	waitpid(pid, &status, 0);
	printf("second %d\n", WEXITSTATUS(status));
	pid = vfork();
	if (pid == 0) {
		execl("/bin/true", "true", NULL);
		_exit(9);
	}
	waitpid(pid, &status, 0);
	printf("third %d\n", WEXITSTATUS(status));
	churn(100);
	EXPECT("process 1 begin start end exit status 3 *");
	EXPECT("process 2 begin spawn end exit status 0 *");
	REFUSE("process 3 *");
	REFUSE("exec *");
	COUNT(2, "fork 1 kind 4 child known");
	COUNT(1, "exit 1 *");
	return 3;
}
