/*
 * page_scan.c - see page_scan.h.
 *
 * Runs in the target at sync points and in the collector for other
 * processes.  May not allocate but through the shadow, keeps its buffers on
 * the stack below the frame limit, raw system calls only.
 *
 * Traps this file answers to (docs: the kernel's pagemap.rst):
 *   - PAGEMAP_SCAN may return a stale walk_end once its internal buffer of
 *     512 regions was filled: the next start is the end of the last region
 *     where that lies higher, and a vector that was not filled means done;
 *   - guard pages read as SWAPPED: bit 58 / PAGE_IS_GUARD tells them apart;
 *   - the zero page is PRESENT: PAGE_IS_PFNZERO tells it apart;
 *   - mincore is asked for anonymous memory alone; a hole makes it ENOMEM
 *     with a partly filled vector, which is then thrown away.
 */
#include "page_scan.h"

#include <errno.h>
#include <string.h>

#include "base/sys.h"
#include "mirror/pagemap.h"

/* /proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst */
#define MAP_GUARD (1ull << 58)
#define MAP_FILE_SHARED (1ull << 61)
#define MAP_SWAPPED (1ull << 62)
#define MAP_PRESENT (1ull << 63)

#define N_REGIONS 64
#define N_ENTRIES 192
#define DENSE_PERCENT 45 /* mincore is the cheaper question above this density */

struct sink {
	struct page_shadow *shadow;
	const struct page_scan *scan;
	unsigned want;
	int error;
};

static void put(struct sink *sink, enum page_plane_kind plane, uint64_t first, uint64_t n)
{
	if (sink->error == 0)
		sink->error = page_plane_set(&sink->shadow->plane[plane], first, n);
}

/* One run of pages that agree.  The planes of the range were cleared before. */
static void note(struct sink *sink, uint64_t first, uint64_t n, unsigned categories)
{
	bool swapped = (categories & IS_SWAPPED) && !(categories & IS_GUARD);

	if (sink->scan->run) {
		unsigned states = (categories & IS_PRESENT ? PAGE_IS_PRESENT : 0) |
			(categories & IS_ZERO ? PAGE_IS_ZERO : 0) | (swapped ? PAGE_IS_SWAPPED : 0) |
			(categories & IS_HUGE ? PAGE_IS_HUGE : 0);
		if (states)
			sink->scan->run(sink->scan->run_arg, first, n, states);
		return;
	}
	if (categories & IS_PRESENT)
		put(sink, PAGE_PRESENT, first, n);
	if (swapped)
		put(sink, PAGE_SWAPPED, first, n);
	if (swapped || (categories & IS_PRESENT))
		put(sink, PAGE_TOUCHED, first, n);
	if (categories & IS_ZERO)
		put(sink, PAGE_ZERO, first, n);
	if (categories & IS_HUGE)
		put(sink, PAGE_HUGE, first, n);
	if (categories & IS_FILE)
		put(sink, PAGE_FILE, first, n);
}

static void forget(struct sink *sink, uintptr_t start, uintptr_t end)
{
	uint64_t first = start >> 12, n = (end - start) >> 12;

	if (sink->scan->run)
		return;
	page_plane_clear(&sink->shadow->plane[PAGE_PRESENT], first, n);
	if (!(sink->want & (PAGE_WANT_STATES | PAGE_WANT_FILE)))
		return;
	page_plane_clear(&sink->shadow->plane[PAGE_ZERO], first, n);
	page_plane_clear(&sink->shadow->plane[PAGE_SWAPPED], first, n);
	page_plane_clear(&sink->shadow->plane[PAGE_HUGE], first, n);
	if (sink->want & PAGE_WANT_FILE)
		page_plane_clear(&sink->shadow->plane[PAGE_FILE], first, n);
}

/* --- the three ways ------------------------------------------------------ */

static int ask_ioctl(struct page_scan *scan, struct sink *sink, uintptr_t start, uintptr_t end)
{
	/* Zeroed for valgrind, which does not know that this call fills it. */
	struct page_region few[N_REGIONS] = { 0 };
	struct page_region *region = scan->room ? scan->room : few;
	long n_regions = scan->room ? (long)(scan->room_bytes / sizeof(*region)) : N_REGIONS;
	unsigned mask = IS_PRESENT | IS_SWAPPED | IS_ZERO | IS_HUGE | IS_GUARD;

	if (sink->want & PAGE_WANT_FILE)
		mask |= IS_FILE;
	forget(sink, start, end);
	while (start < end) {
		struct pm_scan_arg arg = { .size = sizeof arg, .start = start, .end = end,
			.vec = (uint64_t)(uintptr_t)region, .vec_len = (uint64_t)n_regions,
			.category_anyof_mask = IS_PRESENT | IS_SWAPPED, .return_mask = mask };
		long n = mms_ioctl(scan->pagemap_fd, SCAN_IOCTL, &arg);

		if (n == -EINVAL && mask & IS_GUARD) {
			mask &= ~IS_GUARD; /* before Linux 6.15 */
			continue;
		}
		if (n < 0)
			return (int)n;
		for (long i = 0; i < n; i++)
			note(sink, region[i].start >> 12, (region[i].end - region[i].start) >> 12,
				(unsigned)region[i].categories);
		if (n < n_regions)
			return 0;
		start = arg.walk_end > region[n - 1].end ? arg.walk_end : region[n - 1].end;
	}
	return 0;
}

