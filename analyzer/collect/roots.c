/*
 * roots.c - where a process keeps pointers that nobody has to reach first.
 *
 * Everything writable is a root but for the holes:
 *
 *   the allocator's memory   [heap]; arenas, known by their heads; blocks that
 *                            malloc mapped by themselves, with their page; what
 *                            another malloc than libc's mapped (blocks.c)
 *   dead stack               below the stack pointer of the thread that ends
 *                            the process; whole stacks that threads left, which
 *                            libc keeps for the next ones
 *   our own areas
 *   libc's own list heads    they point to free chunks, and a chunk's address
 *                            lies in the last word of the block before it
 *
 * Other threads' stacks are roots as a whole: their registers are not known,
 * but what they held lies there.  Stacks hold the TLS of their threads; that
 * of the main thread is an area of the loader.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect/copy_private.h"

#define ARENA_SIZE (64ull << 20) /* HEAP_MAX_SIZE */
#define ARENA_HEAD 256u          /* an arena's state lies right behind its first head */
#define TCB_ROOM 4096u           /* struct pthread */
#define MAPPED_HEAD 16u          /* of a block that malloc mapped by itself */

void copy_hole(struct copy *c, uint64_t start, uint64_t end)
{
	if (start < end && copy_room(c, &c->holes, c->n_holes, &c->holes_room, sizeof(*c->holes)))
		c->holes[c->n_holes++] = (struct copy_span){ start, end };
}

static const struct copy_area *area_at(const struct copy *c, uint64_t address)
{
	size_t low = 0, high = c->n_areas;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->areas[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < c->n_areas && c->areas[low].start <= address ? &c->areas[low] : NULL;
}

bool copy_word_at(const struct copy *c, uint64_t address, uint64_t *ret)
{
	size_t low = 0, high = c->n_pieces;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->pieces[middle].start + c->pieces[middle].size <= address)
			low = middle + 1;
		else
			high = middle;
	}
	const struct reach_memory *m = low < c->n_pieces ? &c->pieces[low] : NULL;
	if (!m || m->start > address || m->start + m->size - address < 8)
		return false;
	memcpy(ret, m->bytes + (address - m->start), 8);
	return true;
}

static uint64_t word_at(const struct copy *c, uint64_t address)
{
	uint64_t word = 0;

	copy_word_at(c, address, &word);
	return word;
}

/* ---- the allocator's memory ---- */

/* A heap of an arena begins with the address of the arena's state, which lies
 * right behind the head of the first heap. */
static bool is_arena(const struct copy *c, uint64_t window)
{
	uint64_t state = word_at(c, window), first = state & ~(ARENA_SIZE - 1);

	return state && state - first < ARENA_HEAD && first && word_at(c, first) == state;
}

static void arena_holes(struct copy *c)
{
	for (size_t i = 0; i < c->n_areas; i++) {
		const struct copy_area *a = &c->areas[i];

		if (a->kind == COPY_BRK)
			copy_hole(c, a->start, a->end);
		if (!a->anonymous)
			continue;
		uint64_t window = (a->start + ARENA_SIZE - 1) & ~(ARENA_SIZE - 1);
		for (; window < a->end; window += ARENA_SIZE)
			if (is_arena(c, window))
				copy_hole(c, window, window + ARENA_SIZE < a->end ? window + ARENA_SIZE : a->end);
	}
}

static void block_holes(struct copy *c, const struct reach_block *blocks, size_t n)
{
	uint64_t done = 0; /* up to here all is a hole already */

	for (size_t i = 0; i < n; i++) {
		const struct reach_block *b = &blocks[i];
		uint64_t end = b->address + b->size, window = b->address & ~(ARENA_SIZE - 1);

		if (b->address < done)
			continue;
		const struct copy_area *a = area_at(c, b->address);
		if (a && a->kind == COPY_BRK && !c->in_flight)
			done = a->end;
		else if (!c->in_flight && is_arena(c, window))
			done = window + ARENA_SIZE;
		else if ((b->address & 4095) == MAPPED_HEAD)
			copy_hole(c, b->address - MAPPED_HEAD, (end + 4095) & ~4095ull);
		else
			copy_hole(c, b->address, end);
	}
}

