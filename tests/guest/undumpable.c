/* undumpable.c - PR_SET_DUMPABLE 0: /proc/self belongs to root from here on;
 * the program and its children go on, and stay so. */
#include <sys/prctl.h>
#include <sys/wait.h>

#include "guest.h"

int main(void)
{
	int status = 0;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	churn(20000);
	pid_t pid = fork();
	if (pid == 0) {
		churn(1000);
		_exit(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) + 21);
	}
	waitpid(pid, &status, 0);
	printf("child %d, dumpable %d\n", WEXITSTATUS(status), prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	EXPECT("process 2 begin fork end exit status 21 *");
	EXPECT("process 1 begin start end exit status 0 *");
	return 0;
}
