/*
 * heap.h - what the short way through the heap wrappers (heap_hot.c) leaves to
 * the long one (heap.c).
 *
 * Each stands in the place of a wrapper: it is jumped to, and its frame is the
 * wrapper's.
 */
#ifndef WRAP_HEAP_H
#define WRAP_HEAP_H

#include <stddef.h>
#include <stdint.h>

/* The countdown is spent, the real function was not called yet. */
void *heap_malloc_spent(size_t size);
void *heap_calloc_spent(size_t n, size_t each);

/* The real function had nothing.  These give NULL. */
void *heap_malloc_failed(size_t size);
void *heap_calloc_failed(size_t n, size_t each);
void *heap_realloc_failed(size_t size);

/* The filter may have the block, which is not NULL. */
void heap_free_found(void *p);

/* The countdown has been asked, and it is spent or the filter may have `old`. */
void *heap_realloc_found(void *old, size_t size);

/* What n things of a size take; all there is when that is no number. */
static inline size_t heap_product(size_t n, size_t each)
{
	size_t size;
	return __builtin_mul_overflow(n, each, &size) ? SIZE_MAX : size;
}

#endif