/* ---- dead stack ---- */

static bool thread_lives(int proc_fd, const struct model_process *p, const struct model_thread *t)
{
	char path[32];

	if (proc_fd < 0)
		return false;
	if (p->ns_pid != p->pid) /* its numbers are not ours */
		return !t->end_ns;
	snprintf(path, sizeof(path), "task/%u", t->tid);
	return faccessat(proc_fd, path, F_OK, 0) == 0;
}

/* Who comes to a stack finds it left: of its owners only the newest may live. */
static bool has_successor(const struct model_process *p, size_t at)
{
	for (size_t i = at + 1; i < p->n_threads; i++)
		if (p->threads[i].tcb == p->threads[at].tcb)
			return true;
	return false;
}

int copy_threads(struct copy *c, int proc_fd, const struct model_process *p)
{
	const struct copy_area *here = area_at(c, p->roots_sp);
	bool is_stack = here && here->kind == COPY_STACK;

	for (size_t i = 0; i < p->n_threads; i++) {
		const struct model_thread *t = &p->threads[i];
		const struct copy_area *a = t->tcb && t->tid != p->ns_pid ? area_at(c, t->tcb) : NULL;

		if (!a || has_successor(p, i))
			continue;
		if (a == here && p->roots_sp < t->tcb)
			is_stack = true;
		else if (!thread_lives(proc_fd, p, t))
			copy_hole(c, a->start, (t->tcb + TCB_ROOM + 4095) & ~4095ull);
	}
	if (is_stack)
		copy_hole(c, here->start, p->roots_sp);
	return c->no_memory ? -ENOMEM : 0;
}

static bool is_dead(const struct freeze *f, uint64_t tcb)
{
	for (size_t i = 0; i < f->n_threads; i++)
		if (f->threads[i].regs.fs_base == tcb)
			return false;
	return true;
}

static void register_words(struct copy *c, const struct freeze_thread *t)
{
	const struct user_regs_struct *r = &t->regs;
	const uint64_t words[] = { r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9,
		r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->fs_base, r->gs_base };
	uint64_t word;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		copy_word(c, words[i]);
	for (size_t i = 0; i < sizeof(t->vectors.xmm_space); i += 8) {
		memcpy(&word, (const uint8_t *)t->vectors.xmm_space + i, 8);
		copy_word(c, word);
	}
}

#define RED_ZONE 128u /* below the stack pointer, used by leaf functions */

/* Below the stack pointer nothing lives, where it is surely a thread's own
 * stack: the main one, or one with its TLS above and a guard below.  Stacks of
 * coroutines stay roots as a whole. */
static void below(struct copy *c, const struct freeze_thread *t)
{
	const struct copy_area *a = area_at(c, t->regs.rsp);

	if (a && (a->kind == COPY_STACK ||
		(a->guarded && t->regs.fs_base < a->end && t->regs.fs_base > t->regs.rsp)))
		copy_hole(c, a->start, (t->regs.rsp - RED_ZONE) & ~7ull);
}

int copy_frozen_threads(struct copy *c, const struct freeze *f, const struct model_process *p)
{
	const struct copy_area *here = p->roots_sp ? area_at(c, p->roots_sp) : NULL;

	for (size_t i = 0; i < p->n_threads; i++) {
		const struct model_thread *t = &p->threads[i];
		const struct copy_area *a = t->tcb && t->tid != p->ns_pid && is_dead(f, t->tcb) ? area_at(c, t->tcb) : NULL;

		if (a)
			copy_hole(c, a->start, (t->tcb + TCB_ROOM + 4095) & ~4095ull);
	}
	for (size_t i = 0; i < f->n_threads; i++) {
		struct freeze_thread t = f->threads[i];

		/* Who waits in its last word told where its caller stood. */
		if (here && area_at(c, t.regs.rsp) == here && t.regs.rsp <= p->roots_sp)
			t.regs.rsp = p->roots_sp + RED_ZONE;
		else
			register_words(c, &t);
		below(c, &t);
	}
	return c->no_memory ? -ENOMEM : 0;
}

