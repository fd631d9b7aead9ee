/*
 * grow.c - the same number of allocations with more and more of one thing.
 *
 *     grow blocks N [PAIRS]   N live blocks, then pairs of malloc and free of one of them
 *     grow sites N PAIRS      pairs from N call stacks in turn
 *     grow depth N PAIRS      pairs at this depth
 *     grow threads N PAIRS    pairs, shared among N threads at once
 *     grow processes N PAIRS  pairs, shared among N forked children, 20 at once
 *     grow vmas N PAIRS       N areas that are told apart; then pairs of mmap and munmap
 *
 * Called by growth.py.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static long n, n_pairs;

static NOINLINE void pairs(long count)
{
	for (long i = 0; i < count; i++) {
		void *p = malloc((size_t)(i & 63) + 16);
		__asm__ volatile("" : "+r"(p) : : "memory");
		free(p);
	}
}

static void blocks(void)
{
	void **block = malloc((size_t)n * sizeof(*block));
	uint64_t seed = 1;

	for (long i = 0; block && i < n; i++)
		block[i] = malloc(24);
	for (long i = 0; block && i < n_pairs; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		long at = (long)((seed >> 33) % (uint64_t)n);
		free(block[at]);
		block[at] = malloc(24);
	}
}

/* Which of two calls is made at each of twenty levels is a bit of the number. */
static NOINLINE void one_of(long number, int level)
{
	if (!level) {
		pairs(1);
	} else if (number & 1) {
		one_of(number >> 1, level - 1);
		__asm__ volatile("nop");
	} else {
		one_of(number >> 1, level - 1);
		__asm__ volatile("nop; nop");
	}
	__asm__ volatile("" : : : "memory");
}

static void sites(void)
{
	for (long i = 0; i < n_pairs; i++)
		one_of(i % n, 20);
}

static NOINLINE int descend(long left)
{
	volatile char frame[64];

	frame[left & 63] = 1;
	if (left > 1)
		return descend(left - 1) + frame[left & 63];
	pairs(n_pairs);
	return frame[left & 63];
}

static void *thread_main(void *arg)
{
	pairs(n_pairs / n);
	return arg;
}

static void threads(void)
{
	pthread_t t[256];

	for (long i = 0; i < n && i < 256; i++)
		pthread_create(&t[i], NULL, thread_main, NULL);
	for (long i = 0; i < n && i < 256; i++)
		pthread_join(t[i], NULL);
}

static void processes(void)
{
	long running = 0;

	for (long i = 0; i < n; i++) {
		if (running == 20 && wait(NULL) > 0)
			running--;
		if (fork() == 0) {
			pairs(n_pairs / n);
			_exit(0);
		}
		running++;
	}
	while (wait(NULL) > 0)
		;
}

/* Neighbours differ, so that the kernel keeps them apart. */
static void vmas(void)
{
	size_t page = 4096;
	char *area = mmap(NULL, (size_t)n * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	for (long i = 0; area != MAP_FAILED && i < n; i += 2)
		mprotect(area + (size_t)i * page, page, PROT_READ);
	for (long i = 0; i < n_pairs; i++) {
		void *p = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p != MAP_FAILED)
			munmap(p, 65536);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} ways[] = { { "blocks", blocks }, { "sites", sites }, { "threads", threads }, { "processes", processes }, { "vmas", vmas } };

	if (argc != 4)
		return 2;
	n = atol(argv[2]);
	n_pairs = atol(argv[3]);
	if (n < 1)
		return 2;
	if (!strcmp(argv[1], "depth"))
		return descend(n > 4 ? n - 4 : 1) == 0;
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (!strcmp(argv[1], ways[i].name)) {
			ways[i].run();
			return 0;
		}
	return 2;
}
