/*
 * live.c - the blocks that are live: address -> size, site, thread, time.
 *
 * Called by the model for each heap event; the hottest data of the collector.
 *
 * A group is 16 slots.  Its control bytes hold EMPTY, DELETED or 7 bits of
 * the block's hash.  A probe starts at the home group and goes on to the next
 * until a group has an EMPTY slot.  A slot that is given up becomes EMPTY when
 * its group has another EMPTY one (then no probe went past it), else DELETED.
 *
 *   segment: control[16 n] | entry[16 n] (w0, w1) | extension[16 n]
 *   w0 = thread 8..23 (16) | address (48)     w1 = site (24) | size (40)
 *   extension = thread 0..7 (8) | t_ns (56)
 */
#include "model/live.h"

#include <emmintrin.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LIVE_SEGMENTS 64u
#define GROUP 16u
#define GROUP_BYTES (GROUP * 25u)
#define SPLIT_GROUPS 256u /* a single segment of this size is split in 64 */
#define EMPTY 0x80u
#define DELETED 0xfeu
#define ADDRESS_LIMIT (1ull << 48)
#define SIZE_LIMIT (1ull << 40)
#define SITE_LIMIT (1u << 24)
#define TIME_MASK ((1ull << 56) - 1)
#define HUGE_PAGE (2u << 20)

struct entry {
	uint64_t w0, w1;
};

static struct entry *entries_of(const struct live_segment *s)
{
	return (struct entry *)(void *)(s->control + (size_t)s->n_groups * GROUP);
}

static uint64_t *extensions_of(const struct live_segment *s)
{
	return (uint64_t *)(void *)(s->control + (size_t)s->n_groups * GROUP * 17);
}

static uint64_t hash_of(uint64_t address)
{
	uint64_t h = address * 0x9e3779b97f4a7c15ull;

	h ^= h >> 32;
	return h * 0xd6e8feb86659fd93ull;
}

static uint32_t home_of(const struct live_segment *s, uint64_t hash)
{
	return (uint32_t)((uint64_t)(uint32_t)(hash >> 26) * s->n_groups >> 32);
}

static uint8_t tag_of(uint64_t hash)
{
	return hash >> 19 & 0x7f;
}

static struct live_segment *segment_of(const struct live_table *t, uint64_t hash)
{
	return t->segments == &t->one ? t->segments : &t->segments[hash >> 58];
}

static uint32_t match(const uint8_t *control, uint8_t byte)
{
	__m128i group = _mm_load_si128((const __m128i *)(const void *)control);

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(group, _mm_set1_epi8((char)byte)));
}

static uint32_t match_free(const uint8_t *control)
{
	return (uint32_t)_mm_movemask_epi8(_mm_load_si128((const __m128i *)(const void *)control));
}

static bool segment_make(struct live_segment *s, uint32_t n_groups)
{
	size_t bytes = (size_t)n_groups * GROUP_BYTES;
	bool large = bytes >= 2 * HUGE_PAGE;
	size_t align = large ? HUGE_PAGE : 64;

	bytes = (bytes + align - 1) & ~(align - 1);
	uint8_t *memory = aligned_alloc(align, bytes);
	if (!memory)
		return false;
	if (large)
		madvise(memory, bytes, MADV_HUGEPAGE);
	memset(memory, EMPTY, (size_t)n_groups * GROUP);
	*s = (struct live_segment){ .control = memory, .n_groups = n_groups, .limit = n_groups * 64 / 5 };
	return true;
}

/* Slot of the address, or -1. */
static inline __attribute__((always_inline)) int64_t segment_find(const struct live_segment *s, uint64_t address, uint64_t hash)
{
	const struct entry *entry = entries_of(s);

	for (uint32_t g = home_of(s, hash);;) {
		const uint8_t *control = s->control + (size_t)g * GROUP;

		for (uint32_t m = match(control, tag_of(hash)); m; m &= m - 1) {
			size_t at = (size_t)g * GROUP + (unsigned)__builtin_ctz(m);

			if (entry[at].w0 << 16 == address << 16)
				return (int64_t)at;
		}
		if (match(control, EMPTY))
			return -1;
		g = g + 1 == s->n_groups ? 0 : g + 1;
	}
}

