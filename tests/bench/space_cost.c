/*
 * space_cost.c - what following the address space costs.
 *
 *   space_cost scan           CPU time of one scan of 1 GiB, dense and sparse;
 *                             the floor is what the kernel takes for the same
 *                             question with room for all answers at once
 *   space_cost stall SECONDS  4 GiB in use; one thread touches a new page a
 *                             millisecond, so that there is something to look
 *                             for, the other maps and unmaps 64 KiB: how long
 *                             the slowest took, and how long the slowest was
 *                             blocked: that time without its own work and
 *                             without waiting for a processor
 *                             (/proc/thread-self/schedstat).  What is missing
 *                             of the time of a thread that did not sleep, the
 *                             host of this machine took.  With and without
 *                             mmscope: space_stall.py.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "mirror/page_scan.h"
#include "mirror/pagemap.h"

#define PAGE 4096ul
#define GIB (1ul << 30)
#define ROUNDS 25

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static char *map(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("space_cost: mmap");
		exit(1);
	}
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

static void add_runs(void *arg, const struct page_told *run, size_t n)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < n; i++)
		pages += run[i].n;
	*(uint64_t *)arg += pages;
}

/* ms of this thread's CPU time. */
static double scan_ms(char *p, int pagemap_fd, unsigned want, uint64_t *ret_pages)
{
	static _Alignas(8) char room[PAGE_SCAN_ROOM];
	struct page_scan scan = { .pagemap_fd = pagemap_fd, .self = true, .runs = add_runs, .runs_arg = ret_pages,
		.room = room, .room_bytes = sizeof(room) };
	double start = now(CLOCK_THREAD_CPUTIME_ID);

	*ret_pages = 0;
	if (page_scan_range(&scan, NULL, (uintptr_t)p, (uintptr_t)p + GIB, want, true) < 0)
		exit(1);
	return now(CLOCK_THREAD_CPUTIME_ID) - start;
}

/* The kernel alone: one call, nothing done with the answer. */
static double floor_ms(char *p, int pagemap_fd)
{
	enum { MOST = 262144 };
	static struct page_region region[MOST];
	struct pm_scan_arg arg = { .size = sizeof arg, .start = (uintptr_t)p, .end = (uintptr_t)p + GIB,
		.vec = (uintptr_t)region, .vec_len = MOST, .category_anyof_mask = IS_PRESENT | IS_SWAPPED,
		.return_mask = IS_PRESENT | IS_SWAPPED | IS_ZERO | IS_HUGE };

	region[0].start = 1;
	double start = now(CLOCK_THREAD_CPUTIME_ID);
	ioctl(pagemap_fd, SCAN_IOCTL, &arg);
	return now(CLOCK_THREAD_CPUTIME_ID) - start;
}

/* All in turn, so that they meet the same machine; the least of each. */
static void scan_one(size_t step, int fd)
{
	double least[3] = { 1e9, 1e9, 1e9 };
	char *p = map(GIB);
	uint64_t n = 0;

	for (size_t at = 0; at < GIB; at += step * PAGE)
		p[at] = 1;
	for (int i = 0; i < ROUNDS; i++) {
		double took[] = { scan_ms(p, -1, PAGE_WANT_PRESENT, &n), scan_ms(p, fd, PAGE_WANT_STATES, &n),
			floor_ms(p, fd) };
		for (size_t k = 0; k < 3; k++)
			least[k] = took[k] < least[k] ? took[k] : least[k];
	}
	munmap(p, GIB);
	printf("1 page of %-4zu %7llu pages: mincore %.2f ms, states %.2f ms, floor %.2f ms: %.2f times\n", step,
		(unsigned long long)n, least[0], least[1], least[2], least[1] / least[2]);
}

static int scan(void)
{
	static const size_t step[] = { 1, 2, 16, 512 };
	int fd = open("/proc/self/pagemap", O_RDONLY);

	for (size_t i = 0; i < sizeof step / sizeof step[0]; i++)
		scan_one(step[i], fd);
	return 0;
}

static _Atomic int over;

static void *touch(void *arg)
{
	volatile char *p = arg;

	for (size_t at = 0; !over && at < GIB; at += PAGE) {
		p[at] = 1;
		usleep(1000);
	}
	return NULL;
}

static int by_value(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

/* What this thread has worked, and waited for a processor, in ms. */
static double accounted(int fd)
{
	char text[128];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	unsigned long long work = 0, wait = 0;

	text[n > 0 ? n : 0] = 0;
	sscanf(text, "%llu %llu", &work, &wait);
	return (double)(work + wait) / 1e6;
}

/* How often this thread gave the processor away because it had to wait. */
static long sleeps(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

static int stall(int seconds)
{
	enum { MOST = 4000000 };
	double *took = malloc(MOST * sizeof *took), begin, blocked = 0, blocked_at = 0, stolen = 0;
	int fd = open("/proc/thread-self/schedstat", O_RDONLY);
	size_t n = 0;
	pthread_t thread;
	char *big = map(4 * GIB);

	memset(big, 1, 4 * GIB);
	if (took == NULL || pthread_create(&thread, NULL, touch, map(GIB)) != 0)
		return 1;
	begin = now(CLOCK_MONOTONIC);
	for (double start = begin; start - begin < seconds * 1e3 && n < MOST; n++) {
		double before = accounted(fd);
		long sleeps_before = sleeps();
		start = now(CLOCK_MONOTONIC);
		munmap(mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 16 * PAGE);
		took[n] = now(CLOCK_MONOTONIC) - start;
		double idle = took[n] - (accounted(fd) - before);
		long slept = sleeps() - sleeps_before;
		if (slept == 0 && idle > stolen)
			stolen = idle;
		if (slept > 0 && idle > blocked) {
			blocked = idle;
			blocked_at = start - begin;
		}
		usleep(100);
		start = now(CLOCK_MONOTONIC);
	}
	over = 1;
	pthread_join(thread, NULL);
	qsort(took, n, sizeof *took, by_value);
	printf("%zu pairs: median %.4f ms, 99.9 %% %.3f ms, worst %.3f ms, blocked at worst %.3f ms"
		" (after %.0f ms), taken by the host %.3f ms\n", n, took[n / 2], took[n - 1 - n / 1000], took[n - 1],
		blocked, blocked_at, stolen);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "scan") == 0)
		return scan();
	if (argc == 3 && strcmp(argv[1], "stall") == 0)
		return stall(atoi(argv[2]));
	fprintf(stderr, "usage: space_cost scan | stall SECONDS\n");
	return 2;
}
