/*
 * cow_threads.c - threads that write while the process forks: says what they
 * wrote for certain after the fork.
 *
 *	cow_threads [SECONDS_OF_WRITING]
 *
 * Four threads write pages of their own, one after the other and then again,
 * before, during and after the fork.  A page is written with the number of its
 * round, so that what was written after the fork can be told from what the
 * child has of it:
 *	area START pages PARENT
 * PARENT: pages of which the parent has other content than the child.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define PAGES 4096
#define PAGE 4096ul

static unsigned char *area;
static atomic_int stop, started;

static void *writer(void *argument)
{
	unsigned char *mine = area + (size_t)(uintptr_t)argument * PAGES * PAGE;

	for (uint64_t round = 2; !stop; round++)
		for (int i = 0; i < PAGES && !stop; i += 3) {
			memcpy(mine + (size_t)i * PAGE, &round, sizeof(round));
			if (i == 0)
				atomic_fetch_add(&started, 1);
			if (i % 96 == 0)
				usleep(20);
		}
	return NULL;
}

int main(int argc, char **argv)
{
	size_t all = THREADS * (size_t)PAGES * PAGE;
	pthread_t thread[THREADS];
	int pipe_of[2], copied[2];
	unsigned differ = 0;
	char c = 0;

	area = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t *was = mmap(NULL, all / PAGE * sizeof(*was), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED || was == MAP_FAILED || pipe(pipe_of) || pipe(copied))
		return 2;
	madvise(area, all, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < all; i += PAGE)
		area[i] = 1;
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, writer, (void *)i);
	while (started < THREADS)
		usleep(100);
	pid_t child = fork();
	if (child == 0) {
		for (size_t i = 0; i < all / PAGE; i++)
			memcpy(&was[i], area + i * PAGE, sizeof(was[i]));
		_exit(write(copied[1], &c, 1) == 1 && read(pipe_of[0], &c, 1) == 1 ? 0 : 1);
	}
	usleep((useconds_t)(argc > 1 ? atof(argv[1]) * 1e6 : 300000));
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	if (read(copied[0], &c, 1) != 1)
		return 1;
	for (size_t i = 0; i < all / PAGE; i++) {
		uint64_t now;
		memcpy(&now, area + i * PAGE, sizeof(now));
		differ += now != was[i];
	}
	printf("area %p %zu %u\n", (void *)area, all / PAGE, differ);
	fflush(stdout);
	if (write(pipe_of[1], &c, 1) != 1)
		return 1;
	waitpid(child, NULL, 0);
	return 0;
}
