/*
 * mayflies.c - a program that starts short processes for months, in minutes.
 *
 *	mayflies N [exec]
 *
 * N children, four at a time, which with `exec` execute the program anew.
 * Each allocates two blocks and frees one; each hundredth loses one more and
 * ends with status 3; each hundredth and fiftieth kills itself.  Prints a line
 * after each tenth of them.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define AT_ONCE 4

static NOINLINE void *site_kept(void)
{
	return memset(malloc(100), 0, 100);
}

static NOINLINE void site_freed(void)
{
	free(memset(malloc(40), 0, 40));
}

static NOINLINE void site_lost(void)
{
	memset(malloc(48), 0, 48);
}

static void *volatile kept;

static NOINLINE void live(unsigned i)
{
	kept = site_kept();
	site_freed();
	if (i % 100 == 99)
		site_lost();
	if (i % 100 == 49)
		raise(SIGKILL);
	_exit(i % 100 == 99 ? 3 : 0);
}

static void child(unsigned i, char *self, int executes)
{
	char number[16];

	if (!executes)
		live(i);
	snprintf(number, sizeof(number), "%u", i);
	execl(self, self, "one", number, (char *)NULL);
	_exit(127);
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 0, said = 0;

	if (argc == 3 && strcmp(argv[1], "one") == 0)
		live((unsigned)atoi(argv[2]));
	for (unsigned i = 0; i < n; i += AT_ONCE) {
		for (unsigned k = 0; k < AT_ONCE; k++) {
			pid_t pid = fork();
			if (pid < 0)
				return 2;
			if (pid == 0)
				child(i + k, argv[0], argc > 2);
		}
		for (int k = 0; k < AT_ONCE; k++)
			wait(NULL);
		if ((i + AT_ONCE) * 10ull / n > said) {
			char line[] = { (char)('0' + (int)(++said % 10)), '\n' };
			if (write(1, line, 2) != 2)
				return 2;
		}
	}
	return 0;
}
