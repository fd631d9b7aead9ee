/*
 * heap.c - the private heap: a static pool, then jemalloc.
 *
 * The pool hands out power-of-two blocks up to 4 KiB; freed ones go to one
 * lock-free list a size (an offset with a tag in one word, so that a block
 * that left and came back is noticed).  jemalloc is woken by the first
 * request that the pool cannot serve.
 *
 * Fork.  No lock is taken around a fork.  A counter tells how many threads
 * are inside jemalloc; a child that finds it non-zero (the page with the
 * mark was wiped by the fork) cannot know in what state those threads left
 * the heap and never enters it again: its requests get NULL, its frees are
 * leaks.  Errors of jemalloc itself end the same way.
 *
 * May not be called from signal-safe paths.  Called by mirror/ and wrap/.
 */
#include "heap.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "own.h"
#include "seal.h"
#include "sys.h"

#define POOL_BYTES (48u << 10)
#define POOL_LARGEST 4096u
#define N_CLASSES 9 /* 16, 32, ... 4096 */
#define HEAD 16u    /* before each pool block: its class */

/* jemalloc dereferences NULL when one of its first mappings fails. */
#define PREFLIGHT_BYTES (24u << 20)

const char *sealed_malloc_conf = "narenas:1,tcache:false,background_thread:false,thp:never,"
				 "metadata_thp:disabled,percpu_arena:disabled,abort:false,"
				 "abort_conf:false,dirty_decay_ms:1000,muzzy_decay_ms:0";

static unsigned char pool[POOL_BYTES] __attribute__((aligned(4096)));
static _Atomic uint32_t pool_used;
static _Atomic uint64_t pool_list[N_CLASSES]; /* tag:32 | offset of the first free block:32 */

enum { ASLEEP, WAKING, AWAKE, CLOSED };
static _Atomic int state;
static _Atomic uint32_t n_inside;
static _Atomic uint32_t *fork_mark; /* in a page that fork wipes; 1 while we are who we were */
static __thread void *escape[5] __attribute__((tls_model("initial-exec")));

/* ---- pool ---- */

static unsigned class_of(size_t bytes)
{
	return bytes <= 16 ? 0 : (unsigned)(60 - __builtin_clzl(bytes - 1));
}

static bool in_pool(const void *p)
{
	return (uintptr_t)p - (uintptr_t)pool < POOL_BYTES;
}

static uint32_t *link_of(uint32_t offset)
{
	return (uint32_t *)(void *)(pool + offset);
}

static void *pool_reuse(unsigned class)
{
	uint64_t head = atomic_load(&pool_list[class]);
	while ((uint32_t)head) {
		uint32_t next = *(volatile uint32_t *)link_of((uint32_t)head);
		uint64_t fresh = ((head >> 32) + 1) << 32 | next;
		if (atomic_compare_exchange_weak(&pool_list[class], &head, fresh))
			return pool + (uint32_t)head;
	}
	return NULL;
}

static void *pool_alloc(size_t bytes)
{
	if (bytes > POOL_LARGEST)
		return NULL;
	unsigned class = class_of(bytes);
	void *p = pool_reuse(class);
	if (p)
		return p;
	uint32_t span = HEAD + (16u << class);
	uint32_t at = atomic_load(&pool_used);
	do {
		if (POOL_BYTES - at < span)
			return NULL;
	} while (!atomic_compare_exchange_weak(&pool_used, &at, at + span));
	*link_of(at) = class;
	return pool + at + HEAD;
}

static size_t pool_size(const void *p)
{
	return (size_t)16 << *link_of((uint32_t)((const unsigned char *)p - pool) - HEAD);
}

static void pool_free(void *p)
{
	uint32_t offset = (uint32_t)((unsigned char *)p - pool);
	uint32_t class = *link_of(offset - HEAD);
	uint64_t head = atomic_load(&pool_list[class]);
	do
		*(volatile uint32_t *)link_of(offset) = (uint32_t)head;
	while (!atomic_compare_exchange_weak(
		&pool_list[class], &head, ((head >> 32) + 1) << 32 | offset));
}

/* ---- jemalloc ---- */

static bool make_fork_mark(void)
{
	long page = own_map(4096, PROT_READ | PROT_WRITE, 0);
	if (mms_is_error(page))
		return false;
	if (mms_madvise((void *)page, 4096, MADV_WIPEONFORK) < 0) {
		own_unmap((void *)page, 4096);
		return false;
	}
	fork_mark = (_Atomic uint32_t *)page;
	atomic_store(fork_mark, 1);
	return true;
}

static bool room_to_wake(void)
{
	long at = mms_mmap(NULL, PREFLIGHT_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mms_is_error(at))
		return false;
	mms_munmap((void *)at, PREFLIGHT_BYTES);
	return true;
}

_Noreturn void heap_escape(void)
{
	atomic_store(&state, CLOSED);
	__builtin_longjmp(escape, 1);
}

/* One call into jemalloc.  Its own function: __builtin_longjmp must land in
 * another frame than the one it leaves from, with nothing held in registers. */
static __attribute__((noinline)) void *call(void *p, size_t bytes, bool release)
{
	void *volatile result = NULL;
	atomic_fetch_add(&n_inside, 1);
	if (__builtin_setjmp(escape) == 0) {
		if (release)
			sealed_free(p);
		else
			result = p ? sealed_realloc(p, bytes) : sealed_malloc(bytes);
	}
	atomic_fetch_sub(&n_inside, 1);
	return result;
}

static bool wake(void)
{
	int expected = ASLEEP;
	if (!atomic_compare_exchange_strong(&state, &expected, WAKING))
		return false;
	void *first = room_to_wake() && make_fork_mark() ? call(NULL, 16, false) : NULL;
	if (first)
		call(first, 0, true);
	expected = WAKING;
	atomic_compare_exchange_strong(&state, &expected, first ? AWAKE : CLOSED);
	return first != NULL;
}

/* A child of fork: was somebody else inside? */
static bool same_after_fork(void)
{
	uint32_t wiped = 0;
	if (atomic_load(fork_mark) == 0) {
		bool foul = atomic_load(&n_inside) != 0;
		if (atomic_compare_exchange_strong(fork_mark, &wiped, 1) && foul)
			atomic_store(&state, CLOSED);
	}
	return atomic_load(&state) == AWAKE;
}

static bool may_enter(void)
{
	int now = atomic_load(&state);
	if (now == ASLEEP)
		return wake();
	return now == AWAKE && same_after_fork();
}

/* jemalloc aligns what is smaller than 16 bytes to 8 only. */
static size_t at_least(size_t bytes)
{
	return bytes < 16 ? 16 : bytes;
}

/* ---- what the others see ---- */

void *heap_alloc(size_t bytes)
{
	void *p = pool_alloc(bytes);
	if (!p && may_enter())
		p = call(NULL, at_least(bytes), false);
	return p;
}

void heap_free(void *p)
{
	if (!p)
		return;
	if (in_pool(p))
		pool_free(p);
	else if (may_enter())
		call(p, 0, true);
}

void *heap_realloc(void *p, size_t bytes)
{
	if (!p)
		return heap_alloc(bytes);
	if (!in_pool(p))
		return may_enter() ? call(p, at_least(bytes), false) : NULL;
	if (bytes <= pool_size(p))
		return p;
	void *fresh = heap_alloc(bytes);
	if (!fresh)
		return NULL;
	__builtin_memcpy(fresh, p, pool_size(p));
	pool_free(p);
	return fresh;
}

size_t heap_bytes(void)
{
	return POOL_BYTES + sealed_mapped();
}
