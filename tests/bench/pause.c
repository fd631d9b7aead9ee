/*
 * pause.c - holds memory in blocks, and for each line on its standard input
 * forks as the kernel does it, without handlers: prints how long that took, ns.
 *
 *	pause MIB
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define BLOCK 65536ul

static unsigned long **kept; /* a root */

static long call(long number, long a)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a) : "rcx", "r11", "memory");
	return result;
}

static unsigned long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long)t.tv_sec * 1000000000ul + (unsigned long)t.tv_nsec;
}

/* Each word of a block is an address: of the next block, or of a word in it. */
static void fill(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		kept[i] = malloc(BLOCK);
	for (unsigned long i = 0; i < n; i++)
		for (unsigned long k = 0; k < BLOCK / 8; k++)
			kept[i][k] = (unsigned long)&kept[(i + 1) % n][k % 2 ? k : 0];
}

int main(int argc, char **argv)
{
	unsigned long n = argc == 2 ? strtoul(argv[1], NULL, 10) << 20 : 0;

	kept = calloc(n / BLOCK + 1, sizeof(*kept));
	fill(n / BLOCK);
	printf("ready\n");
	fflush(stdout);
	while (getchar() == '\n') {
		unsigned long begin = now_ns();
		long pid = call(SYS_fork, 0);
		if (pid == 0)
			call(SYS_exit_group, 0);
		printf("%lu\n", now_ns() - begin);
		fflush(stdout);
		waitpid((pid_t)pid, NULL, 0);
	}
	return 0;
}