/* A free slot for an address that is known not to be there. */
static size_t segment_claim(struct live_segment *s, uint64_t hash)
{
	uint32_t g = home_of(s, hash);
	uint32_t m;

	while (!(m = match_free(s->control + (size_t)g * GROUP)))
		g = g + 1 == s->n_groups ? 0 : g + 1;
	size_t at = (size_t)g * GROUP + (unsigned)__builtin_ctz(m);
	if (s->control[at] == DELETED)
		s->n_deleted--;
	s->control[at] = tag_of(hash);
	s->n_used++;
	return at;
}

/* The same for an address that is not known to be absent, where the home group
 * alone tells: no byte of it is the tag, and no probe ever went past it.  False:
 * the long way. */
static inline bool claim_at_home(struct live_segment *s, uint64_t hash, size_t *ret_at)
{
	uint8_t *control = s->control + (size_t)home_of(s, hash) * GROUP;

	if (match(control, tag_of(hash)) || !match(control, EMPTY))
		return false;
	unsigned i = (unsigned)__builtin_ctz(match_free(control));
	if (control[i] == DELETED)
		s->n_deleted--;
	control[i] = tag_of(hash);
	s->n_used++;
	*ret_at = (size_t)(control - s->control) + i;
	return true;
}

/* Moves all of `from` into the segments of t (already made, with room). */
static void rehash(struct live_table *t, const struct live_segment *from)
{
	const struct entry *entry = entries_of(from);
	const uint64_t *extension = extensions_of(from);

	for (size_t i = 0; i < (size_t)from->n_groups * GROUP; i++) {
		if (from->control[i] & 0x80)
			continue;
		uint64_t hash = hash_of(entry[i].w0 & (ADDRESS_LIMIT - 1));
		struct live_segment *s = segment_of(t, hash);
		size_t at = segment_claim(s, hash);

		entries_of(s)[at] = entry[i];
		extensions_of(s)[at] = extension[i];
	}
	free(from->control);
}

/* How many of the blocks of s each of the 64 would get. */
static void count_shares(const struct live_segment *s, uint32_t share[LIVE_SEGMENTS])
{
	memset(share, 0, LIVE_SEGMENTS * sizeof(*share));
	for (size_t i = 0; i < (size_t)s->n_groups * GROUP; i++)
		if (!(s->control[i] & 0x80))
			share[hash_of(entries_of(s)[i].w0 & (ADDRESS_LIMIT - 1)) >> 58]++;
}

/* One segment becomes 64, each with room for twice its share. */
static int split(struct live_table *t)
{
	struct live_segment *segments = calloc(LIVE_SEGMENTS, sizeof(*segments));
	struct live_segment old = t->one;
	uint32_t share[LIVE_SEGMENTS], i = 0;

	if (!segments)
		return -ENOMEM;
	count_shares(&old, share);
	while (i < LIVE_SEGMENTS && segment_make(&segments[i], share[i] / 6 + 1))
		i++;
	if (i < LIVE_SEGMENTS) {
		while (i--)
			free(segments[i].control);
		free(segments);
		return -ENOMEM;
	}
	t->segments = segments;
	t->one = (struct live_segment){ 0 };
	rehash(t, &old);
	return 0;
}

/* Makes room in a full segment: by half more, or by cleaning when a third and
 * more of it is deleted slots. */
static int segment_grow(struct live_table *t, struct live_segment *s)
{
	struct live_segment old = *s;
	uint32_t n = old.n_groups;

	if (t->segments == &t->one && n >= SPLIT_GROUPS)
		return split(t);
	if (old.n_used > old.limit / 3 * 2)
		n = n < 8 ? n * 2 : n + n / 2;
	if (!segment_make(s, n)) {
		*s = old;
		return -ENOMEM;
	}
	rehash(t, &old);
	return 0;
}

static bool is_odd(const struct live_block *b)
{
	return b->address >= ADDRESS_LIMIT || b->size >= SIZE_LIMIT || b->site >= SITE_LIMIT;
}

