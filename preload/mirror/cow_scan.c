/*
 * cow_scan.c - see cow_scan.h.
 *
 * Traps this file answers to (docs: the kernel's pagemap.rst):
 *   - walk_end may be stale: see page_scan.c;
 *   - PAGE_IS_WRITTEN is set for every page of an area that is not registered:
 *     PAGE_IS_WPALLOWED is asked for with it;
 *   - protecting without a vector and a mask puts markers on empty entries and
 *     page tables below them: there is always a vector, and only pages that
 *     are present or swapped match;
 *   - a swapped page is protected like a present one;
 *   - whether a page is of a file costs 27 to 45 ns each, and is asked where an
 *     area maps one only.
 * A call holds mmap_lock, so it answers about at most 64 MiB of pages; what has no
 * page tables costs it nothing, so it is asked about 1 GiB: memory that does not
 * match (zero pages) takes 3 ms then.
 */
#include "mirror/cow_scan.h"

#include <errno.h>

#include "base/sys.h"

#define SLICE (1ul << 30)
#define PAGES_MOST (64ul << 20 >> 12)
#define MINCORE_MOST (4ul << 30 >> 12) /* 4 ms */

static long ask(struct cow_scan *c, struct pm_scan_arg *arg)
{
	unsigned out = IS_ZERO | (c->of_file ? IS_FILE : 0) | (c->protect && !c->no_guard ? IS_GUARD : 0);

	arg->flags = c->protect ? SCAN_WP_MATCHING : 0;
	arg->category_mask = (c->fresh ? 0 : IS_WPALLOWED) | out;
	arg->category_inverted = out;
	arg->category_anyof_mask = IS_PRESENT | IS_SWAPPED;
	arg->return_mask = IS_PRESENT | IS_SWAPPED | IS_WRITTEN | IS_HUGE | IS_WPALLOWED;
	return mms_ioctl(c->pagemap_fd, SCAN_IOCTL, arg);
}

static int scan_slice(struct cow_scan *c, uintptr_t start, uintptr_t end)
{
	while (start < end) {
		/* No more room than can be needed: the kernel makes as much for itself. */
		size_t n_regions = (end - start) >> 12 < c->n_regions ? (end - start) >> 12 : c->n_regions;
		struct pm_scan_arg arg = { .size = sizeof(arg), .start = start, .end = end,
			.vec = (uint64_t)(uintptr_t)c->region, .vec_len = n_regions, .max_pages = PAGES_MOST };
		uint64_t found = 0;
		long n = ask(c, &arg);

		if (n == -EINVAL && c->protect && !c->no_guard) {
			c->no_guard = true;
			continue;
		}
		if (n < 0)
			return (int)n;
		for (long i = 0; i < n; i++) {
			uint64_t pages = (c->region[i].end - c->region[i].start) >> 12;

			c->run(c->arg, c->region[i].start >> 12, pages, (unsigned)c->region[i].categories);
			found += pages;
		}
		if ((size_t)n < n_regions && found < PAGES_MOST)
			return 0;
		start = arg.walk_end > c->region[n - 1].end ? arg.walk_end : c->region[n - 1].end;
	}
	return 0;
}

int cow_scan_range(struct cow_scan *c, uintptr_t start, uintptr_t end)
{
	int r = 0;

	while (r == 0 && start < end) {
		uintptr_t to = end - start > SLICE ? start + SLICE : end;

		r = scan_slice(c, start, to);
		start = to;
	}
	return r;
}

static void count_present(void *arg, uint64_t first, uint64_t n, unsigned categories)
{
	(void)first;
	*(uint64_t *)arg += categories & IS_PRESENT ? n : 0;
}

static int count_by_mincore(struct cow_scan *c, uintptr_t start, uintptr_t end, uint64_t *ret)
{
	unsigned char *state = (unsigned char *)c->region;
	size_t room = c->n_regions * sizeof(*c->region), n;

	c->n_mincore += (end - start) >> 12;
	if (c->n_mincore > MINCORE_MOST)
		return -EOVERFLOW;
	for (; start < end; start += n << 12) {
		n = (end - start) >> 12 < room ? (end - start) >> 12 : room;
		long r = mms_mincore(start, n << 12, state);
		if (r < 0)
			return (int)r;
		for (size_t i = 0; i < n; i++)
			*ret += state[i] & 1;
	}
	return 0;
}

int cow_scan_present(struct cow_scan *c, uintptr_t start, uintptr_t end, uint64_t *ret)
{
	struct cow_scan s = *c;

	s.protect = false;
	s.fresh = true;
	s.run = count_present;
	s.arg = ret;
	int r = cow_scan_range(&s, start, end);
	return r == -ENOTTY ? count_by_mincore(c, start, end, ret) : r;
}