static unsigned entry_categories(uint64_t entry)
{
	return (entry & MAP_PRESENT ? IS_PRESENT : 0) | (entry & MAP_SWAPPED ? IS_SWAPPED : 0) |
		(entry & MAP_GUARD ? IS_GUARD : 0) | (entry & MAP_FILE_SHARED ? IS_FILE : 0);
}

/* Without PAGEMAP_SCAN the zero page and huge pages cannot be told: those
 * planes stay empty. */
static int ask_pread(struct page_scan *scan, struct sink *sink, uintptr_t start, uintptr_t end)
{
	uint64_t entry[N_ENTRIES];

	forget(sink, start, end);
	for (uint64_t page = start >> 12; page < end >> 12;) {
		uint64_t left = (end >> 12) - page;
		size_t ask = left < N_ENTRIES ? left : N_ENTRIES;
		long n = mms_pread(scan->pagemap_fd, entry, ask * 8, page * 8);

		if (n <= 0)
			return n < 0 ? (int)n : -ESRCH;
		size_t got = (size_t)n / 8;
		for (size_t i = 0, j; i < got; i = j) {
			unsigned categories = entry_categories(entry[i]);

			for (j = i + 1; j < got && entry_categories(entry[j]) == categories; j++)
				;
			if (categories & (IS_PRESENT | IS_SWAPPED))
				note(sink, page + i, j - i, categories);
		}
		page += got;
	}
	return 0;
}

static int ask_mincore(struct page_scan *scan, struct sink *sink, uintptr_t start, uintptr_t end)
{
	unsigned char vec[1024];

	(void)scan;
	for (uint64_t page = start >> 12; page < end >> 12;) {
		uint64_t left = (end >> 12) - page;
		size_t n = left < sizeof vec ? left : sizeof vec;
		long r = mms_mincore(page << 12, n << 12, vec);

		if (r < 0)
			return (int)r;
		forget(sink, page << 12, (page + n) << 12);
		for (size_t i = 0, j; i < n; i = j) {
			for (j = i + 1; j < n && (vec[j] & 1) == (vec[i] & 1); j++)
				;
			if (vec[i] & 1)
				note(sink, page + i, j - i, IS_PRESENT);
		}
		page += n;
	}
	return 0;
}

/* --- choice -------------------------------------------------------------- */

enum page_scan_method page_scan_method(const struct page_scan *scan, const struct page_shadow *shadow,
	uintptr_t start, uintptr_t end, unsigned want, bool anonymous)
{
	bool plain = want == PAGE_WANT_PRESENT && anonymous && scan->self;
	uint64_t n = (end - start) >> 12;

	if (scan->pagemap_fd < 0)
		return PAGE_SCAN_MINCORE;
	if (plain && !scan->run && page_plane_count(&shadow->plane[PAGE_PRESENT], start >> 12, n) * 100 >
			n * DENSE_PERCENT)
		return PAGE_SCAN_MINCORE;
	return scan->no_ioctl ? PAGE_SCAN_PREAD : PAGE_SCAN_IOCTL;
}

static int ask(struct page_scan *scan, struct sink *sink, uintptr_t start, uintptr_t end, bool anonymous)
{
	enum page_scan_method method =
		page_scan_method(scan, sink->shadow, start, end, sink->want, anonymous);
	int r;

	if (method == PAGE_SCAN_MINCORE && !(anonymous && scan->self))
		return -EACCES;
	if (method == PAGE_SCAN_IOCTL) {
		r = ask_ioctl(scan, sink, start, end);
		if (r != -ENOTTY && r != -EINVAL) {
			scan->n_pages[method] += (end - start) >> 12;
			return r;
		}
		scan->no_ioctl = true;
		method = PAGE_SCAN_PREAD;
	}
	scan->n_pages[method] += (end - start) >> 12;
	if (method == PAGE_SCAN_PREAD)
		return ask_pread(scan, sink, start, end);
	return ask_mincore(scan, sink, start, end);
}

int page_scan_range(struct page_scan *scan, struct page_shadow *shadow, uintptr_t start, uintptr_t end,
	unsigned want, bool anonymous)
{
	struct sink sink = { shadow, scan, want, 0 };

	while (start < end) {
		uintptr_t slice = end - start > PAGE_SCAN_SLICE ? start + PAGE_SCAN_SLICE : end;
		int r = ask(scan, &sink, start, slice, anonymous);

		scan->n_slices++;
		if (r == 0)
			r = sink.error;
		if (r < 0)
			return r;
		start = slice;
	}
	return 0;
}
