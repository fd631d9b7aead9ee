/*
 * late_child.c - a child that says nothing until its parent is over.
 *
 * 1000 blocks, a fork; the parent frees 300 of them and ends with 3.  The child
 * sleeps inside fork, in a handler of its own, frees all and ends with 4.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void *volatile kept[1000];

static void rest(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static void in_child(void)
{
	rest(1500);
}

int main(void)
{
	pthread_atfork(NULL, NULL, in_child);
	for (size_t i = 0; i < 1000; i++)
		kept[i] = malloc(100);
	pid_t pid = fork();
	if (pid < 0)
		return 2;
	for (size_t i = 0; i < (pid ? 300 : 1000); i++)
		free(kept[i]);
	if (pid)
		rest(300);
	_exit(pid ? 3 : 4);
}
