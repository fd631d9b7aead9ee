/*
 * fixed_heap.c - base/heap.h for tests that compare address spaces: blocks
 * from a static array, in size classes, so that book-keeping never maps.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"

#define POOL_BYTES (64u << 20)

struct block {
	struct block *next; /* while free; its class while in use */
};

static _Alignas(16) uint8_t pool[POOL_BYTES];
static size_t used;
static struct block *free_blocks[32];

static unsigned class_of(size_t size)
{
	unsigned c = 4;

	while ((size_t)1 << c < size + 16)
		c++;
	return c;
}

void *heap_alloc(size_t size)
{
	unsigned c = class_of(size);
	struct block *b = free_blocks[c];

	if (b != NULL) {
		free_blocks[c] = b->next;
	} else {
		if (used + ((size_t)1 << c) > POOL_BYTES)
			return NULL;
		b = (struct block *)(void *)&pool[used];
		used += (size_t)1 << c;
	}
	b->next = (struct block *)(uintptr_t)c;
	return (uint8_t *)b + 16;
}

void heap_free(void *p)
{
	if (p == NULL)
		return;
	struct block *b = (struct block *)(void *)((uint8_t *)p - 16);
	unsigned c = (unsigned)(uintptr_t)b->next;

	b->next = free_blocks[c];
	free_blocks[c] = b;
}

void *heap_realloc(void *p, size_t size)
{
	void *bigger = heap_alloc(size);

	if (bigger == NULL || p == NULL)
		return bigger;
	unsigned c = (unsigned)(uintptr_t)((struct block *)(void *)((uint8_t *)p - 16))->next;
	size_t old = ((size_t)1 << c) - 16;

	memcpy(bigger, p, old < size ? old : size);
	heap_free(p);
	return bigger;
}