static size_t odd_find(const struct live_table *t, uint64_t address)
{
	size_t i = 0;

	while (i < t->n_odd && t->odd[i].address != address)
		i++;
	return i;
}

static int odd_insert(struct live_table *t, const struct live_block *b)
{
	if (t->n_odd == t->odd_capacity) {
		size_t capacity = t->odd_capacity ? t->odd_capacity * 2 : 4;
		struct live_block *odd = realloc(t->odd, capacity * sizeof(*odd));

		if (!odd)
			return -ENOMEM;
		t->odd = odd;
		t->odd_capacity = capacity;
	}
	t->odd[t->n_odd++] = *b;
	t->n++;
	return 0;
}

void live_init(struct live_table *t)
{
	*t = (struct live_table){ 0 };
}

void live_done(struct live_table *t)
{
	for (uint32_t i = 0; t->segments && t->segments != &t->one && i < LIVE_SEGMENTS; i++)
		free(t->segments[i].control);
	if (t->segments != &t->one)
		free(t->segments);
	free(t->one.control);
	free(t->odd);
	live_init(t);
}

static int make_first(struct live_table *t)
{
	if (!segment_make(&t->one, 1))
		return -ENOMEM;
	t->segments = &t->one;
	return 0;
}

static void unpack(const struct live_segment *s, size_t at, struct live_block *ret)
{
	const struct entry *e = &entries_of(s)[at];
	uint64_t extension = extensions_of(s)[at];

	ret->address = e->w0 & (ADDRESS_LIMIT - 1);
	ret->size = e->w1 & (SIZE_LIMIT - 1);
	ret->site = (uint32_t)(e->w1 >> 40);
	ret->thread = (uint32_t)(e->w0 >> 48) << 8 | (uint32_t)(extension >> 56);
	ret->t_ns = extension & TIME_MASK;
}

static void pack(struct live_segment *s, size_t at, const struct live_block *b)
{
	uint32_t thread = b->thread & LIVE_THREAD_MASK;

	entries_of(s)[at] = (struct entry){
		.w0 = (uint64_t)(thread >> 8) << 48 | b->address,
		.w1 = (uint64_t)b->site << 40 | b->size,
	};
	extensions_of(s)[at] = (uint64_t)(thread & 0xff) << 56 | (b->t_ns & TIME_MASK);
}

/* All that is not the usual case. */
static __attribute__((noinline)) int insert_slowly(struct live_table *t, const struct live_block *b, uint64_t hash)
{
	struct live_segment *s;
	int r;

	if (t->n_odd && odd_find(t, b->address) < t->n_odd)
		return -EEXIST;
	if (!t->segments && (r = make_first(t)) < 0)
		return r;
	s = segment_of(t, hash);
	if (b->address < ADDRESS_LIMIT && segment_find(s, b->address, hash) >= 0)
		return -EEXIST;
	if (is_odd(b))
		return odd_insert(t, b);
	if (s->n_used + s->n_deleted >= s->limit) {
		r = segment_grow(t, s);
		if (r < 0)
			return r;
		s = segment_of(t, hash);
	}
	pack(s, segment_claim(s, hash), b);
	t->n++;
	return 0;
}

int live_insert(struct live_table *t, const struct live_block *b)
{
	uint64_t hash = hash_of(b->address);
	size_t at;

	if (__builtin_expect(t->n_odd || !t->segments || is_odd(b), 0))
		return insert_slowly(t, b, hash);
	struct live_segment *s = segment_of(t, hash);
	if (__builtin_expect(s->n_used + s->n_deleted >= s->limit || !claim_at_home(s, hash, &at), 0))
		return insert_slowly(t, b, hash);
	pack(s, at, b);
	t->n++;
	return 0;
}

bool live_find(const struct live_table *t, uint64_t address, struct live_block *ret)
{
	uint64_t hash = hash_of(address);
	int64_t at = -1;

	if (t->segments && address < ADDRESS_LIMIT)
		at = segment_find(segment_of(t, hash), address, hash);
	if (at >= 0) {
		unpack(segment_of(t, hash), (size_t)at, ret);
		return true;
	}
	size_t odd = odd_find(t, address);
	if (odd == t->n_odd)
		return false;
	*ret = t->odd[odd];
	return true;
}

