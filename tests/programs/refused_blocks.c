/*
 * refused_blocks.c - asks every function that gives blocks for what it cannot
 * give, and prints how often it was refused and what it holds at the end.
 *
 *	refused_blocks ROUNDS
 */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	volatile size_t much = (size_t)1 << 62, too_much = SIZE_MAX;
	int rounds = argc > 1 ? atoi(argv[1]) : 1;
	long refused = 0;
	void *volatile held = malloc(1000);

	for (int i = 0; i < rounds; i++) {
		void *p = NULL;
		refused += malloc(much) == NULL;
		refused += malloc(too_much) == NULL;
		refused += calloc(1, much) == NULL;
		refused += calloc(too_much, 2) == NULL;
		refused += realloc(NULL, much) == NULL;
		refused += realloc(held, much) == NULL;
		refused += realloc(held, too_much) == NULL;
		refused += reallocarray(held, much, 1) == NULL;
		refused += reallocarray(held, too_much, 2) == NULL;
		refused += posix_memalign(&p, 64, much) != 0;
		refused += memalign(64, much) == NULL;
		refused += aligned_alloc(64, much) == NULL;
		refused += valloc(much) == NULL;
		refused += pvalloc(much) == NULL;
	}
	printf("%ld 1000\n", refused);
	fflush(stdout);
	_Exit(held == NULL);
}
