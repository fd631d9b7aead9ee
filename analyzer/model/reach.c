/*
 * reach.c - see reach.h.
 *
 * Pure: works on a copy of memory that somebody else made.  Three passes over
 * one stack of blocks to scan:
 *
 *   1. from the roots, along pointers to starts          -> REACHABLE
 *      (pointers into the middle are put aside)
 *   2. from what was put aside, along any pointer        -> POSSIBLE
 *   3. what is left is lost.  By address, each block not yet seen is a leader,
 *      and all it leads to is seen.  No leader leads to a later one; so, going
 *      back from the last, a leader that no later leader leads to is led to by
 *      nothing but its own cycle: DEFINITE.  All others       -> INDIRECT
 *
 * A word is looked up in an index of 64 KiB units of the address space: the
 * unit gives the first block that may hold it, a binary search the block.
 */
#include "reach.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define UNIT_SHIFT 16
#define NOTHING UINT32_MAX
#define LOST_SEEN 255 /* verdict of a lost block between the two halves of pass 3 */

struct unit {
	uint64_t number; /* address >> UNIT_SHIFT; 0: empty slot */
	uint32_t first, end; /* blocks that touch the unit: [first, end) */
};

struct scan {
	struct reach_block *blocks;
	size_t n_blocks;
	const struct reach_memory *memory, *last;
	size_t n_memory;
	uint64_t low, span; /* of all blocks: most words fail here */
	struct unit *units;
	uint64_t unit_mask;
	uint32_t *stack, *aside;
	size_t n_stack, n_aside, stack_room, aside_room;
	struct reach_totals totals;
	bool failed;
};

typedef void (*visit_fn)(struct scan *s, uint32_t block, bool start);

/* --- index ------------------------------------------------------------------ */

static struct unit *unit_slot(const struct scan *s, uint64_t number)
{
	uint64_t at = number * 0x9e3779b97f4a7c15ull >> 20 & s->unit_mask;

	while (s->units[at].number != 0 && s->units[at].number != number)
		at = (at + 1) & s->unit_mask;
	return &s->units[at];
}

static uint64_t block_end(const struct reach_block *b)
{
	return b->address + (b->size ? b->size : 1); /* malloc(0) is pointed to as well */
}

/* How many units a block touches; a block's units are consecutive. */
static uint64_t units_of(const struct reach_block *b)
{
	return ((block_end(b) - 1) >> UNIT_SHIFT) - (b->address >> UNIT_SHIFT) + 1;
}

static int make_index(struct scan *s)
{
	uint64_t n_units = 0, room = 64;

	for (size_t i = 0; i < s->n_blocks; i++)
		n_units += units_of(&s->blocks[i]);
	while (room < n_units * 2)
		room *= 2;
	s->units = calloc(room, sizeof *s->units);
	if (!s->units)
		return -ENOMEM;
	s->unit_mask = room - 1;
	for (size_t i = 0; i < s->n_blocks; i++) {
		uint64_t first = s->blocks[i].address >> UNIT_SHIFT;

		for (uint64_t u = 0; u < units_of(&s->blocks[i]); u++) {
			struct unit *unit = unit_slot(s, first + u);

			if (unit->number == 0)
				*unit = (struct unit){ first + u, (uint32_t)i, (uint32_t)i };
			unit->end = (uint32_t)i + 1;
		}
	}
	return 0;
}

static const struct reach_memory *memory_at(struct scan *s, uint64_t address);

/* `new T[0]` of a T with a destructor: eight bytes that hold the number of
 * elements, nought, and the program has the address behind them alone. */
static bool is_empty_array(struct scan *s, const struct reach_block *b, uint64_t address)
{
	static const uint8_t nought[8];

	if (b->size != sizeof(nought) || address != b->address + b->size)
		return false;
	const struct reach_memory *m = memory_at(s, b->address);
	return m && b->address >= m->start && b->address + 8 <= m->start + m->size
	       && memcmp(m->bytes + (b->address - m->start), nought, 8) == 0;
}

/* The block that holds the address, or NOTHING. */
static uint32_t block_at(struct scan *s, uint64_t address)
{
	const struct unit *unit = unit_slot(s, address >> UNIT_SHIFT);
	uint32_t low = unit->first, high = unit->end;

	if (unit->number == 0)
		return NOTHING;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (s->blocks[middle].address <= address)
			low = middle;
		else
			high = middle;
	}
	const struct reach_block *b = &s->blocks[low];
	bool inside = address >= b->address && address < block_end(b);
	return inside || is_empty_array(s, b, address) ? low : NOTHING;
}

/* --- scanning ------------------------------------------------------------------ */

static void push(struct scan *s, uint32_t **list, size_t *n, size_t *room, uint32_t block)
{
	if (*n == *room) {
		size_t bigger = *room ? *room * 2 : 1024;
		uint32_t *grown = realloc(*list, bigger * sizeof **list);

		if (!grown) {
			s->failed = true;
			return;
		}
		*list = grown;
		*room = bigger;
	}
	(*list)[(*n)++] = block;
}

static void push_stack(struct scan *s, uint32_t block)
{
	push(s, &s->stack, &s->n_stack, &s->stack_room, block);
}

static void scan_words(struct scan *s, const uint8_t *bytes, uint64_t size, visit_fn visit)
{
	for (uint64_t at = 0; at + 8 <= size; at += 8) {
		uint64_t word;

		memcpy(&word, bytes + at, 8);
		if (word - s->low >= s->span)
			continue;
		uint32_t block = block_at(s, word);
		if (block != NOTHING)
			visit(s, block, word == s->blocks[block].address);
	}
	s->totals.scanned_bytes += size & ~7ull;
}

