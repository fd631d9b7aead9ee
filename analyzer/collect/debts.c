/*
 * debts.c - see debts.h.  Called by pressure.c under its budget.
 *
 * A thread stack of libc is a writable private area above a guard page that
 * cannot be read.  A page is shared when it is present, anonymous and not
 * exclusive (bit 56 of pagemap); the zero page looks the same and is told
 * apart by PAGEMAP_SCAN, which also knows what is mapped huge.  Without that
 * call (before Linux 6.7) a page that was only read counts as shared.
 * Every question holds the target's mmap_lock: pagemap is read in pieces of
 * 8 MiB, and now and then there is a rest.
 */
#include "collect/debts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "collect/hurry.h"
#include "mirror/page_scan.h"
#include "mirror/pagemap.h"

#define PAGE 4096u
#define PIECE 2048u                   /* entries a read: 0.1 ms */
#define GUARD_MAX (64u << 10)
#define STACK_MIN (16u << 10)
#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_FILE (1ull << 61)
#define ENTRY_EXCLUSIVE (1ull << 56)
#define REGIONS 512

struct look {
	struct page_scan scan; /* and pagemap */
	const struct debts_ask *ask;
	struct debts *d;
	struct hurry before;
	uint64_t rested_ns;
	uint64_t touched; /* pages of the stack that is looked at */
	uint64_t entry[PIECE];
	struct page_region region[REGIONS];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void rest_when_due(struct look *l)
{
	if (now_ns() - l->rested_ns < hurry_ns())
		return;
	hurry_rest(&l->before);
	l->rested_ns = now_ns();
}

/* Entries of [at, end), at most a piece; 0: no more. */
static size_t read_piece(struct look *l, uint64_t at, uint64_t end)
{
	size_t want = (end - at) / PAGE < PIECE ? (end - at) / PAGE : PIECE;
	ssize_t n = pread(l->scan.pagemap_fd, l->entry, want * 8, (off_t)(at / PAGE * 8));

	return n > 0 ? (size_t)n / 8 : 0;
}

static void take_runs(void *arg, const struct page_told *run, size_t n)
{
	struct look *l = arg;

	for (size_t i = 0; i < n; i++) {
		if (!(run[i].states & PAGE_IS_ZERO))
			l->touched += run[i].n;
	}
}

static uint64_t untouched(struct look *l, uint64_t start, uint64_t end)
{
	l->touched = 0;
	if (page_scan_range(&l->scan, NULL, start, end, PAGE_WANT_STATES, false) < 0)
		return 0; /* not known: no debt is better than a wrong one */
	return end - start - l->touched * PAGE;
}

/* The stack lies at the begin of the area; what is above it may be another
 * mapping of the same kind, which the kernel has joined to it. */
static uint64_t stack_end(const struct look *l, uint64_t start, uint64_t end)
{
	const struct debts_ask *a = l->ask;
	uint64_t most = end - start > a->stack_most ? start + a->stack_most : end;
	struct vma *owner = a->owners ? vma_tree_find_intersection(a->owners, start, most) : NULL;

	return owner && owner->start > start ? owner->start : most;
}

static void look_stack(struct look *l, uint64_t start, uint64_t end)
{
	end = stack_end(l, start, end);
	if (end - start < STACK_MIN)
		return;
	l->d->stack += untouched(l, start, end);
	l->d->n_stacks++;
}

static bool is_shared(uint64_t entry)
{
	return entry & ENTRY_PRESENT && !(entry & (ENTRY_FILE | ENTRY_EXCLUSIVE));
}

static uint64_t shared_in_piece(const struct look *l, uint64_t base, size_t n, uint64_t from, uint64_t to)
{
	uint64_t bytes = 0;

	for (size_t i = (from - base) / PAGE; i < n && i < (to - base) / PAGE; i++)
		bytes += is_shared(l->entry[i]) ? PAGE : 0;
	return bytes;
}

/* Takes out of the piece at `base` what is the zero page, and puts apart what
 * is huge.  A call may end early: it is gone on with behind its last region. */
static void sort_out(struct look *l, uint64_t base, size_t n)
{
	uint64_t end = base + n * PAGE, from = base;

	while (from < end) {
		struct pm_scan_arg arg = { .size = sizeof arg, .start = from, .end = end, .vec = (uintptr_t)l->region,
			.vec_len = REGIONS, .category_anyof_mask = IS_ZERO | IS_HUGE,
			.return_mask = IS_ZERO | IS_HUGE };
		long found = ioctl(l->scan.pagemap_fd, SCAN_IOCTL, &arg);

		for (long i = 0; i < found; i++) {
			const struct page_region *r = &l->region[i];
			uint64_t bytes = shared_in_piece(l, base, n, r->start, r->end);

			l->d->shared_small -= bytes;
			if (r->categories & IS_HUGE && !(r->categories & IS_ZERO))
				l->d->shared_huge += bytes;
		}
		if (found < REGIONS)
			return;
		from = l->region[found - 1].end > arg.walk_end ? l->region[found - 1].end : arg.walk_end;
	}
}

static void look_shared(struct look *l, uint64_t start, uint64_t end)
{
	for (uint64_t at = start; at < end;) {
		size_t n = read_piece(l, at, end);
		uint64_t bytes;

		if (n == 0)
			return;
		bytes = shared_in_piece(l, at, n, at, end);
		l->d->shared_small += bytes;
		if (bytes)
			sort_out(l, at, n);
		at += n * PAGE;
		rest_when_due(l);
	}
}

static void one_area(struct look *l, const char *line, uint64_t *guard_end)
{
	unsigned long long start, end, inode;
	char perms[5];
	int name = 0;

	if (sscanf(line, "%llx-%llx %4s %*x %*s %llu %n", &start, &end, perms, &inode, &name) != 4)
		return;
	bool writable = perms[1] == 'w' && perms[3] == 'p', anonymous = inode == 0 && !line[name];

	rest_when_due(l);
	if (writable && anonymous && *guard_end == start)
		look_stack(l, start, end);
	if (writable && l->ask->shared)
		look_shared(l, start, end);
	*guard_end = !strncmp(perms, "---p", 4) && anonymous && end - start <= GUARD_MAX ? end : 0;
}

static bool look_at_areas(struct look *l, FILE *maps)
{
	uint64_t guard_end = 0;
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	hurry_begin(&l->before);
	l->rested_ns = now_ns();
	while ((n = getline(&line, &room, maps)) > 0) {
		line[n - 1] = line[n - 1] == '\n' ? 0 : line[n - 1];
		one_area(l, line, &guard_end);
	}
	hurry_end(&l->before);
	free(line);
	return true;
}

bool debts_look(const struct debts_ask *ask, struct debts *ret)
{
	uint64_t begin = now_ns();
	int maps_fd = openat(ask->folder_fd, "maps", O_RDONLY | O_CLOEXEC);
	int pagemap_fd = openat(ask->folder_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	FILE *maps = maps_fd >= 0 ? fdopen(maps_fd, "r") : NULL;
	struct look *l = malloc(sizeof *l);

	*ret = (struct debts){ 0 };
	if (l)
		*l = (struct look){ .scan = { .pagemap_fd = pagemap_fd, .runs = take_runs, .runs_arg = l }, .ask = ask,
			.d = ret };
	bool good = maps && l && pagemap_fd >= 0 && look_at_areas(l, maps);
	if (pagemap_fd >= 0)
		close(pagemap_fd);
	if (maps)
		fclose(maps);
	else if (maps_fd >= 0)
		close(maps_fd);
	free(l);
	ret->cost_ns = now_ns() - begin;
	return good;
}
