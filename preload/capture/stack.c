/*
 * stack.c - from a wrapper's frame to an interned stack id.
 *
 * Called by emit for every event that carries a stack.  A stack is walked
 * (unwind.h), hashed from its outermost frame inward, looked for in the
 * thread's own cache, then in the session's table; what is new is inserted.
 *
 * Law: no lock, no allocation, no system call (but stack_table_wait), errno
 * untouched.  A signal handler may come in at any line and allocate: it works
 * one level deeper, in a buffer of its own.  A handler may also never return
 * (siglongjmp): its level, or ours, is then found stale by the next call,
 * whose frame lies above it.  That is a judgement by addresses and wrong when
 * the handler runs on a stack of its own that lies above: therefore each walk
 * takes a ticket, and whoever finds another ticket at its end begins again.
 */
#include "stack.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "capture/stack_table.h"
#include "capture/unwind.h"
#include "capture/unwind_join.h"

#define LEVELS 2           /* walks that may be under way in one thread, with room of their own */
#define NESTED_DEPTH 2048u /* frames of a walk inside a walk: a handler's stack */
#define SMALL_DEPTH 96     /* frames of a walk beyond them, or of a thread without state */
#define CACHE_FIRST 512u   /* entries of 8 bytes: one page */
#define CACHE_LAST 4096u

struct stack_level {
	/* Atomic against signal handlers of the same thread only. */
	_Atomic uintptr_t busy;  /* the wrapper's frame while a walk is under way */
	_Atomic uint32_t ticket; /* of the walk that had the level last */
};

struct stack_thread {
	struct stack_level level[LEVELS];
	uint32_t cache_mask;
	uint32_t cache_misses; /* since the cache last grew */
	struct unwind_thread *unwind;
	_Atomic uint64_t *cache;      /* hash:40 | id:24, at hash & cache_mask */
	unwind_frame *frames[LEVELS]; /* level_depth() each */
};

#define HEAD_BYTES 128u
_Static_assert(sizeof(struct stack_thread) <= HEAD_BYTES, "head of a thread's memory");

static size_t part_cache(void) { return CACHE_LAST * sizeof(uint64_t); }

/* Frames of a walk on each level. */
static size_t level_depth(unsigned level)
{
	return level ? NESTED_DEPTH : MMS_STACK_MAX_DEPTH;
}

/* The thread's own part and the unwinder's begin on the same page: a forked
 * child copies each page that it writes. */
static size_t part_unwind(void)
{
	return (HEAD_BYTES + unwind_thread_bytes() + 4095) & ~(size_t)4095;
}

size_t stack_thread_bytes(void)
{
	return part_unwind() + part_cache() + (level_depth(0) + level_depth(1)) * sizeof(unwind_frame);
}

struct stack_thread *stack_thread_init(void *mem, uintptr_t stack_low, uintptr_t stack_high)
{
	struct stack_thread *t = mem;
	char *at = (char *)mem + part_unwind();

	t->cache_mask = CACHE_FIRST - 1;
	t->cache = (_Atomic uint64_t *)(void *)at;
	at += part_cache();
	for (unsigned i = 0; i < LEVELS; i++) {
		t->frames[i] = (unwind_frame *)(void *)at;
		at += level_depth(i) * sizeof(unwind_frame);
	}
	t->unwind = (struct unwind_thread *)(void *)((char *)mem + HEAD_BYTES);
	unwind_thread_init(t->unwind, stack_low, stack_high);
	return t;
}

static uint64_t hash_frames(uint32_t context, const unwind_frame *frames, size_t n)
{
	uint64_t h = mms_stack_hash(0, context);

	while (n > 0)
		h = mms_stack_hash(h, frames[--n]);
	return h;
}

/* Every node from the root inward, found or made. */
static uint32_t insert_chain(const struct mms_session *s, uint32_t context, const unwind_frame *frames,
	size_t n)
{
	uint32_t id = stack_table_root(s, context);
	uint64_t h = mms_stack_hash(0, context);

	while (id && n > 0) {
		uint64_t key = frames[--n];
		h = mms_stack_hash(h, key);
		id = stack_table_insert(s, (struct stack_key){ key, h }, id);
	}
	return id;
}

uint32_t stack_intern(const struct mms_session *s, uint32_t context, const uint64_t *frames, size_t n)
{
	uint32_t id;

	if (!n)
		return 0;
	do
		id = insert_chain(s, context, frames, n);
	while (!id && stack_table_wait(s));
	if (!id)
		atomic_fetch_add_explicit(&s->header->lost_stacks, 1, memory_order_relaxed);
	return id;
}

/* A thread without state, or too deep in handlers. */
static __attribute__((noinline)) uint32_t capture_small(const struct mms_session *s, uint32_t context,
	void *const *fp)
{
	unwind_frame frames[SMALL_DEPTH];

	return stack_intern(s, context, frames, unwind_walk(NULL, fp, frames, SMALL_DEPTH));
}

static uintptr_t busy(const struct stack_level *l)
{
	return atomic_load_explicit(&l->busy, memory_order_relaxed);
}

