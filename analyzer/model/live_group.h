/*
 * live_group.h - the groups of the live table, and its two calls that every
 * heap event makes, as far as the block's home group answers them.
 *
 * A group is 16 slots.  Its control bytes hold EMPTY, DELETED or 7 bits of
 * the block's hash.  A probe starts at the home group and goes on to the next
 * until a group has an EMPTY slot.  A slot that is given up becomes EMPTY when
 * its group has another EMPTY one (then no probe went past it), else DELETED.
 * What belongs to a slot lies near it: one page, three cache lines.
 *
 *   w0 = thread 8..23 (16) | address (48)     w1 = site (24) | size (40)
 *   extension = thread 0..7 (8) | t_ns (56)
 *
 * Private to live.c and model.c.
 */
#ifndef MODEL_LIVE_GROUP_H
#define MODEL_LIVE_GROUP_H

#include <emmintrin.h>

#include "model/live.h"

#define GROUP 16u
#define EMPTY 0x80u
#define DELETED 0xfeu
#define ADDRESS_LIMIT (1ull << 48)
#define SIZE_LIMIT (1ull << 40)
#define SITE_LIMIT (1u << 24)
#define TIME_MASK ((1ull << 56) - 1)

struct live_entry {
	uint64_t w0, w1;
};

struct live_group {
	uint8_t control[GROUP];
	struct live_entry entry[GROUP];
	uint64_t extension[GROUP];
};
_Static_assert(sizeof(struct live_group) == 25 * GROUP, "25 bytes a slot");

#define LIVE_INLINE static inline __attribute__((always_inline))

LIVE_INLINE uint64_t live_hash(uint64_t address)
{
	uint64_t h = address * 0x9e3779b97f4a7c15ull;

	h ^= h >> 32;
	return h * 0xd6e8feb86659fd93ull;
}

LIVE_INLINE uint32_t home_of(const struct live_segment *s, uint64_t hash)
{
	return (uint32_t)((uint64_t)(uint32_t)(hash >> 26) * s->n_groups >> 32);
}

LIVE_INLINE uint8_t tag_of(uint64_t hash)
{
	return hash >> 19 & 0x7f;
}

LIVE_INLINE struct live_segment *segment_of(const struct live_table *t, uint64_t hash)
{
	return &t->segments[hash >> 58 & t->segment_mask];
}

LIVE_INLINE uint32_t match(const struct live_group *g, uint8_t byte)
{
	__m128i control = _mm_load_si128((const __m128i *)(const void *)g->control);

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(control, _mm_set1_epi8((char)byte)));
}

LIVE_INLINE uint32_t match_free(const struct live_group *g)
{
	return (uint32_t)_mm_movemask_epi8(_mm_load_si128((const __m128i *)(const void *)g->control));
}

/* Slot of the address in this group, or GROUP. */
LIVE_INLINE unsigned group_find(const struct live_group *g, uint64_t address, uint64_t hash)
{
	for (uint32_t m = match(g, tag_of(hash)); m; m &= m - 1) {
		unsigned i = (unsigned)__builtin_ctz(m);

		if (g->entry[i].w0 << 16 == address << 16)
			return i;
	}
	return GROUP;
}

LIVE_INLINE void unpack(const struct live_group *g, unsigned i, struct live_block *ret)
{
	uint64_t w0 = g->entry[i].w0, w1 = g->entry[i].w1, extension = g->extension[i];

	ret->address = w0 & (ADDRESS_LIMIT - 1);
	ret->size = w1 & (SIZE_LIMIT - 1);
	ret->site = (uint32_t)(w1 >> 40);
	ret->thread = (uint32_t)(w0 >> 48) << 8 | (uint32_t)(extension >> 56);
	ret->t_ns = extension & TIME_MASK;
}

LIVE_INLINE void pack(struct live_group *g, unsigned i, const struct live_block *b)
{
	uint32_t thread = b->thread & LIVE_THREAD_MASK;

	g->entry[i].w0 = (uint64_t)(thread >> 8) << 48 | b->address;
	g->entry[i].w1 = (uint64_t)b->site << 40 | b->size;
	g->extension[i] = (uint64_t)(thread & 0xff) << 56 | (b->t_ns & TIME_MASK);
}

LIVE_INLINE void slot_use(struct live_segment *s, struct live_group *g, unsigned i, uint64_t hash)
{
	s->n_deleted -= g->control[i] == DELETED;
	g->control[i] = tag_of(hash);
	s->n_used++;
}

LIVE_INLINE void slot_give_up(struct live_segment *s, struct live_group *g, unsigned i)
{
	bool open = match(g, EMPTY) != 0;

	g->control[i] = open ? EMPTY : DELETED;
	s->n_deleted += !open;
	s->n_used--;
}

LIVE_INLINE bool is_odd(const struct live_block *b)
{
	return ((b->address >> 48) | (b->size >> 40) | (b->site >> 24)) != 0;
}

/* False: nothing was done, live_insert() knows.  The home group tells that the
 * address is not there when no byte of it is the tag, and no probe ever went
 * past it. */
LIVE_INLINE bool live_insert_home(struct live_table *t, const struct live_block *b)
{
	uint64_t hash = live_hash(b->address);

	if (__builtin_expect(t->n_odd || !t->segments || is_odd(b), 0))
		return false;
	struct live_segment *s = segment_of(t, hash);
	struct live_group *g = &s->group[home_of(s, hash)];
	if (__builtin_expect(s->n_used + s->n_deleted >= s->limit || match(g, tag_of(hash)) || !match(g, EMPTY), 0))
		return false;
	unsigned i = (unsigned)__builtin_ctz(match_free(g));
	slot_use(s, g, i, hash);
	pack(g, i, b);
	t->n++;
	return true;
}

/* False: nothing was done, live_take() knows. */
LIVE_INLINE bool live_take_home(struct live_table *t, uint64_t address, struct live_block *ret)
{
	uint64_t hash = live_hash(address);

	if (__builtin_expect(!t->segments || address >= ADDRESS_LIMIT, 0))
		return false;
	struct live_segment *s = segment_of(t, hash);
	struct live_group *g = &s->group[home_of(s, hash)];
	unsigned i = group_find(g, address, hash);
	if (__builtin_expect(i == GROUP, 0))
		return false;
	unpack(g, i, ret);
	slot_give_up(s, g, i);
	t->n--;
	return true;
}

#endif
