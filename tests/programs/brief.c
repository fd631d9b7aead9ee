/*
 * brief.c - a program that starts short threads for months, in minutes.
 *
 *	brief N
 *
 * N threads, eight at a time.  Each allocates and frees; each thousandth loses
 * a block.  Prints a line after each tenth of them.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))
#define AT_ONCE 8
#define LOSES 1000

static NOINLINE void site_lost(void)
{
	memset(malloc(48), 0, 48);
}

static NOINLINE void site_freed(void)
{
	free(memset(malloc(100), 0, 100));
}

/* What was left of pointers in dead stack and in registers. */
static NOINLINE void scrub(void)
{
	volatile char room[4096];

	memset((char *)room, 0, sizeof(room));
}

static void *brief(void *arg)
{
	if ((uintptr_t)arg % LOSES == LOSES - 1)
		site_lost();
	site_freed();
	return NULL;
}

int main(int argc, char **argv)
{
	uintptr_t n = argc == 2 ? strtoul(argv[1], NULL, 10) : 0, said = 0;
	pthread_t t[AT_ONCE];

	for (uintptr_t i = 0; i < n; i += AT_ONCE) {
		for (uintptr_t k = 0; k < AT_ONCE; k++)
			if (pthread_create(&t[k], NULL, brief, (void *)(i + k)))
				return 2;
		for (int k = 0; k < AT_ONCE; k++)
			pthread_join(t[k], NULL);
		if ((i + AT_ONCE) * 10 / n > said) {
			printf("%lu\n", (unsigned long)++said);
			fflush(stdout);
		}
	}
	memset(t, 0, sizeof(t));
	scrub();
	return 0;
}