void live_ahead_far(const struct live_table *t, uint64_t address)
{
	uint64_t hash = hash_of(address);

	if (t->segments) {
		const struct live_segment *s = segment_of(t, hash);

		__builtin_prefetch(s->control + (size_t)home_of(s, hash) * GROUP);
	}
}

void live_ahead_near(const struct live_table *t, uint64_t address)
{
	uint64_t hash = hash_of(address);

	if (t->segments) {
		const struct live_segment *s = segment_of(t, hash);
		size_t at = (size_t)home_of(s, hash) * GROUP;
		uint32_t m = match(s->control + at, tag_of(hash));

		if (!m) /* it is going to be inserted */
			m = match_free(s->control + at) | 1u << 15;
		at += (unsigned)__builtin_ctz(m);
		__builtin_prefetch(&entries_of(s)[at]);
		__builtin_prefetch(&extensions_of(s)[at]);
	}
}

static bool odd_take(struct live_table *t, uint64_t address, struct live_block *ret)
{
	size_t odd = odd_find(t, address);

	if (odd == t->n_odd)
		return false;
	*ret = t->odd[odd];
	t->odd[odd] = t->odd[--t->n_odd];
	t->n--;
	return true;
}

bool live_take(struct live_table *t, uint64_t address, struct live_block *ret)
{
	uint64_t hash = hash_of(address);
	struct live_segment *s;
	int64_t at;

	if (!t->segments || address >= ADDRESS_LIMIT)
		return odd_take(t, address, ret);
	s = segment_of(t, hash);
	at = segment_find(s, address, hash);
	if (at < 0)
		return odd_take(t, address, ret);
	unpack(s, (size_t)at, ret);
	bool open = match(s->control + ((size_t)at & ~(size_t)(GROUP - 1)), EMPTY);
	s->control[at] = open ? EMPTY : DELETED;
	s->n_deleted += !open;
	s->n_used--;
	t->n--;
	return true;
}

static uint32_t n_segments(const struct live_table *t)
{
	return !t->segments ? 0 : t->segments == &t->one ? 1 : LIVE_SEGMENTS;
}

void live_each(const struct live_table *t, void (*fn)(void *arg, const struct live_block *b), void *arg)
{
	struct live_block b;

	for (uint32_t i = 0; i < n_segments(t); i++) {
		const struct live_segment *s = &t->segments[i];

		for (size_t at = 0; at < (size_t)s->n_groups * GROUP; at++) {
			if (s->control[at] & 0x80)
				continue;
			unpack(s, at, &b);
			fn(arg, &b);
		}
	}
	for (size_t i = 0; i < t->n_odd; i++)
		fn(arg, &t->odd[i]);
}

size_t live_memory(const struct live_table *t)
{
	size_t bytes = t->odd_capacity * sizeof(*t->odd);

	for (uint32_t i = 0; i < n_segments(t); i++)
		bytes += sizeof(struct live_segment) + (size_t)t->segments[i].n_groups * GROUP_BYTES;
	return bytes;
}

static bool segment_is_valid(const struct live_segment *s)
{
	uint32_t n_used = 0, n_deleted = 0;

	for (size_t at = 0; at < (size_t)s->n_groups * GROUP; at++) {
		uint64_t address = entries_of(s)[at].w0 & (ADDRESS_LIMIT - 1);

		n_deleted += s->control[at] == DELETED;
		if (s->control[at] & 0x80)
			continue;
		n_used++;
		if (segment_find(s, address, hash_of(address)) != (int64_t)at)
			return false;
	}
	return n_used == s->n_used && n_deleted == s->n_deleted && n_used + n_deleted <= s->limit;
}

bool live_is_valid(const struct live_table *t)
{
	uint64_t n = t->n_odd;

	for (uint32_t i = 0; i < n_segments(t); i++) {
		if (!segment_is_valid(&t->segments[i]))
			return false;
		n += t->segments[i].n_used;
	}
	return n == t->n;
}
