/* exec_names.c - the nine names of exec: each fails once and is taken back,
 * then each hands on to the next image, which counts down. */
#include <fcntl.h>

#include "guest.h"

static char *const no_args[] = { (char *)"x", NULL };

static void fail_all(void)
{
	const char *no = "/nonexistent/program";
	execve(no, no_args, environ);
	execv(no, no_args);
	execvp(no, no_args);
	execvpe(no, no_args, environ);
	execl(no, "x", "y", NULL);
	execlp(no, "x", NULL);
	execle(no, "x", NULL, environ);
	execveat(AT_FDCWD, no, no_args, environ, 0);
	int fd = open("/dev/null", O_RDONLY);
	fexecve(fd, no_args, environ);
	printf("still here: %s\n", strerror(errno));
	close(fd);
}

int main(int argc, char **argv)
{
	int step = argc > 1 ? atoi(argv[1]) : 0;
	char next[16], self[1024];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n] = 0;
	snprintf(next, sizeof(next), "%d", step + 1);
	char *const args[] = { (char *)"exec_names", next, NULL };
	churn(10);
	fflush(stdout);
	switch (step) {
	case 0:
		fail_all();
		COUNT(9, "exec-fail 1 *");
		COUNT(10, "exec 1 *");
		COUNT(9, "process * end exec *");
		EXPECT("process 1 begin start end exec *");
		EXPECT("process 5 begin exec end exec *");
		EXPECT("process 10 begin exec end exit status 4 *");
		REFUSE("process 11 *");
		execve(self, args, environ);
		break;
	case 1: execv(self, args); break;
	case 2: execvp(self, args); break;
	case 3: execvpe(self, args, environ); break;
	case 4: execl(self, "exec_names", next, NULL); break;
	case 5: execlp(self, "exec_names", next, NULL); break;
	case 6: execle(self, "exec_names", next, NULL, environ); break;
	case 7: execveat(AT_FDCWD, self, args, environ, 0); break;
	case 8: fexecve(open(self, O_RDONLY), args, environ); break;
	default: printf("last image, %d arguments\n", argc); return 4;
	}
	return 1;
}