static void mark_level(struct stack_level *l, uintptr_t fp, uint32_t *ret_ticket)
{
	*ret_ticket = atomic_load_explicit(&l->ticket, memory_order_relaxed) + 1;
	atomic_store_explicit(&l->ticket, *ret_ticket, memory_order_relaxed);
	atomic_store_explicit(&l->busy, fp, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
}

/* The level for a walk from fp, LEVELS when all are taken.  Levels are taken
 * in order; one whose frame is not above ours was left for good. */
static __attribute__((noinline)) unsigned take_any_level(struct stack_thread *t, uintptr_t fp, uint32_t *ret_ticket)
{
	unsigned n = LEVELS;

	while (n > 0 && busy(&t->level[n - 1]) <= fp)
		n--;
	if (n == LEVELS)
		return n;
	for (unsigned i = n + 1; i < LEVELS; i++)
		atomic_store_explicit(&t->level[i].busy, 0, memory_order_relaxed);
	if (!n && busy(&t->level[0]) != 0)
		unwind_abandoned(t->unwind);
	mark_level(&t->level[n], fp, ret_ticket);
	return n;
}

/* The same, where no walk is under way, as a rule. */
static inline unsigned take_level(struct stack_thread *t, uintptr_t fp, uint32_t *ret_ticket)
{
	_Static_assert(LEVELS == 2, "both are looked at");
	if (__builtin_expect(busy(&t->level[0]) || busy(&t->level[1]), 0))
		return take_any_level(t, fp, ret_ticket);
	mark_level(&t->level[0], fp, ret_ticket);
	return 0;
}

/* False: another walk had the level meanwhile. */
static bool give_level(struct stack_level *l, uint32_t ticket)
{
	atomic_signal_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&l->ticket, memory_order_relaxed) != ticket)
		return false;
	atomic_store_explicit(&l->busy, 0, memory_order_relaxed);
	return true;
}

/* One more miss: the cache grows with the number of stacks that a thread
 * really uses, because each page of it is copied by a fork. */
static void cache_missed(struct stack_thread *t)
{
	if (++t->cache_misses > t->cache_mask && t->cache_mask + 1 < CACHE_LAST) {
		t->cache_mask = t->cache_mask * 2 + 1;
		t->cache_misses = 0;
	}
}

/* The id of a stack that is not in the cache. */
static uint32_t look_up(const struct mms_session *s, uint32_t context, const unwind_frame *frames,
	size_t n, uint64_t hash)
{
	uint32_t id = 0;

	if (n > 1)
		id = stack_table_find(s, (struct stack_key){ frames[0], hash },
			(struct stack_key){ frames[1], hash_frames(context, frames + 1, n - 1) });
	return id ? id : stack_intern(s, context, frames, n);
}

/* The same for a joined stack, whose frames carry their hashes: outward to the
 * first frame that is known, then inward.  The hash goes along with the keys as
 * they are read: what is inserted is right in itself even when another walk has
 * meanwhile written to the stack. */
static uint32_t insert_joined(const struct mms_session *s, uint32_t context, struct joined j)
{
	size_t i = j.n;
	uint64_t hash = 0;
	uint32_t id = 0;

	for (; i > 0 && !id; i--) {
		const struct join_frame *f = &j.frame[i - 1];
		hash = f->hash;
		id = stack_table_find(s, (struct stack_key){ f->key, hash },
			i > 1 ? (struct stack_key){ f[-1].key, f[-1].hash } : stack_root_key(context));
	}
	if (!id) {
		id = stack_table_root(s, context);
		hash = mms_stack_hash(0, context);
	} else {
		i++;
	}
	for (; id && i < j.n; i++) {
		uint64_t key = j.frame[i].key;
		hash = mms_stack_hash(hash, key);
		id = stack_table_insert(s, (struct stack_key){ key, hash }, id);
	}
	return id;
}

/* Calls insert_joined until there is room, or gives up. */
static uint32_t look_up_joined(const struct mms_session *s, uint32_t context, struct joined j)
{
	uint32_t id;

	do
		id = insert_joined(s, context, j);
	while (!id && stack_table_wait(s));
	if (!id)
		atomic_fetch_add_explicit(&s->header->lost_stacks, 1, memory_order_relaxed);
	return id;
}

/* Walks and looks up.  False: another walk had the level meanwhile, and what
 * it left behind may be part of the answer. */
static bool capture_at(struct stack_thread *t, unsigned level, uint32_t ticket,
	const struct mms_session *s, uint32_t context, void *const *fp, uint32_t *ret_id)
{
	struct joined j = { NULL, 0 };
	unwind_frame *frames = t->frames[level];
	size_t n = 0;

	if (!level)
		j = unwind_joined(t->unwind, fp, context);
	if (!j.n)
		n = unwind_walk(level ? NULL : t->unwind, fp, frames, level_depth(level));
	uint64_t hash = j.n ? j.frame[j.n - 1].hash : hash_frames(context, frames, n);
	_Atomic uint64_t *entry = &t->cache[hash & t->cache_mask];
	uint64_t known = atomic_load_explicit(entry, memory_order_relaxed);

	if (known >> 24 == hash >> 24) {
		*ret_id = (uint32_t)known & MMS_STACK_MASK;
		return give_level(&t->level[level], ticket);
	}
	*ret_id = j.n ? look_up_joined(s, context, j) : look_up(s, context, frames, n, hash);
	if (!give_level(&t->level[level], ticket))
		return false;
	cache_missed(t);
	/* Only now: a hash and an id that do not belong together would stay. */
	if (*ret_id)
		atomic_store_explicit(entry, (hash & ~(uint64_t)MMS_STACK_MASK) | *ret_id,
			memory_order_relaxed);
	return true;
}

uint32_t stack_capture(struct stack_thread *t, const struct mms_session *s, uint32_t context,
	void *const *fp)
{
	uint32_t ticket, id;

	for (;;) {
		unsigned level = t ? take_level(t, (uintptr_t)fp, &ticket) : LEVELS;
		if (level == LEVELS)
			return capture_small(s, context, fp);
		if (capture_at(t, level, ticket, s, context, fp, &id))
			return id;
		if (!level)
			unwind_forget(t->unwind);
	}
}