/* The first piece of memory that ends above the address. */
static const struct reach_memory *memory_at(struct scan *s, uint64_t address)
{
	if (s->last && address - s->last->start < s->last->size)
		return s->last;
	size_t low = 0, high = s->n_memory;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (s->memory[middle].start + s->memory[middle].size <= address)
			low = middle + 1;
		else
			high = middle;
	}
	s->last = low < s->n_memory ? &s->memory[low] : NULL;
	return s->last;
}

static void scan_range(struct scan *s, uint64_t start, uint64_t end, visit_fn visit)
{
	start = (start + 7) & ~7ull;
	while (start < end) {
		const struct reach_memory *m = memory_at(s, start);
		uint64_t from = m && m->start < end ? m->start : end;

		if (from > start) {
			s->totals.unreadable_bytes += from - start;
			start = from;
			continue;
		}
		uint64_t to = m->start + m->size < end ? m->start + m->size : end;
		scan_words(s, m->bytes + (start - m->start), to - start, visit);
		start = (to + 7) & ~7ull;
	}
}

static void drain(struct scan *s, visit_fn visit)
{
	while (s->n_stack > 0 && !s->failed) {
		const struct reach_block *b = &s->blocks[s->stack[--s->n_stack]];

		scan_range(s, b->address, b->address + b->size, visit);
	}
}

/* --- the passes ------------------------------------------------------------------- */

static void visit_reachable(struct scan *s, uint32_t block, bool start)
{
	struct reach_block *b = &s->blocks[block];

	if (b->verdict == REACH_REACHABLE)
		return;
	if (!start) {
		if (b->verdict != REACH_POSSIBLE)
			push(s, &s->aside, &s->n_aside, &s->aside_room, block);
		b->verdict = REACH_POSSIBLE;
		return;
	}
	b->verdict = REACH_REACHABLE;
	push_stack(s, block);
}

static void visit_possible(struct scan *s, uint32_t block, bool start)
{
	struct reach_block *b = &s->blocks[block];

	if (b->verdict != REACH_UNCLASSIFIED)
		return;
	b->verdict = REACH_POSSIBLE;
	push_stack(s, block);
}

static void visit_as(struct scan *s, uint32_t block, uint8_t from, uint8_t to)
{
	if (s->blocks[block].verdict != from)
		return;
	s->blocks[block].verdict = to;
	push_stack(s, block);
}

static void visit_unseen(struct scan *s, uint32_t block, bool start)
{
	visit_as(s, block, REACH_UNCLASSIFIED, LOST_SEEN);
}

static void visit_seen(struct scan *s, uint32_t block, bool start)
{
	visit_as(s, block, LOST_SEEN, REACH_INDIRECT);
}

static void classify_lost(struct scan *s)
{
	s->n_aside = 0; /* now the leaders */
	for (size_t i = 0; i < s->n_blocks && !s->failed; i++) {
		if (s->blocks[i].verdict != REACH_UNCLASSIFIED)
			continue;
		push(s, &s->aside, &s->n_aside, &s->aside_room, (uint32_t)i);
		visit_unseen(s, (uint32_t)i, true);
		drain(s, visit_unseen);
	}
	uint64_t unreadable = s->totals.unreadable_bytes;
	for (size_t i = s->n_aside; i-- > 0 && !s->failed;) {
		struct reach_block *leader = &s->blocks[s->aside[i]];

		if (leader->verdict != LOST_SEEN)
			continue;
		visit_seen(s, s->aside[i], true);
		drain(s, visit_seen);
		leader->verdict = REACH_DEFINITE;
	}
	s->totals.unreadable_bytes = unreadable; /* each block counts once */
}

static void classify(struct scan *s, const struct reach_root *roots, size_t n_roots)
{
	for (size_t i = 0; i < n_roots; i++)
		scan_range(s, roots[i].start, roots[i].end, visit_reachable);
	s->totals.unreadable_bytes = 0; /* holes of the roots are no blocks */
	drain(s, visit_reachable);
	for (size_t i = 0; i < s->n_aside; i++) {
		if (s->blocks[s->aside[i]].verdict == REACH_POSSIBLE)
			push_stack(s, s->aside[i]);
	}
	drain(s, visit_possible);
	classify_lost(s);
}

int reach_classify(struct reach_block *blocks, size_t n_blocks, const struct reach_memory *memory,
	size_t n_memory, const struct reach_root *roots, size_t n_roots, struct reach_totals *ret)
{
	struct scan s = { .blocks = blocks, .n_blocks = n_blocks, .memory = memory, .n_memory = n_memory };

	for (size_t i = 0; i < n_blocks; i++)
		blocks[i].verdict = REACH_UNCLASSIFIED;
	if (n_blocks > 0) {
		s.low = blocks[0].address;
		s.span = block_end(&blocks[n_blocks - 1]) - s.low + 1; /* and the end of the last */
		s.failed = make_index(&s) < 0;
	}
	if (n_blocks > 0 && !s.failed)
		classify(&s, roots, n_roots);
	for (size_t i = 0; i < n_blocks && !s.failed; i++) {
		s.totals.blocks[blocks[i].verdict]++;
		s.totals.bytes[blocks[i].verdict] += blocks[i].size;
	}
	free(s.units);
	free(s.stack);
	free(s.aside);
	if (s.failed)
		return -ENOMEM;
	*ret = s.totals;
	return 0;
}
