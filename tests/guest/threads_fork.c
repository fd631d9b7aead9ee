/* threads_fork.c - four threads allocate while the first forks 300 times:
 * no child may hang. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "guest.h"

static _Atomic int stop;

static void *work(void *unused)
{
	while (!stop)
		churn(100);
	return NULL;
}

int main(void)
{
	pthread_t t[4];
	int bad = 0, status = 0;
	alarm(60); /* a hang is an end by SIGALRM */
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, work, NULL);
	for (int i = 0; i < 300; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			alarm(20);
			churn(100);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		bad += status != 0;
	}
	stop = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	printf("bad children %d\n", bad);
	return 0;
}
