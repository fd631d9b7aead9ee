/*
 * slack.c - a heap whose free memory is known.
 *
 *   slack books    blocks of which every second is freed, and pages that a
 *                  block each keeps; prints what the allocator says of itself
 *                  and how many pages are kept
 *   slack broken   the lists of free blocks are destroyed, as by a write after
 *                  free, and the program ends well all the same
 *   slack handler  ends in a signal handler that interrupted the allocator,
 *                  while another thread uses it, too
 *
 * Nothing is allocated or freed after the answer is printed.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define N 12000
#define PAGE 4096u

static void *block[N], *small[N];

static __attribute__((noinline)) void place_every_second(void)
{
	for (int i = 0; i < N; i++)
		block[i] = memset(malloc(1000), 1, 1000);
}

/* 16 blocks to a page, one of them will stay. */
static __attribute__((noinline)) void place_keeping(void)
{
	for (int i = 0; i < N; i++)
		small[i] = memset(malloc(240), 1, 240);
}

static void give_back(void)
{
	for (int i = 0; i < N; i += 2)
		free(block[i]);
	for (int i = 0; i < N; i++)
		if (i % 16 || i < 64 || i > N - 64) {
			free(small[i]);
			small[i] = NULL;
		}
}

static unsigned kept_pages(void)
{
	uintptr_t last = 0;
	unsigned n = 0;

	for (int i = 0; i < N; i++) {
		uintptr_t first = (uintptr_t)small[i] / PAGE, end = ((uintptr_t)small[i] + 239) / PAGE;
		if (!small[i])
			continue;
		n += (first != last) + (end != first);
		last = end;
	}
	return n;
}

/* The same questions, asked by the program itself. */
static void print_books(void)
{
	int (*ctl)(const char *, void *, size_t *, void *, size_t);
	*(void **)&ctl = dlsym(RTLD_DEFAULT, "mallctl");
	if (ctl) {
		uint64_t epoch = 1;
		size_t allocated = 0, active = 0, size = sizeof(size_t);
		for (int i = 0; i < 2; i++) { /* the first question and the first line take memory themselves */
			ctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
			ctl("stats.allocated", &allocated, &size, NULL, 0);
			ctl("stats.active", &active, &size, NULL, 0);
			dprintf(i, "jemalloc %zu - %zu %u\n", allocated, active - allocated, kept_pages());
		}
	} else {
		struct mallinfo2 m = mallinfo2();
		dprintf(1, "glibc %zu %zu %zu %u\n", m.uordblks, m.keepcost, m.fordblks - m.keepcost, kept_pages());
	}
}

/* All free blocks: of the lists' pointers nothing is left. */
static void destroy_lists(void)
{
	for (int i = 0; i < N; i += 2)
		memset(block[i], 0x41, 32);
}

static void end(int signal)
{
	(void)signal;
	_exit(0);
}

static void *churn(void *arg)
{
	for (;;)
		free(malloc(3000 + ((uintptr_t)arg & 7)));
	return NULL;
}

static void end_in_handler(void)
{
	struct itimerval soon = { .it_value.tv_usec = 30000 };
	pthread_t thread;

	signal(SIGALRM, end);
	if (pthread_create(&thread, NULL, churn, NULL) == 0 && setitimer(ITIMER_REAL, &soon, NULL) == 0)
		churn(block);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	place_every_second();
	place_keeping();
	give_back();
	if (strcmp(argv[1], "books") == 0)
		print_books();
	else if (strcmp(argv[1], "broken") == 0)
		destroy_lists();
	else
		end_in_handler();
	return 0;
}
