/*
 * debts.c - see debts.h.  Called by pressure.c under its budget.
 *
 * A thread stack of libc is a writable private area above a guard page that
 * cannot be read.  A page is shared when it is present, anonymous and not
 * exclusive (bit 56 of pagemap); the zero page looks the same and is told
 * apart by PAGEMAP_SCAN, which also knows what is mapped huge.  Without that
 * call (before Linux 6.7) a page that was only read counts as shared.
 * pagemap is read in pieces of 32 MiB: each holds the target's mmap_lock.
 */
#include "collect/debts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define PIECE 8192u                   /* entries a read */
#define GUARD_MAX (64u << 10)
#define STACK_MIN (16u << 10)
#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRY_FILE (1ull << 61)
#define ENTRY_EXCLUSIVE (1ull << 56)

/* Linux 6.7, include/uapi/linux/fs.h: older headers do not have it. */
struct scan_region {
	uint64_t start, end, categories;
};
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define CATEGORY_ZERO (1u << 5)
#define CATEGORY_HUGE (1u << 6)
#define REGIONS 512

struct look {
	int pagemap_fd;
	bool shared;
	struct debts *d;
	uint64_t entry[PIECE];
	struct scan_region region[REGIONS];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Entries of [at, end), at most a piece; 0: no more. */
static size_t read_piece(struct look *l, uint64_t at, uint64_t end)
{
	size_t want = (end - at) / PAGE < PIECE ? (end - at) / PAGE : PIECE;
	ssize_t n = pread(l->pagemap_fd, l->entry, want * 8, (off_t)(at / PAGE * 8));

	return n > 0 ? (size_t)n / 8 : 0;
}

static uint64_t touched(struct look *l, uint64_t start, uint64_t end)
{
	uint64_t pages = 0;

	for (uint64_t at = start; at < end;) {
		size_t n = read_piece(l, at, end);

		if (n == 0)
			return end - start; /* not known: no debt is better than a wrong one */
		for (size_t i = 0; i < n; i++)
			pages += (l->entry[i] & (ENTRY_PRESENT | ENTRY_SWAPPED)) != 0;
		at += n * PAGE;
	}
	return pages * PAGE;
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
		struct scan_arg arg = { .size = sizeof arg, .start = from, .end = end, .vec = (uintptr_t)l->region,
			.vec_len = REGIONS, .category_anyof_mask = CATEGORY_ZERO | CATEGORY_HUGE,
			.return_mask = CATEGORY_ZERO | CATEGORY_HUGE };
		long found = ioctl(l->pagemap_fd, SCAN_IOCTL, &arg);

		for (long i = 0; i < found; i++) {
			const struct scan_region *r = &l->region[i];
			uint64_t bytes = shared_in_piece(l, base, n, r->start, r->end);

			l->d->shared_small -= bytes;
			if (r->categories & CATEGORY_HUGE && !(r->categories & CATEGORY_ZERO))
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

	if (writable && anonymous && *guard_end == start && end - start >= STACK_MIN) {
		l->d->stack += end - start - touched(l, start, end);
		l->d->n_stacks++;
	}
	if (writable && l->shared)
		look_shared(l, start, end);
	*guard_end = !strncmp(perms, "---p", 4) && anonymous && end - start <= GUARD_MAX ? end : 0;
}

bool debts_look(int folder_fd, bool shared, struct debts *ret)
{
	uint64_t begin = now_ns(), guard_end = 0;
	int maps_fd = openat(folder_fd, "maps", O_RDONLY | O_CLOEXEC);
	FILE *maps = maps_fd >= 0 ? fdopen(maps_fd, "r") : NULL;
	struct look *l = malloc(sizeof *l);
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	*ret = (struct debts){ 0 };
	if (maps_fd >= 0 && !maps)
		close(maps_fd);
	if (l)
		*l = (struct look){ .pagemap_fd = openat(folder_fd, "pagemap", O_RDONLY | O_CLOEXEC), .shared = shared,
			.d = ret };
	bool good = maps && l && l->pagemap_fd >= 0;
	while (good && (n = getline(&line, &room, maps)) > 0) {
		line[n - 1] = line[n - 1] == '\n' ? 0 : line[n - 1];
		one_area(l, line, &guard_end);
	}
	if (l && l->pagemap_fd >= 0)
		close(l->pagemap_fd);
	if (maps)
		fclose(maps);
	free(line);
	free(l);
	ret->cost_ns = now_ns() - begin;
	return good;
}
