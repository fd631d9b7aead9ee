/*
 * seal.h - between heap.c, the sealed jemalloc and what it believes to be libc.
 */
#ifndef BASE_SEAL_H
#define BASE_SEAL_H

#include <stddef.h>

/* jemalloc, under the names that seal.syms gives it. */
void *sealed_malloc(size_t bytes);
void *sealed_realloc(void *p, size_t bytes);
void sealed_free(void *p);
extern const char *sealed_malloc_conf;

size_t sealed_mapped(void);        /* seal.c: bytes that jemalloc holds from the kernel */
_Noreturn void heap_escape(void);  /* heap.c: out of a jemalloc that gave up */

#endif
