/*
 * live.c - the blocks that are live: address -> size, site, thread, time.
 *
 * Called by the model for each heap event; the hottest data of the collector.
 * live_group.h has its form and the two short ways.
 *
 * Memory of large segments comes from the kernel and goes back there when the
 * segment has grown: an allocator would keep it for a while, as much as a third
 * of the table.
 */
#include "model/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "model/live_group.h"

#define LIVE_SEGMENTS 64u
#define SPLIT_GROUPS 256u /* a single segment of this size is split in 64 */
#define MAPPED_BYTES (64u << 10) /* from here on segments are mapped */
#define HUGE_PAGE (2u << 20)

static size_t segment_bytes(uint32_t n_groups)
{
	size_t bytes = (size_t)n_groups * sizeof(struct live_group);

	return bytes < MAPPED_BYTES ? bytes : (bytes + 4095) & ~(size_t)4095;
}

static struct live_group *groups_new(uint32_t n_groups)
{
	size_t bytes = segment_bytes(n_groups);

	if (bytes < MAPPED_BYTES)
		return aligned_alloc(16, bytes);
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return NULL;
	if (bytes >= 2 * HUGE_PAGE)
		madvise(memory, bytes, MADV_HUGEPAGE);
	return memory;
}

static void groups_free(struct live_group *group, uint32_t n_groups)
{
	size_t bytes = segment_bytes(n_groups);

	if (bytes < MAPPED_BYTES)
		free(group);
	else
		munmap(group, bytes);
}

static bool segment_make(struct live_segment *s, uint32_t n_groups)
{
	struct live_group *group = groups_new(n_groups);

	if (!group)
		return false;
	for (uint32_t i = 0; i < n_groups; i++)
		memset(group[i].control, EMPTY, GROUP);
	*s = (struct live_segment){ .group = group, .n_groups = n_groups, .limit = (uint32_t)(n_groups * 272ull / 20) };
	return true;
}

static void segment_done(struct live_segment *s)
{
	if (s->group)
		groups_free(s->group, s->n_groups);
}

/* Group of the address, its slot in *ret; NULL: it is not there. */
static struct live_group *segment_find(const struct live_segment *s, uint64_t address, uint64_t hash, unsigned *ret)
{
	for (uint32_t g = home_of(s, hash);;) {
		struct live_group *group = &s->group[g];

		*ret = group_find(group, address, hash);
		if (*ret != GROUP)
			return group;
		if (match(group, EMPTY))
			return NULL;
		g = g + 1 == s->n_groups ? 0 : g + 1;
	}
}

/* A free slot for an address that is known not to be there. */
static struct live_group *segment_claim(struct live_segment *s, uint64_t hash, unsigned *ret)
{
	uint32_t g = home_of(s, hash);
	uint32_t m;

	while (!(m = match_free(&s->group[g])))
		g = g + 1 == s->n_groups ? 0 : g + 1;
	*ret = (unsigned)__builtin_ctz(m);
	slot_use(s, &s->group[g], *ret, hash);
	return &s->group[g];
}

/* Moves all of `from` into the segments of t (already made, with room). */
static void rehash(struct live_table *t, struct live_segment *from)
{
	for (uint32_t k = 0; k < from->n_groups; k++) {
		const struct live_group *g = &from->group[k];

		for (uint32_t m = match_free(g) ^ 0xffff; m; m &= m - 1) {
			unsigned i = (unsigned)__builtin_ctz(m), to;
			uint64_t hash = live_hash(g->entry[i].w0 & (ADDRESS_LIMIT - 1));
			struct live_group *group = segment_claim(segment_of(t, hash), hash, &to);

			group->entry[to] = g->entry[i];
			group->extension[to] = g->extension[i];
		}
	}
	segment_done(from);
}

/* How many of the blocks of s each of the 64 would get. */
static void count_shares(const struct live_segment *s, uint32_t share[LIVE_SEGMENTS])
{
	memset(share, 0, LIVE_SEGMENTS * sizeof(*share));
	for (uint32_t k = 0; k < s->n_groups; k++)
		for (uint32_t m = match_free(&s->group[k]) ^ 0xffff; m; m &= m - 1)
			share[live_hash(s->group[k].entry[__builtin_ctz(m)].w0 & (ADDRESS_LIMIT - 1)) >> 58]++;
}

/* Groups for so many blocks in the segment `at`: loads from 0.57 to 0.8, evenly,
 * so that each comes to its limit at another moment. */
static uint32_t groups_at_first(uint32_t share, uint32_t at)
{
	return (uint32_t)((uint64_t)share * (80 + at * 32 / LIVE_SEGMENTS) / 64 / GROUP) + 1;
}

