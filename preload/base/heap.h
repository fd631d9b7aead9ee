/*
 * heap.h - memory of our own, which is not the target's.
 *
 * A static pool serves first; jemalloc, sealed (no symbol of it is visible,
 * nothing it calls passes our wrappers), is woken only when the pool runs
 * out, because waking costs 0.2 ms.  Never call this from a signal-safe path
 * (emit, unwind, stack): they have their own lock-free tables.
 *
 * Every function may return NULL: the pool is used up and jemalloc could not
 * start (tight address space), or this is a forked child whose parent was
 * inside jemalloc in another thread at that moment (nothing of ours is locked
 * over a fork: a fork of the target never waits for us).  Callers must go on
 * without.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>

void *heap_alloc(size_t bytes); /* 16-byte aligned */
void *heap_realloc(void *p, size_t bytes);
void heap_free(void *p);        /* NULL is fine */

/* Bytes that the private heap holds now (mms_process.self_bytes). */
size_t heap_bytes(void);

#endif
