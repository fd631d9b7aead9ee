/*
 * cow_twice.c - two threads that fork at the same time, again and again.
 *
 *	cow_twice ROUNDS PAGES
 *
 * Each child writes the first 100 pages of an area of PAGES that lies at the
 * address printed ("area START"), and ends.  "longest NS": the longest fork.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define WRITTEN 100

static volatile unsigned char *area;
static int rounds;
static pthread_barrier_t both;

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void *fork_again(void *arg)
{
	long long *longest = arg;

	for (int i = 0; i < rounds; i++) {
		pthread_barrier_wait(&both);
		long long begin = now();
		pid_t pid = fork();
		if (pid == 0) {
			for (int k = 0; k < WRITTEN; k++)
				area[(size_t)k * PAGE] = 2;
			_exit(0);
		}
		long long took = now() - begin;
		*longest = took > *longest ? took : *longest;
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			exit(3);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long long longest[2] = { 0, 0 };
	size_t pages = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	pthread_t thread;

	rounds = argc > 1 ? atoi(argv[1]) : 0;
	void *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages < WRITTEN || at == MAP_FAILED || pthread_barrier_init(&both, NULL, 2))
		return 2;
	madvise(at, pages * PAGE, MADV_NOHUGEPAGE);
	memset(at, 1, pages * PAGE);
	area = at;
	printf("area %p\n", at);
	fflush(stdout);
	if (pthread_create(&thread, NULL, fork_again, &longest[0]))
		return 2;
	fork_again(&longest[1]);
	pthread_join(thread, NULL);
	printf("longest %lld\n", longest[0] > longest[1] ? longest[0] : longest[1]);
	return 0;
}
