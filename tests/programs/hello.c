/*
 * hello.c - a little of everything, for builds that a preload must stay out of
 * or cannot enter: static, musl, 32-bit, sanitizers.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *work(void *unused)
{
	for (int i = 0; i < 1000; i++)
		free(malloc((size_t)i + 1));
	return unused;
}

int main(void)
{
	pthread_t thread;
	int status = 0;
	char *p = malloc(100);

	strcpy(p, "hello");
	if (pthread_create(&thread, NULL, work, NULL) == 0)
		pthread_join(thread, NULL);
	pid_t pid = fork();
	if (pid == 0) {
		free(calloc(3, 100));
		_exit(5);
	}
	waitpid(pid, &status, 0);
	p = realloc(p, 200);
	printf("%s %d\n", p, WEXITSTATUS(status));
	free(p);
	return 7;
}
