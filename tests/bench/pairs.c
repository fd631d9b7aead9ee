/*
 * pairs.c - malloc+free pairs from a chosen depth, in one or more threads.
 *
 *     pairs N DEPTH THREADS
 *
 * Prints the nanoseconds of thread CPU time that a pair took: the loop alone,
 * without the start of the process.  Called by compare.py.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long n_pairs, depth;
static double ns_of[16];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static __attribute__((noinline)) void pairs(void)
{
	for (long i = 0; i < n_pairs; i++) {
		void *p = malloc((size_t)(i & 63) + 16);
		__asm__ volatile("" : "+r"(p) : : "memory");
		free(p);
	}
}

static __attribute__((noinline)) int descend(long n)
{
	volatile char frame[64];

	frame[n & 63] = 1;
	if (n > 1)
		return descend(n - 1) + frame[n & 63];
	pairs();
	return frame[n & 63];
}

static void *work(void *arg)
{
	double begin = now();

	descend(depth > 4 ? depth - 4 : 1);
	ns_of[(intptr_t)arg] = (now() - begin) / (double)n_pairs;
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[16];
	double sum = 0;

	if (argc != 4)
		return 2;
	n_pairs = atol(argv[1]);
	depth = atol(argv[2]);
	int n_threads = atoi(argv[3]);
	if (n_threads < 1 || n_threads > 16)
		return 2;
	for (intptr_t i = 1; i < n_threads; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	work(NULL);
	for (int i = 1; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < n_threads; i++)
		sum += ns_of[i];
	printf("%.2f\n", sum / n_threads);
	return 0;
}
