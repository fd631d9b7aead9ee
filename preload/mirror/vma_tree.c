/*
 * vma_tree.c - see vma_tree.h.
 *
 * Called by mirror.c in the target (serialised there) and by the collector's
 * copy of the same code.  Pure book-keeping: no system call, no lock.
 *
 * Every change is made of two primitives: split_at(), which makes an address
 * a border between two areas, and join_at(), which merges the areas that meet
 * at an address when they agree.  A change of a range splits at both ends,
 * changes whole areas, and joins at both ends.
 */
#include "vma_tree.h"

#include <errno.h>
#include <string.h>

#include "base/heap.h"

struct vma_leaf {
	uint32_t n;
	uint32_t pad;
	uintptr_t start[VMA_LEAF]; /* keys, apart from the areas: two cache lines a search */
	struct vma area[VMA_LEAF];
};

struct place {
	uint32_t leaf, slot;
};

/* --- places ------------------------------------------------------------- */

/* The last leaf whose first area starts at or below the address. */
static uint32_t leaf_of(const struct vma_tree *t, uintptr_t address)
{
	uint32_t low = 0, high = t->n_leaves;

	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;

		if (t->leaves[middle]->start[0] <= address)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* First slot whose start lies above the address. */
static uint32_t slot_above(const struct vma_leaf *leaf, uintptr_t address)
{
	uint32_t low = 0, high = leaf->n;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (leaf->start[middle] <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool place_valid(const struct vma_tree *t, struct place at)
{
	return at.leaf < t->n_leaves;
}

static struct vma *at_place(const struct vma_tree *t, struct place at)
{
	return &t->leaves[at.leaf]->area[at.slot];
}

static struct place place_after(const struct vma_tree *t, struct place at)
{
	if (++at.slot >= t->leaves[at.leaf]->n)
		at = (struct place){ at.leaf + 1, 0 };
	return at;
}

/* The area that holds the address or is the first above it. */
static struct place place_of(const struct vma_tree *t, uintptr_t address)
{
	struct place at = { 0, 0 };

	if (t->n_leaves == 0)
		return at;
	at.leaf = leaf_of(t, address);
	at.slot = slot_above(t->leaves[at.leaf], address);
	if (at.slot > 0 && t->leaves[at.leaf]->area[at.slot - 1].end > address)
		at.slot--;
	else if (at.slot == t->leaves[at.leaf]->n)
		at = (struct place){ at.leaf + 1, 0 };
	return at;
}

/* --- memory ------------------------------------------------------------- */

static bool grow_directory(struct vma_tree *t)
{
	uint32_t capacity = t->leaf_capacity ? t->leaf_capacity * 2 : 16;
	struct vma_leaf **leaves = heap_realloc(t->leaves, capacity * sizeof *leaves);

	if (leaves == NULL)
		return false;
	t->leaves = leaves;
	t->leaf_capacity = capacity;
	return true;
}

/* No operation adds more than two areas before it returns, so two spare
 * leaves and two free directory entries are enough for each. */
static int reserve(struct vma_tree *t)
{
	if (t->leaf_capacity < t->n_leaves + 2 && !grow_directory(t))
		return -ENOMEM;
	for (int i = 0; i < 2; i++) {
		if (t->spare[i] == NULL)
			t->spare[i] = heap_alloc(sizeof *t->spare[i]);
		if (t->spare[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static struct vma_leaf *take_spare(struct vma_tree *t)
{
	int i = t->spare[1] != NULL;
	struct vma_leaf *leaf = t->spare[i];

	t->spare[i] = NULL;
	leaf->n = 0;
	return leaf;
}

static void give_leaf(struct vma_tree *t, struct vma_leaf *leaf)
{
	for (int i = 0; i < 2; i++) {
		if (t->spare[i] == NULL) {
			t->spare[i] = leaf;
			return;
		}
	}
	heap_free(leaf);
}

/* --- leaves ------------------------------------------------------------- */

static void add_leaf(struct vma_tree *t, uint32_t index, struct vma_leaf *leaf)
{
	memmove(&t->leaves[index + 1], &t->leaves[index], (t->n_leaves - index) * sizeof *t->leaves);
	t->leaves[index] = leaf;
	t->n_leaves++;
}

static void move_entries(struct vma_leaf *to, uint32_t at, const struct vma_leaf *from,
	uint32_t first, uint32_t n)
{
	memmove(&to->start[at], &from->start[first], n * sizeof to->start[0]);
	memmove(&to->area[at], &from->area[first], n * sizeof to->area[0]);
}

/* Makes room in a full leaf: its upper half becomes the next leaf. */
static void halve_leaf(struct vma_tree *t, uint32_t index)
{
	struct vma_leaf *old = t->leaves[index], *upper = take_spare(t);
	uint32_t keep = old->n / 2;

	move_entries(upper, 0, old, keep, old->n - keep);
	upper->n = old->n - keep;
	old->n = keep;
	add_leaf(t, index + 1, upper);
}

/* Puts an area where the tree has a hole for it; reserve() was called. */
static void insert(struct vma_tree *t, const struct vma *area)
{
	if (t->n_leaves == 0)
		add_leaf(t, 0, take_spare(t));
	uint32_t index = leaf_of(t, area->start);
	if (t->leaves[index]->n == VMA_LEAF) {
		halve_leaf(t, index);
		index = leaf_of(t, area->start);
	}
	struct vma_leaf *leaf = t->leaves[index];
	uint32_t slot = slot_above(leaf, area->start);

	move_entries(leaf, slot + 1, leaf, slot, leaf->n - slot);
	leaf->start[slot] = area->start;
	leaf->area[slot] = *area;
	leaf->n++;
	t->n_areas++;
	t->hit = NULL;
}

static void remove_at(struct vma_tree *t, struct place at)
{
	struct vma_leaf *leaf = t->leaves[at.leaf];

	move_entries(leaf, at.slot, leaf, at.slot + 1, leaf->n - at.slot - 1);
	leaf->n--;
	t->n_areas--;
	t->hit = NULL;
	if (leaf->n > 0)
		return;
	t->n_leaves--;
	memmove(&t->leaves[at.leaf], &t->leaves[at.leaf + 1],
		(t->n_leaves - at.leaf) * sizeof *t->leaves);
	give_leaf(t, leaf);
}

/* --- borders ------------------------------------------------------------ */

static uint64_t pages(uintptr_t start, uintptr_t end)
{
	return (end - start) >> VMA_PAGE_SHIFT;
}

/* An anonymous private area's pgoff only matters to the kernel's reverse
 * map; a move leaves it as it was, so areas that moved do not merge with
 * areas that did not (mm/vma.c: is_mergeable_vma, vma_merge). */
static bool agree(const struct vma *a, const struct vma *b)
{
	return a->end == b->start && a->prot == b->prot && a->flags == b->flags &&
		a->inode == b->inode && a->device == b->device && a->name == b->name &&
		a->origin == b->origin && a->stack == b->stack &&
		a->pgoff + pages(a->start, a->end) == b->pgoff;
}

/* Afterwards no area spans the address.  Adds at most one area. */
static void split_at(struct vma_tree *t, uintptr_t address)
{
	struct place at = place_of(t, address);

	if (!place_valid(t, at) || at_place(t, at)->start >= address)
		return;
	struct vma upper = *at_place(t, at);

	upper.pgoff += pages(upper.start, address);
	upper.start = address;
	at_place(t, at)->end = address;
	insert(t, &upper);
}

/* Merges the two areas that meet at the address when nothing tells them apart. */
static void join_at(struct vma_tree *t, uintptr_t address)
{
	struct place at = place_of(t, address);

	if (address == 0 || !place_valid(t, at) || at_place(t, at)->start != address)
		return;
	struct place before = place_of(t, address - 1);
	struct vma *low = at_place(t, before), *high = at_place(t, at);

	if (!agree(low, high))
		return;
	low->end = high->end;
	if (high->born_stamp < low->born_stamp)
		low->born_stamp = high->born_stamp;
	remove_at(t, at);
}

static int check_range(uintptr_t start, uintptr_t end)
{
	if (start >= end || (start | end) & (VMA_PAGE_SIZE - 1))
		return -EINVAL;
	return 0;
}

/* Splits at both ends of the range; nothing else changes. */
static int isolate(struct vma_tree *t, uintptr_t start, uintptr_t end)
{
	int r = check_range(start, end);

	if (r == 0)
		r = reserve(t);
	if (r < 0)
		return r;
	split_at(t, start);
	/* The first split may have used a spare. */
	r = reserve(t);
	if (r < 0) {
		join_at(t, start);
		return r;
	}
	split_at(t, end);
	return 0;
}

static void drop_range(struct vma_tree *t, uintptr_t start, uintptr_t end)
{
	for (;;) {
		struct place at = place_of(t, start);

		if (!place_valid(t, at) || at_place(t, at)->start >= end)
			return;
		t->n_pages -= pages(at_place(t, at)->start, at_place(t, at)->end);
		remove_at(t, at);
	}
}

/* Joins at every border in [start, end]. */
static void join_range(struct vma_tree *t, uintptr_t start, uintptr_t end)
{
	uintptr_t border = start;

	while (border <= end) {
		join_at(t, border);
		struct place at = place_of(t, border);
		if (!place_valid(t, at))
			return;
		border = at_place(t, at)->start > border ? at_place(t, at)->start : at_place(t, at)->end;
	}
}

/* --- operations --------------------------------------------------------- */

void vma_tree_init(struct vma_tree *t)
{
	memset(t, 0, sizeof *t);
}

void vma_tree_done(struct vma_tree *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->n_leaves; i++)
		heap_free(t->leaves[i]);
	heap_free(t->leaves);
	heap_free(t->spare[0]);
	heap_free(t->spare[1]);
	heap_free(t->names);
	memset(t, 0, sizeof *t);
}

struct vma *vma_tree_find(struct vma_tree *t, uintptr_t address)
{
	if (t->hit != NULL && address - t->hit->start < t->hit->end - t->hit->start)
		return t->hit;
	struct vma *area = vma_tree_next(t, address);

	if (area == NULL || area->start > address)
		return NULL;
	t->hit = area;
	return area;
}

struct vma *vma_tree_next(struct vma_tree *t, uintptr_t address)
{
	struct place at = place_of(t, address);

	return place_valid(t, at) ? at_place(t, at) : NULL;
}

struct vma *vma_tree_find_intersection(struct vma_tree *t, uintptr_t start, uintptr_t end)
{
	struct vma *area = vma_tree_next(t, start);

	return area != NULL && area->start < end ? area : NULL;
}

const struct vma *vma_tree_find_longest(struct vma_tree *t, uintptr_t start, uintptr_t end, size_t *steps)
{
	const struct vma *longest = NULL, *a;
	uintptr_t most = 0;

	while (start < end && end - start > most && (a = vma_tree_find_intersection(t, start, end)) != NULL) {
		uintptr_t from = a->start > start ? a->start : start, to = a->end < end ? a->end : end;

		if (*steps == 0)
			return NULL;
		--*steps;
		if (to - from > most) {
			most = to - from;
			longest = a;
		}
		start = to;
	}
	return longest;
}

int vma_tree_map(struct vma_tree *t, const struct vma *area)
{
	int r = isolate(t, area->start, area->end);

	if (r < 0)
		return r;
	drop_range(t, area->start, area->end);
	r = reserve(t);
	if (r < 0)
		return r;
	insert(t, area);
	t->n_pages += pages(area->start, area->end);
	uintptr_t end = area->end;
	join_at(t, area->start);
	join_at(t, end);
	return 0;
}

int vma_tree_unmap(struct vma_tree *t, uintptr_t start, uintptr_t end)
{
	int r = isolate(t, start, end);

	if (r < 0)
		return r;
	drop_range(t, start, end);
	return 0;
}

int vma_tree_protect(struct vma_tree *t, uintptr_t start, uintptr_t end, unsigned prot)
{
	int r = isolate(t, start, end);

	if (r < 0)
		return r;
	for (struct place at = place_of(t, start);
		place_valid(t, at) && at_place(t, at)->start < end; at = place_after(t, at))
		at_place(t, at)->prot = (uint8_t)prot;
	join_range(t, start, end);
	return 0;
}

int vma_tree_flags(struct vma_tree *t, uintptr_t start, uintptr_t end, unsigned set, unsigned clear)
{
	int r = isolate(t, start, end);

	if (r < 0)
		return r;
	for (struct place at = place_of(t, start);
		place_valid(t, at) && at_place(t, at)->start < end; at = place_after(t, at)) {
		struct vma *area = at_place(t, at);

		area->flags = (uint16_t)((area->flags | set) & ~clear);
	}
	join_range(t, start, end);
	return 0;
}

/* The part of the area that holds `address`, cut to [address, end). */
static bool part_at(struct vma_tree *t, uintptr_t address, uintptr_t end, struct vma *ret)
{
	struct vma *area = vma_tree_find(t, address);

	if (area == NULL)
		return false;
	*ret = *area;
	ret->pgoff += pages(area->start, address);
	ret->start = address;
	if (ret->end > end)
		ret->end = end;
	return true;
}

static int resize_in_place(struct vma_tree *t, uintptr_t start, size_t old_length, size_t new_length)
{
	struct vma part;

	if (new_length < old_length)
		return vma_tree_unmap(t, start + new_length, start + old_length);
	if (new_length == old_length)
		return 0;
	if (!part_at(t, start + old_length - VMA_PAGE_SIZE, start + old_length, &part))
		return -EINVAL;
	part.start += VMA_PAGE_SIZE;
	part.pgoff++;
	part.end = start + new_length;
	return vma_tree_map(t, &part);
}

/* A move with a change of size, or a duplicate, concerns one area. */
static int copy_area(struct vma_tree *t, uintptr_t old, uintptr_t new_, size_t new_length)
{
	struct vma part;

	if (!part_at(t, old, old + VMA_PAGE_SIZE, &part))
		return -EINVAL;
	part.start = new_;
	part.end = new_ + new_length;
	part.flags &= (uint16_t)~VMA_GROWSDOWN;
	return vma_tree_map(t, &part);
}

/* Since Linux 6.17 a move without change of size may span several areas and
 * the holes between them; what lay at the target of a hole stays. */
static int copy_areas(struct vma_tree *t, uintptr_t old, size_t length, uintptr_t new_)
{
	for (uintptr_t at = old, end = old + length; at < end;) {
		struct vma *next = vma_tree_find_intersection(t, at, end);
		struct vma part;

		if (next == NULL)
			return 0;
		if (next->start > at)
			at = next->start;
		part_at(t, at, end, &part);
		at = part.end;
		part.start = part.start - old + new_;
		part.end = part.end - old + new_;
		part.flags &= (uint16_t)~VMA_GROWSDOWN;
		int r = vma_tree_map(t, &part);
		if (r < 0)
			return r;
	}
	return 0;
}

int vma_tree_move(struct vma_tree *t, uintptr_t old, size_t old_length, uintptr_t new_,
	size_t new_length, bool keep)
{
	int r;

	if (check_range(new_, new_ + new_length) < 0 || vma_tree_find(t, old) == NULL)
		return -EINVAL;
	if (old == new_)
		return resize_in_place(t, old, old_length, new_length);
	if (old_length == new_length)
		r = copy_areas(t, old, old_length, new_);
	else
		r = copy_area(t, old, new_, new_length);
	if (r < 0 || keep || old_length == 0)
		return r;
	return vma_tree_unmap(t, old, old + old_length);
}

int vma_tree_brk(struct vma_tree *t, uintptr_t end, uint32_t stack, uint64_t stamp)
{
	uintptr_t old_top = (t->brk_end + VMA_PAGE_SIZE - 1) & ~(VMA_PAGE_SIZE - 1);
	uintptr_t new_top = (end + VMA_PAGE_SIZE - 1) & ~(VMA_PAGE_SIZE - 1);
	int r = 0;

	if (new_top > old_top) {
		struct vma area = { .start = old_top, .end = new_top, .pgoff = old_top >> VMA_PAGE_SHIFT,
			.prot = 3, .origin = VMA_BRK, .stack = stack, .born_stamp = stamp,
			.name = vma_tree_name(t, "[heap]", 6) };
		struct vma *below = old_top > 0 ? vma_tree_find(t, old_top - 1) : NULL;

		/* One heap, however many calls grew it: the first caller stays. */
		if (below != NULL && below->origin == VMA_BRK)
			area.stack = below->stack;
		r = vma_tree_map(t, &area);
	} else if (new_top < old_top) {
		r = vma_tree_unmap(t, new_top, old_top);
	}
	if (r == 0)
		t->brk_end = end;
	return r;
}

int vma_tree_grow_down(struct vma_tree *t, uintptr_t end, uintptr_t start)
{
	struct vma *area = vma_tree_find(t, end - 1);

	if (area == NULL || !(area->flags & VMA_GROWSDOWN) || start > area->start)
		return -EINVAL;
	if (start == area->start)
		return 0;
	struct vma part = *area;

	part.end = part.start;
	part.start = start;
	part.pgoff -= pages(part.start, part.end);
	return vma_tree_map(t, &part);
}

/* --- invariants --------------------------------------------------------- */

bool vma_tree_is_valid(const struct vma_tree *t)
{
	const struct vma *previous = NULL;
	uint64_t n_pages = 0;
	uint32_t n_areas = 0;

	for (uint32_t i = 0; i < t->n_leaves; i++) {
		const struct vma_leaf *leaf = t->leaves[i];

		if (leaf->n == 0 || leaf->n > VMA_LEAF)
			return false;
		for (uint32_t j = 0; j < leaf->n; j++) {
			const struct vma *area = &leaf->area[j];

			if (leaf->start[j] != area->start || check_range(area->start, area->end) < 0)
				return false;
			if (previous != NULL && (previous->end > area->start || agree(previous, area)))
				return false;
			n_pages += pages(area->start, area->end);
			n_areas++;
			previous = area;
		}
	}
	return n_pages == t->n_pages && n_areas == t->n_areas;
}
