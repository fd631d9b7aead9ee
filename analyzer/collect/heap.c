/*
 * heap.c - base/heap.h for the collector: preload/mirror is linked here too
 * and allocates by these names.  In the target they are the private heap; here
 * the collector's allocator serves.
 */
#include <stddef.h>
#include <stdlib.h>

void *heap_alloc(size_t bytes);
void *heap_realloc(void *p, size_t bytes);
void heap_free(void *p);

void *heap_alloc(size_t bytes) { return malloc(bytes); }
void *heap_realloc(void *p, size_t bytes) { return realloc(p, bytes); }
void heap_free(void *p) { free(p); }
