/*
 * own_malloc.c - an executable that defines the malloc family itself, in an
 * arena of its own: what a preload cannot see and may not disturb.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char arena[4 << 20] __attribute__((aligned(16)));
static size_t used, n_calls;

void *malloc(size_t n)
{
	size_t *p = (size_t *)(void *)(arena + used);

	n_calls++;
	if (used + n + 32 > sizeof arena)
		return NULL;
	*p = n;
	used += (n + 31) & ~(size_t)15;
	return p + 2;
}

void free(void *p)
{
	(void)p;
}

void *calloc(size_t n, size_t size)
{
	return malloc(n * size); /* the arena is zero and never used twice */
}

void *realloc(void *p, size_t n)
{
	void *q = malloc(n);

	if (p && q) {
		size_t old = ((size_t *)p)[-2];
		memcpy(q, p, old < n ? old : n);
	}
	return q;
}

int main(void)
{
	char *p = malloc(10);

	strcpy(p, "mine");
	p = realloc(p, 100);
	printf("%s %d\n", p, n_calls >= 2 && p > arena && p < arena + sizeof arena);
	free(p);
	return 2;
}
