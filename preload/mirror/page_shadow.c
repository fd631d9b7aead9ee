/*
 * page_shadow.c - see page_shadow.h.
 *
 * Called by page_scan.c (fills), mirror.c (forgets and moves with the VMA
 * tree) and cow.c.  Pure book-keeping.
 *
 * A range operation walks chunk by chunk; whole chunks switch between EMPTY
 * and FULL without a bitmap, parts go through the bitmap.
 */
#include "page_shadow.h"

#include <errno.h>
#include <string.h>

#include "base/heap.h"

#define WORDS (PAGE_CHUNK_PAGES / 64)
#define LEAF_PAGES ((uint64_t)PAGE_LEAF_CHUNKS * PAGE_CHUNK_PAGES)

struct page_chunk {
	uint64_t *bits; /* only while MIXED */
	uint16_t count; /* 0 EMPTY, 512 FULL, else MIXED */
};

struct page_leaf {
	uint64_t number; /* page number / LEAF_PAGES */
	uint32_t n_used; /* chunks that are not EMPTY */
	uint64_t used[PAGE_LEAF_CHUNKS / 64]; /* which: most planes have few in a leaf */
	struct page_chunk chunk[PAGE_LEAF_CHUNKS];
};

/* --- leaves ------------------------------------------------------------- */

static uint32_t probe(const struct page_plane *p, uint64_t number)
{
	uint32_t at = (uint32_t)(number * 0x9e3779b97f4a7c15ull >> 40) & (p->capacity - 1);

	while (p->slot[at] != NULL && p->slot[at]->number != number)
		at = (at + 1) & (p->capacity - 1);
	return at;
}

static struct page_leaf *leaf_find(const struct page_plane *p, uint64_t number)
{
	return p->capacity == 0 ? NULL : p->slot[probe(p, number)];
}

static int directory_grow(struct page_plane *p)
{
	struct page_plane bigger = { .capacity = p->capacity ? p->capacity * 2 : 8 };

	bigger.slot = heap_alloc(bigger.capacity * sizeof *bigger.slot);
	if (bigger.slot == NULL)
		return -ENOMEM;
	memset(bigger.slot, 0, bigger.capacity * sizeof *bigger.slot);
	for (uint32_t i = 0; i < p->capacity; i++) {
		if (p->slot[i] != NULL)
			bigger.slot[probe(&bigger, p->slot[i]->number)] = p->slot[i];
	}
	heap_free(p->slot);
	p->slot = bigger.slot;
	p->capacity = bigger.capacity;
	return 0;
}

static struct page_leaf *leaf_make(struct page_plane *p, uint64_t number)
{
	struct page_leaf *leaf = leaf_find(p, number);

	if (leaf != NULL)
		return leaf;
	if ((p->n_leaves + 1) * 4 > p->capacity * 3 && directory_grow(p) < 0)
		return NULL;
	leaf = heap_alloc(sizeof *leaf);
	if (leaf == NULL)
		return NULL;
	memset(leaf, 0, sizeof *leaf);
	leaf->number = number;
	p->slot[probe(p, number)] = leaf;
	p->n_leaves++;
	return leaf;
}

/* --- one chunk ---------------------------------------------------------- */

/* Bits [first, first + n) of word w, n and first relative to the chunk. */
static uint64_t word_mask(unsigned w, unsigned first, unsigned n)
{
	unsigned low = first > w * 64 ? first - w * 64 : 0;
	unsigned end = first + n < (w + 1) * 64 ? first + n - w * 64 : 64;
	uint64_t below_end = end == 64 ? ~0ull : (1ull << end) - 1;

	return below_end & ~((1ull << low) - 1);
}

static unsigned bits_count(const uint64_t *bits, unsigned first, unsigned n)
{
	unsigned count = 0;

	for (unsigned w = first / 64; w * 64 < first + n; w++)
		count += (unsigned)__builtin_popcountll(bits[w] & word_mask(w, first, n));
	return count;
}

static void bits_put(uint64_t *bits, unsigned first, unsigned n, bool value)
{
	for (unsigned w = first / 64; w * 64 < first + n; w++) {
		if (value)
			bits[w] |= word_mask(w, first, n);
		else
			bits[w] &= ~word_mask(w, first, n);
	}
}

static void chunk_become(struct page_chunk *c, uint16_t count)
{
	heap_free(c->bits);
	c->bits = NULL;
	c->count = count;
}

/* EMPTY or FULL gets its bitmap. */
static int chunk_mix(struct page_chunk *c)
{
	c->bits = heap_alloc(WORDS * sizeof *c->bits);
	if (c->bits == NULL)
		return -ENOMEM;
	memset(c->bits, c->count ? 0xff : 0, WORDS * sizeof *c->bits);
	return 0;
}

