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

#include "capture/canonical.h"
#include "capture/stack_same.h"
#include "capture/stack_table.h"

#define NESTED_DEPTH 2048u /* frames of a walk inside a walk: a handler's stack */
#define SMALL_DEPTH 96     /* frames of a walk beyond them, or of a thread without state */
/* Logarithms of numbers of entries of 8 bytes. */
#define CACHE_FIRST 9u  /* one page */
#define CACHE_USUAL 12u
#define CACHE_LAST 16u  /* of the first thread that has more to do */
#define CACHE_LOG 31u   /* bits of struct stack_thread's cache that hold one */

#define LEVELS STACK_LEVELS

static size_t part_cache(void) { return sizeof(uint64_t) << CACHE_USUAL; }

/* Frames of a walk on each level. */
static size_t level_depth(unsigned level)
{
	return level ? NESTED_DEPTH : MMS_STACK_MAX_DEPTH;
}

/* The thread's own part and the unwinder's begin on the same page: a forked
 * child copies each page that it writes. */
static size_t part_unwind(void)
{
	return (STACK_HEAD_BYTES + unwind_thread_bytes() + 4095) & ~(size_t)4095;
}

size_t stack_thread_bytes(void)
{
	return part_unwind() + part_cache() + (level_depth(0) + level_depth(1)) * sizeof(unwind_frame);
}

struct stack_thread *stack_thread_init(void *mem, uintptr_t stack_low, uintptr_t stack_high)
{
	struct stack_thread *t = mem;
	char *at = (char *)mem + part_unwind();

	atomic_store(&t->cache, (uintptr_t)at | CACHE_FIRST);
	at += part_cache();
	for (unsigned i = 0; i < LEVELS; i++) {
		t->frames[i] = (unwind_frame *)(void *)at;
		at += level_depth(i) * sizeof(unwind_frame);
	}
	unwind_thread_init(stack_unwind(t), stack_low, stack_high);
	return t;
}

static uint64_t hash_frames(uint32_t context, const unwind_frame *frames, size_t n)
{
	uint64_t h = mms_stack_hash(0, context);
	uint32_t hint = 0;

	while (n > 0)
		h = mms_stack_hash(h, canonical_key(context, frames[--n], &hint));
	return h;
}

