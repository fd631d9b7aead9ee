/* raw_clone.c - a child of a clone that no wrapper sees, in a session that
 * follows no other image: it is the same image, and recorded; what it
 * executes is not. */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "guest.h"

int main(void)
{
	for (int i = 0; i < 2; i++) {
		int status = 0;
		pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
		if (pid == 0) {
			churn(5000);
			if (i)
				execl("/bin/sh", "sh", "-c", "exit 31", NULL);
			_exit(15);
		}
		waitpid(pid, &status, 0);
		printf("child %d\n", WEXITSTATUS(status));
		fflush(stdout);
	}
	EXPECT("process 2 begin fork end exit status 15 *");
	REFUSE("process * begin exec *");
	EXPECT("process 1 begin start end exit status 0 *");
	return 0;
}