static int chunk_put(struct page_chunk *c, unsigned first, unsigned n, bool value)
{
	if (c->count == (value ? PAGE_CHUNK_PAGES : 0))
		return 0;
	if (n == PAGE_CHUNK_PAGES) {
		chunk_become(c, value ? PAGE_CHUNK_PAGES : 0);
		return 0;
	}
	if (c->bits == NULL && chunk_mix(c) < 0)
		return -ENOMEM;
	unsigned before = bits_count(c->bits, first, n);
	bits_put(c->bits, first, n, value);
	c->count = (uint16_t)(c->count + (value ? n : 0) - before);
	if (c->count == 0 || c->count == PAGE_CHUNK_PAGES)
		chunk_become(c, c->count);
	return 0;
}

static unsigned chunk_count(const struct page_chunk *c, unsigned first, unsigned n)
{
	if (c->bits != NULL)
		return bits_count(c->bits, first, n);
	return c->count ? n : 0;
}

static bool chunk_test(const struct page_chunk *c, unsigned page)
{
	if (c->bits != NULL)
		return c->bits[page / 64] >> (page % 64) & 1;
	return c->count != 0;
}

/* --- chunks of a leaf --------------------------------------------------- */

static void leaf_note(struct page_leaf *leaf, unsigned chunk, bool used)
{
	uint64_t bit = 1ull << (chunk % 64), *word = &leaf->used[chunk / 64];

	leaf->n_used = leaf->n_used + used - ((*word & bit) != 0);
	*word = used ? *word | bit : *word & ~bit;
}

/* The first chunk from this one on that is not EMPTY, or PAGE_LEAF_CHUNKS. */
static unsigned leaf_next(const struct page_leaf *leaf, unsigned chunk)
{
	while (chunk < PAGE_LEAF_CHUNKS) {
		uint64_t word = leaf->used[chunk / 64] >> (chunk % 64);
		if (word != 0)
			return chunk + (unsigned)__builtin_ctzll(word);
		chunk += 64 - chunk % 64;
	}
	return chunk;
}

/* --- ranges ------------------------------------------------------------- */

static int put_range(struct page_plane *p, uint64_t first, uint64_t n, bool value)
{
	for (uint64_t at = first, end = first + n; at < end;) {
		uint64_t number = at / LEAF_PAGES;
		struct page_leaf *leaf = value ? leaf_make(p, number) : leaf_find(p, number);

		if (leaf == NULL && value)
			return -ENOMEM;
		if (leaf == NULL || (!value && leaf->n_used == 0)) {
			at = (number + 1) * LEAF_PAGES;
			continue;
		}
		unsigned chunk = (unsigned)(at / PAGE_CHUNK_PAGES % PAGE_LEAF_CHUNKS);
		struct page_chunk *c = &leaf->chunk[chunk];
		unsigned inside = (unsigned)(at % PAGE_CHUNK_PAGES);
		uint64_t left = end - at, room = PAGE_CHUNK_PAGES - inside;
		unsigned part = (unsigned)(left < room ? left : room);
		uint16_t before = c->count;

		if (chunk_put(c, inside, part, value) < 0)
			return -ENOMEM;
		p->n_set = p->n_set + c->count - before;
		leaf_note(leaf, chunk, c->count != 0);
		at += part;
	}
	return 0;
}

void page_shadow_init(struct page_shadow *s)
{
	memset(s, 0, sizeof *s);
}

static void plane_done(struct page_plane *p)
{
	for (uint32_t i = 0; i < p->capacity; i++) {
		if (p->slot[i] == NULL)
			continue;
		for (unsigned j = 0; (j = leaf_next(p->slot[i], j)) < PAGE_LEAF_CHUNKS; j++)
			heap_free(p->slot[i]->chunk[j].bits);
		heap_free(p->slot[i]);
	}
	heap_free(p->slot);
	memset(p, 0, sizeof *p);
}

void page_shadow_done(struct page_shadow *s)
{
	if (s == NULL)
		return;
	for (int i = 0; i < PAGE_PLANES; i++)
		plane_done(&s->plane[i]);
}

int page_plane_set(struct page_plane *p, uint64_t first, uint64_t n)
{
	return put_range(p, first, n, true);
}

int page_plane_clear(struct page_plane *p, uint64_t first, uint64_t n)
{
	return put_range(p, first, n, false);
}

bool page_plane_test(const struct page_plane *p, uint64_t page)
{
	const struct page_leaf *leaf = leaf_find(p, page / LEAF_PAGES);

	return leaf != NULL && chunk_test(&leaf->chunk[page / PAGE_CHUNK_PAGES % PAGE_LEAF_CHUNKS],
		(unsigned)(page % PAGE_CHUNK_PAGES));
}