/* Every node from the root inward, found or made. */
static uint32_t insert_chain(const struct mms_session *s, uint32_t context, const unwind_frame *frames,
	size_t n)
{
	uint32_t id = stack_table_root(s, context), hint = 0;
	uint64_t h = mms_stack_hash(0, context);

	while (id && n > 0) {
		uint64_t key = canonical_key(context, frames[--n], &hint);
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
	context = canonical_root_of(context, frames, n);
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

/* The level for a walk from fp, LEVELS when all are taken.  Levels are taken
 * in order; one whose frame is not above ours was left for good. */
static __attribute__((noinline)) unsigned take_any_level(struct stack_thread *t, uintptr_t fp, uint32_t *ret_ticket)
{
	unsigned n = LEVELS;

	while (n > 0 && stack_busy(&t->level[n - 1]) <= fp)
		n--;
	if (n == LEVELS)
		return n;
	for (unsigned i = n + 1; i < LEVELS; i++)
		atomic_store_explicit(&t->level[i].busy, 0, memory_order_relaxed);
	if (!n && stack_busy(&t->level[0]) != 0)
		unwind_abandoned(stack_unwind(t));
	*ret_ticket = stack_mark_level(&t->level[n], fp);
	return n;
}

/* The same, where no walk is under way, as a rule. */
static inline unsigned take_level(struct stack_thread *t, uintptr_t fp, uint32_t *ret_ticket)
{
	if (__builtin_expect(stack_is_busy(t), 0))
		return take_any_level(t, fp, ret_ticket);
	*ret_ticket = stack_mark_level(&t->level[0], fp);
	return 0;
}

/* hash:40 | id:24 */
static _Atomic uint64_t *cache_entry(struct stack_thread *t, uint64_t hash)
{
	uintptr_t cache = atomic_load_explicit(&t->cache, memory_order_relaxed);
	_Atomic uint64_t *entries = (_Atomic uint64_t *)(cache & ~(uintptr_t)CACHE_LOG);

	return &entries[hash & (((uint64_t)1 << (cache & CACHE_LOG)) - 1)];
}

/* 0: the thread has not seen the stack lately. */
static uint32_t cached(struct stack_thread *t, uint64_t hash)
{
	uint64_t known = atomic_load_explicit(cache_entry(t, hash), memory_order_relaxed);

	return known >> 24 == hash >> 24 ? (uint32_t)known & MMS_STACK_MASK : 0;
}

/* Half a MiB is too much for more than one thread of a process: who asks first
 * gets it.  NULL: it is taken. */
static void *large_cache(void)
{
	static _Atomic uint64_t entries[1u << CACHE_LAST] __attribute__((aligned(4096)));
	static _Atomic bool taken;

	return atomic_load_explicit(&taken, memory_order_relaxed) ||
			atomic_exchange_explicit(&taken, true, memory_order_relaxed)
		? NULL
		: (void *)entries;
}

/* Twice as many entries, if there is room. */
static void cache_grow(struct stack_thread *t)
{
	uintptr_t cache = atomic_load_explicit(&t->cache, memory_order_relaxed);

	if ((cache & CACHE_LOG) == CACHE_USUAL) {
		uintptr_t large = (uintptr_t)large_cache();
		if (!large)
			return;
		cache = large | CACHE_USUAL;
	}
	atomic_store_explicit(&t->cache, cache + 1, memory_order_relaxed);
}

/* One more miss.  The cache grows with the number of stacks that a thread
 * really uses, because each page of it is copied by a fork.  Called when no
 * other walk can have been in between: a hash and an id that do not belong
 * together would stay. */
static void cache_missed(struct stack_thread *t, uint64_t hash, uint32_t id)
{
	_Atomic uint64_t *entry = cache_entry(t, hash);

	uint32_t log = atomic_load_explicit(&t->cache, memory_order_relaxed) & CACHE_LOG;
	if (++t->cache_misses >= 1u << log && log < CACHE_LAST) {
		cache_grow(t);
		t->cache_misses = 0;
	}
	if (id)
		atomic_store_explicit(entry, (hash & ~(uint64_t)MMS_STACK_MASK) | id, memory_order_relaxed);
}

/* The id of a stack that is not in the cache. */
static uint32_t look_up(const struct mms_session *s, uint32_t context, const unwind_frame *frames,
	size_t n, uint64_t hash)
{
	uint32_t id = 0, hint = 0;

	if (n > 1)
		id = stack_table_find(s, (struct stack_key){ canonical_key(context, frames[0], &hint), hash },
			(struct stack_key){ canonical_key(context, frames[1], &hint), hash_frames(context, frames + 1, n - 1) });
	return id ? id : stack_intern(s, context, frames, n);
}

/* A walk under way, by which what it found may be noted. */
struct hold {
	struct stack_level *level;
	uint32_t ticket;
};

static void note_id(struct join_frame *f, uint32_t id, const struct hold *hold)
{
	if (stack_holds_level(hold->level, hold->ticket))
		f->mark = (f->mark & ~(uint32_t)MMS_STACK_MASK) | id;
}

/* Frame i of a joined stack as the table knows it, or the root before it. */
static struct stack_key joined_key(uint32_t context, const struct join_frame *frame, size_t i, uint32_t *hint)
{
	return i ? (struct stack_key){ canonical_key(context, frame[i - 1].key, hint), frame[i - 1].hash } : stack_root_key(context);
}

/* The same for a joined stack, whose frames carry their hashes and perhaps
 * ids: outward to the first frame that is known, then inward.  The hash goes
 * along with the keys as they are read: what is inserted is right in itself
 * even when another walk has meanwhile written to the stack. */
static uint32_t insert_joined(const struct mms_session *s, uint32_t context, struct joined j, const struct hold *hold)
{
	size_t i = j.n;
	uint64_t hash = 0;
	uint32_t id = 0, hint = 0;

	for (; i > 0 && !id; i--) {
		struct stack_key node = joined_key(context, j.frame, i, &hint);
		hash = node.hash;
		id = stack_table_is(s, join_id(&j.frame[i - 1]), node);
		if (!id)
			id = stack_table_find(s, node, joined_key(context, j.frame, i - 1, &hint));
	}
	if (!id) {
		id = stack_table_root(s, context);
		hash = mms_stack_hash(0, context);
	} else {
		i++;
	}
	for (; id && i < j.n; i++) {
		uint64_t key = canonical_key(context, j.frame[i].key, &hint);
		hash = mms_stack_hash(hash, key);
		id = stack_table_insert(s, (struct stack_key){ key, hash }, id);
		note_id(&j.frame[i], id, hold);
	}
	return id;
}

/* Calls insert_joined until there is room, or gives up. */
static uint32_t look_up_joined(const struct mms_session *s, uint32_t context, struct joined j, const struct hold *hold)
{
	uint32_t id;

	do
		id = insert_joined(s, context, j, hold);
	while (!id && stack_table_wait(s));
	if (!id)
		atomic_fetch_add_explicit(&s->header->lost_stacks, 1, memory_order_relaxed);
	return id;
}

/* Walks and looks up.  False: another walk had the level meanwhile, and what
 * it left behind may be part of the answer. */
static bool capture_plain(struct stack_thread *t, unsigned level, const struct hold *hold,
	const struct mms_session *s, uint32_t context, void *const *fp, uint32_t *ret_id)
{
	unwind_frame *frames = t->frames[level];
	size_t n = unwind_walk(level ? NULL : stack_unwind(t), fp, frames, level_depth(level));
	context = canonical_root_of(context, frames, n);
	uint64_t hash = hash_frames(context, frames, n);

	*ret_id = cached(t, hash);
	if (*ret_id)
		return stack_give_level(hold->level, hold->ticket);
	*ret_id = look_up(s, context, frames, n, hash);
	if (!stack_give_level(hold->level, hold->ticket))
		return false;
	cache_missed(t, hash, *ret_id);
	return true;
}

/* The same by a walk that joins the thread's former ones, where that can be. */
static bool capture_joined(struct stack_thread *t, const struct hold *hold, const struct mms_session *s,
	uint32_t context, void *const *fp, uint32_t *ret_id)
{
	struct joined j = unwind_joined(stack_unwind(t), fp, context);

	if (!j.n)
		return capture_plain(t, 0, hold, s, context, fp, ret_id);
	struct join_frame *top = &j.frame[j.n - 1];
	uint64_t hash = top->hash;
	*ret_id = join_id(top);
	if (*ret_id)
		return stack_give_level(hold->level, hold->ticket);
	*ret_id = cached(t, hash);
	if (*ret_id) {
		note_id(top, *ret_id, hold);
		return stack_give_level(hold->level, hold->ticket);
	}
	*ret_id = look_up_joined(s, context, j, hold);
	note_id(top, *ret_id, hold);
	if (!stack_give_level(hold->level, hold->ticket))
		return false;
	cache_missed(t, hash, *ret_id);
	return true;
}

uint32_t stack_capture(struct stack_thread *t, const struct mms_session *s, uint32_t context,
	void *const *fp)
{
	uint32_t id;

	for (;;) {
		struct hold hold;
		unsigned level = t ? take_level(t, (uintptr_t)fp, &hold.ticket) : LEVELS;
		if (level == LEVELS)
			return capture_small(s, context, fp);
		hold.level = &t->level[level];
		if (level ? capture_plain(t, level, &hold, s, context, fp, &id) :
			    capture_joined(t, &hold, s, context, fp, &id))
			return id;
		if (!level)
			unwind_forget(stack_unwind(t));
	}
}