/* ---- libc's list heads ---- */

static const struct reach_block *block_at(const struct reach_block *blocks, size_t n, uint64_t address)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (blocks[middle].address + blocks[middle].size <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && blocks[low].address < address ? &blocks[low] : NULL;
}

static bool is_next_chunk(const struct reach_block *b, uint64_t word)
{
	uint64_t chunk = (b->size + 8 + 15) & ~15ull;

	return word == b->address - 16 + (chunk < 32 ? 32 : chunk);
}

static void list_head_holes(struct copy *c, const struct reach_block *blocks, size_t n)
{
	for (size_t i = 0; i < c->n_areas; i++) {
		const struct copy_area *a = &c->areas[i];

		for (uint64_t at = a->start; a->kind == COPY_LIBC && at < a->end; at += 8) {
			uint64_t word = word_at(c, at);
			const struct reach_block *b = word ? block_at(blocks, n, word) : NULL;

			if (b && is_next_chunk(b, word))
				copy_hole(c, at, at + 8);
		}
	}
}

/* ---- what is left ---- */

static void own_holes(struct copy *c, const struct space *sp)
{
	for (size_t i = 0; i < c->n_own; i++)
		copy_hole(c, c->own[i].start, c->own[i].end);
	for (size_t i = 0; sp && i < sp->now.n; i++)
		if (sp->now.area[i].a.origin == MMS_ORIGIN_PROFILER)
			copy_hole(c, sp->now.area[i].a.start, sp->now.area[i].a.end);
}

static int by_start(const void *a, const void *b)
{
	const struct copy_span *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void root(struct copy *c, uint64_t start, uint64_t end)
{
	if (start < end && copy_room(c, &c->roots, c->n_roots, &c->roots_room, sizeof(*c->roots)))
		c->roots[c->n_roots++] = (struct reach_root){ start, end };
}

static void all_but_holes(struct copy *c)
{
	size_t h = 0;
	uint64_t clear = 0; /* holes that began reach up to here */

	for (size_t i = 0; i < c->n_pieces; i++) {
		uint64_t at = c->pieces[i].start, end = at + c->pieces[i].size;

		for (;; h++) {
			at = clear > at ? clear : at;
			if (h == c->n_holes || c->holes[h].start >= end)
				break;
			root(c, at, c->holes[h].start);
			clear = c->holes[h].end > clear ? c->holes[h].end : clear;
		}
		root(c, at, end);
	}
}

/* Words without an address lie where no memory of a process can be. */
static void add_words(struct copy *c)
{
	const uint64_t nowhere = 1ull << 62;

	if (!c->n_words || !copy_room(c, &c->pieces, c->n_pieces, &c->pieces_room, sizeof(*c->pieces)))
		return;
	c->pieces[c->n_pieces++] = (struct reach_memory){ nowhere, c->n_words * 8, (const uint8_t *)c->words };
	root(c, nowhere, nowhere + c->n_words * 8);
}

int copy_roots(struct copy *c, const struct model_process *p, const struct space *sp,
	const struct reach_block *blocks, size_t n_blocks)
{
	if (!c->in_flight)
		arena_holes(c);
	block_holes(c, blocks, n_blocks);
	list_head_holes(c, blocks, n_blocks);
	own_holes(c, sp);
	if (c->n_holes)
		qsort(c->holes, c->n_holes, sizeof(*c->holes), by_start);
	all_but_holes(c);
	for (int i = 0; i < 6; i++)
		copy_word(c, p->roots_registers[i]);
	add_words(c);
	return c->no_memory ? -ENOMEM : 0;
}