uint64_t page_plane_count(const struct page_plane *p, uint64_t first, uint64_t n)
{
	uint64_t count = 0;

	for (uint64_t at = first, end = first + n; at < end;) {
		const struct page_leaf *leaf = leaf_find(p, at / LEAF_PAGES);

		if (leaf == NULL || leaf->n_used == 0) {
			at = (at / LEAF_PAGES + 1) * LEAF_PAGES;
			continue;
		}
		unsigned inside = (unsigned)(at % PAGE_CHUNK_PAGES);
		uint64_t left = end - at, room = PAGE_CHUNK_PAGES - inside;
		unsigned part = (unsigned)(left < room ? left : room);

		count += chunk_count(&leaf->chunk[at / PAGE_CHUNK_PAGES % PAGE_LEAF_CHUNKS], inside, part);
		at += part;
	}
	return count;
}

/* The first page above `page` of a leaf that there is, or UINT64_MAX: an
 * address space has thousands of places for leaves, and few of them. */
static uint64_t next_leaf(const struct page_plane *p, uint64_t page)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < p->capacity; i++) {
		const struct page_leaf *leaf = p->slot[i];

		if (leaf != NULL && leaf->number * LEAF_PAGES > page && leaf->number * LEAF_PAGES < next)
			next = leaf->number * LEAF_PAGES;
	}
	return next;
}

/* The first page at or above `from` whose bit is `value`, or end. */
static uint64_t seek(const struct page_plane *p, uint64_t from, uint64_t end, bool value)
{
	while (from < end) {
		const struct page_leaf *leaf = leaf_find(p, from / LEAF_PAGES);

		if (leaf == NULL || leaf->n_used == 0) {
			if (!value)
				return from;
			from = next_leaf(p, from);
			continue;
		}
		unsigned chunk = (unsigned)(from / PAGE_CHUNK_PAGES % PAGE_LEAF_CHUNKS);
		const struct page_chunk *c = &leaf->chunk[chunk];
		unsigned inside = (unsigned)(from % PAGE_CHUNK_PAGES);

		if (value && c->count == 0) {
			from += (uint64_t)(leaf_next(leaf, chunk) - chunk) * PAGE_CHUNK_PAGES - inside;
			continue;
		}
		if (c->bits == NULL) {
			if ((c->count != 0) == value)
				return from;
			from += PAGE_CHUNK_PAGES - inside;
			continue;
		}
		uint64_t word = c->bits[inside / 64];
		word = (value ? word : ~word) >> (inside % 64);
		if (word != 0) {
			from += (unsigned)__builtin_ctzll(word);
			return from < end ? from : end;
		}
		from += 64 - inside % 64;
	}
	return end;
}

bool page_plane_run(const struct page_plane *p, uint64_t from, uint64_t end, struct page_run *ret)
{
	uint64_t first = seek(p, from, end, true);

	if (first >= end)
		return false;
	ret->first = first;
	ret->n = seek(p, first, end, false) - first;
	return true;
}

int page_plane_move(struct page_plane *p, uint64_t from, uint64_t to, uint64_t n)
{
	struct page_run run = { from, 0 };
	int r = page_plane_clear(p, to, n);

	while (r == 0 && page_plane_run(p, run.first + run.n, from + n, &run))
		r = page_plane_set(p, to + (run.first - from), run.n);
	return r < 0 ? r : page_plane_clear(p, from, n);
}

void page_shadow_forget(struct page_shadow *s, uint64_t first, uint64_t n)
{
	for (int i = 0; i < PAGE_PLANES; i++)
		page_plane_clear(&s->plane[i], first, n);
}

size_t page_plane_bytes(const struct page_plane *p)
{
	size_t bytes = p->capacity * sizeof *p->slot + p->n_leaves * sizeof(struct page_leaf);

	for (uint32_t i = 0; i < p->capacity; i++) {
		for (unsigned j = 0; p->slot[i] != NULL && j < PAGE_LEAF_CHUNKS; j++)
			bytes += p->slot[i]->chunk[j].bits ? WORDS * sizeof(uint64_t) : 0;
	}
	return bytes;
}

bool page_plane_is_valid(const struct page_plane *p)
{
	uint64_t n_set = 0;

	for (uint32_t i = 0; i < p->capacity; i++) {
		const struct page_leaf *leaf = p->slot[i];
		uint32_t n_used = 0;

		for (unsigned j = 0; leaf != NULL && j < PAGE_LEAF_CHUNKS; j++) {
			const struct page_chunk *c = &leaf->chunk[j];
			bool mixed = c->count > 0 && c->count < PAGE_CHUNK_PAGES;

			if (mixed != (c->bits != NULL) ||
				(mixed && bits_count(c->bits, 0, PAGE_CHUNK_PAGES) != c->count) ||
				(leaf->used[j / 64] >> (j % 64) & 1) != (c->count != 0))
				return false;
			n_used += c->count != 0;
			n_set += c->count;
		}
		if (leaf != NULL && n_used != leaf->n_used)
			return false;
	}
	return n_set == p->n_set;
}