/* One segment becomes 64. */
static int split(struct live_table *t)
{
	struct live_segment *segments = calloc(LIVE_SEGMENTS, sizeof(*segments));
	struct live_segment old = t->one;
	uint32_t share[LIVE_SEGMENTS], i = 0;

	if (!segments)
		return -ENOMEM;
	count_shares(&old, share);
	while (i < LIVE_SEGMENTS && segment_make(&segments[i], groups_at_first(share[i], i)))
		i++;
	if (i < LIVE_SEGMENTS) {
		while (i--)
			segment_done(&segments[i]);
		free(segments);
		return -ENOMEM;
	}
	t->segments = segments;
	t->segment_mask = LIVE_SEGMENTS - 1;
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
	for (uint32_t i = 0; t->segments && i <= t->segment_mask; i++)
		segment_done(&t->segments[i]);
	if (t->segments != &t->one)
		free(t->segments);
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

/* All that is not the usual case. */
static __attribute__((noinline)) int insert_slowly(struct live_table *t, const struct live_block *b)
{
	uint64_t hash = live_hash(b->address);
	struct live_segment *s;
	unsigned i;
	int r;

	if (t->n_odd && odd_find(t, b->address) < t->n_odd)
		return -EEXIST;
	if (!t->segments && (r = make_first(t)) < 0)
		return r;
	s = segment_of(t, hash);
	if (b->address < ADDRESS_LIMIT && segment_find(s, b->address, hash, &i))
		return -EEXIST;
	if (is_odd(b))
		return odd_insert(t, b);
	if (s->n_used + s->n_deleted >= s->limit) {
		r = segment_grow(t, s);
		if (r < 0)
			return r;
		s = segment_of(t, hash);
	}
	struct live_group *g = segment_claim(s, hash, &i);
	pack(g, i, b);
	t->n++;
	return 0;
}

int live_insert(struct live_table *t, const struct live_block *b)
{
	return live_insert_home(t, b) ? 0 : insert_slowly(t, b);
}

bool live_find(const struct live_table *t, uint64_t address, struct live_block *ret)
{
	uint64_t hash = live_hash(address);
	const struct live_group *g = NULL;
	unsigned i;

	if (t->segments && address < ADDRESS_LIMIT)
		g = segment_find(segment_of(t, hash), address, hash, &i);
	if (g) {
		unpack(g, i, ret);
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
	uint64_t hash = live_hash(address);

	if (t->segments) {
		const struct live_segment *s = segment_of(t, hash);

		__builtin_prefetch(&s->group[home_of(s, hash)]);
	}
}

void live_ahead_near(const struct live_table *t, uint64_t address)
{
	uint64_t hash = live_hash(address);

	if (t->segments) {
		const struct live_segment *s = segment_of(t, hash);
		const struct live_group *g = &s->group[home_of(s, hash)];
		uint32_t m = match(g, tag_of(hash));

		if (!m) /* it is going to be inserted */
			m = match_free(g) | 1u << 15;
		unsigned i = (unsigned)__builtin_ctz(m);
		__builtin_prefetch(&g->entry[i]);
		__builtin_prefetch(&g->extension[i]);
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
	uint64_t hash = live_hash(address);
	struct live_segment *s;
	struct live_group *g;
	unsigned i;

	if (!t->segments || address >= ADDRESS_LIMIT)
		return odd_take(t, address, ret);
	s = segment_of(t, hash);
	g = segment_find(s, address, hash, &i);
	if (!g)
		return odd_take(t, address, ret);
	unpack(g, i, ret);
	slot_give_up(s, g, i);
	t->n--;
	return true;
}

static uint32_t n_segments(const struct live_table *t)
{
	return t->segments ? t->segment_mask + 1 : 0;
}

void live_each(const struct live_table *t, void (*fn)(void *arg, const struct live_block *b), void *arg)
{
	struct live_block b;

	for (uint32_t i = 0; i < n_segments(t); i++) {
		const struct live_segment *s = &t->segments[i];

		for (uint32_t k = 0; k < s->n_groups; k++)
			for (uint32_t m = match_free(&s->group[k]) ^ 0xffff; m; m &= m - 1) {
				unpack(&s->group[k], (unsigned)__builtin_ctz(m), &b);
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
		bytes += sizeof(struct live_segment) + segment_bytes(t->segments[i].n_groups);
	return bytes;
}

static bool segment_is_valid(const struct live_segment *s)
{
	uint32_t n_used = 0, n_deleted = 0;
	unsigned at;

	for (uint32_t k = 0; k < s->n_groups; k++) {
		const struct live_group *g = &s->group[k];

		for (unsigned i = 0; i < GROUP; i++) {
			uint64_t address = g->entry[i].w0 & (ADDRESS_LIMIT - 1);

			n_deleted += g->control[i] == DELETED;
			if (g->control[i] & 0x80)
				continue;
			n_used++;
			if (segment_find(s, address, live_hash(address), &at) != g || at != i)
				return false;
		}
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
