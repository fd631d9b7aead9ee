/* passed_on.c - the environment of the next image: the program's own
 * LD_PRELOAD entries stay; with follow=none ours goes. */
#include <sys/wait.h>

#include "guest.h"

static void show(void)
{
	const char *p = getenv("LD_PRELOAD");
	char *copy = p ? strdup(p) : NULL;
	for (char *part = copy ? strtok(copy, ": ") : NULL; part; part = strtok(NULL, ": "))
		if (!strstr(part, "libmmscope"))
			printf("LD_PRELOAD has %s\n", strrchr(part, '/') ? strrchr(part, '/') + 1 : part);
	free(copy);
	printf("own variable %s\n", getenv("PASSED_ON"));
}

int main(int argc, char **argv)
{
	int status = 0;
	if (argc > 1 && !strcmp(argv[1], "child")) {
		show();
		return 0;
	}
	setenv("PASSED_ON", "yes", 1);
	for (int i = 0; i < 2; i++) {
		pid_t pid = i ? vfork() : fork();
		if (pid == 0) {
			execl("/proc/self/exe", "passed_on", "child", NULL);
			_exit(1);
		}
		waitpid(pid, &status, 0);
		printf("child %d\n", WEXITSTATUS(status));
		fflush(stdout);
	}
	EXPECT("process 1 begin start end exit status 0 *");
	if (argc > 1 && !strcmp(argv[1], "none"))
		REFUSE("process 2 *");
	else
		EXPECT("process 3 begin exec end exit status 0 *");
	return 0;
}
