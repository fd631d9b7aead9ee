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

/* PRESENT SWAPPED ZERO HUGE are the same bits in the same order. */
static uint64_t states_of(uint64_t categories)
{
	uint64_t states = categories / IS_PRESENT & 15;

	return categories & IS_GUARD ? states & ~(uint64_t)PAGE_IS_SWAPPED : states;
}
_Static_assert(IS_SWAPPED / IS_PRESENT == PAGE_IS_SWAPPED && IS_ZERO / IS_PRESENT == PAGE_IS_ZERO &&
	IS_HUGE / IS_PRESENT == PAGE_IS_HUGE && PAGE_IS_PRESENT == 1, "states");

/* One run of pages that agree.  The planes of the range were cleared before. */
static void note(struct sink *sink, uint64_t first, uint64_t n, unsigned categories)
{
	uint64_t states = states_of(categories);

	if (sink->scan->runs) {
		struct page_told run = { first, n, states };

		if (states)
			sink->scan->runs(sink->scan->runs_arg, &run, 1);
		return;
	}
	if (states & PAGE_IS_PRESENT)
		put(sink, PAGE_PRESENT, first, n);
	if (states & PAGE_IS_SWAPPED)
		put(sink, PAGE_SWAPPED, first, n);
	if (states & (PAGE_IS_SWAPPED | PAGE_IS_PRESENT))
		put(sink, PAGE_TOUCHED, first, n);
	if (states & PAGE_IS_ZERO)
		put(sink, PAGE_ZERO, first, n);
	if (states & PAGE_IS_HUGE)
		put(sink, PAGE_HUGE, first, n);
	if (categories & IS_FILE)
		put(sink, PAGE_FILE, first, n);
}

static void forget(struct sink *sink, uintptr_t start, uintptr_t end)
{
	uint64_t first = start >> 12, n = (end - start) >> 12;

	if (sink->scan->runs)
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

/* What the kernel answers becomes what is told, in its place. */
union answer {
	struct page_region region;
	struct page_told told;
};
_Static_assert(sizeof(struct page_region) == sizeof(struct page_told), "answer");

/* Pages of the n runs. */
static uint64_t tell(const struct sink *sink, union answer *answer, long n)
{
	uint64_t pages = 0;
	size_t told = 0;

	for (long i = 0; i < n; i++) {
		struct page_region r = answer[i].region;
		struct page_told t = { r.start >> 12, (r.end - r.start) >> 12, states_of(r.categories) };

		answer[told].told = t;
		told += t.states != 0;
		pages += t.n;
	}
	if (told)
		sink->scan->runs(sink->scan->runs_arg, &answer[0].told, told);
	return pages;
}

static uint64_t pages_of(const union answer *answer, long n)
{
	uint64_t pages = 0;

	for (long i = 0; i < n; i++)
		pages += (answer[i].region.end - answer[i].region.start) >> 12;
	return pages;
}

static void note_all(struct sink *sink, const union answer *answer, long n)
{
	for (long i = 0; i < n; i++) {
		const struct page_region *r = &answer[i].region;

		note(sink, r->start >> 12, (r->end - r->start) >> 12, (unsigned)r->categories);
	}
}

/* Until so many pages were found that a slice of memory is full of. */
static int ask_ioctl(struct page_scan *scan, struct sink *sink, uintptr_t start, uintptr_t end, uintptr_t *ret_next)
{
	/* Zeroed for valgrind, which does not know that this call fills it. */
	union answer few[N_REGIONS] = { 0 }, *answer = scan->room ? scan->room : few;
	long room = scan->room ? (long)(scan->room_bytes / sizeof(*answer)) : N_REGIONS;
	unsigned mask = IS_PRESENT | IS_SWAPPED | IS_ZERO | IS_HUGE | IS_GUARD;
	uint64_t left = PAGE_SCAN_SLICE >> 12;

	if (sink->want & PAGE_WANT_FILE)
		mask |= IS_FILE;
	while (start < end && left) {
		struct pm_scan_arg arg = { .size = sizeof arg, .start = start, .end = end,
			.vec = (uint64_t)(uintptr_t)answer, .vec_len = (uint64_t)room, .max_pages = left,
			.category_anyof_mask = IS_PRESENT | IS_SWAPPED, .return_mask = mask };
		long n = mms_ioctl(scan->pagemap_fd, SCAN_IOCTL, &arg);

		if (n == -EINVAL && mask & IS_GUARD) {
			mask &= ~IS_GUARD; /* before Linux 6.15 */
			continue;
		}
		if (n < 0)
			return (int)n;
		uintptr_t last = n ? answer[n - 1].region.end : start;
		uint64_t found = scan->runs ? tell(sink, answer, n) : pages_of(answer, n);
		uintptr_t next = n < room && found < left ? end : arg.walk_end > last ? arg.walk_end : last;
		if (!scan->runs) {
			forget(sink, start, next);
			note_all(sink, answer, n);
		}
		left -= found < left ? found : left;
		start = next;
	}
	*ret_next = start;
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
	if (plain && !scan->runs && page_plane_count(&shadow->plane[PAGE_PRESENT], start >> 12, n) * 100 >
			n * DENSE_PERCENT)
		return PAGE_SCAN_MINCORE;
	return scan->no_ioctl ? PAGE_SCAN_PREAD : PAGE_SCAN_IOCTL;
}

static int ask(struct page_scan *scan, struct sink *sink, uintptr_t start, uintptr_t end, bool anonymous,
	uintptr_t *ret_next)
{
	uintptr_t slice = end - start > PAGE_SCAN_SLICE ? start + PAGE_SCAN_SLICE : end;
	enum page_scan_method method =
		page_scan_method(scan, sink->shadow, start, slice, sink->want, anonymous);
	int r;

	if (method == PAGE_SCAN_MINCORE && !(anonymous && scan->self))
		return -EACCES;
	if (method == PAGE_SCAN_IOCTL) {
		uintptr_t sparse = end - start > PAGE_SCAN_SPARSE ? start + PAGE_SCAN_SPARSE : end;

		r = ask_ioctl(scan, sink, start, sparse, ret_next);
		if (r != -ENOTTY && r != -EINVAL) {
			scan->n_pages[method] += r < 0 ? 0 : (*ret_next - start) >> 12;
			return r;
		}
		scan->no_ioctl = true;
		method = PAGE_SCAN_PREAD;
	}
	if (method == PAGE_SCAN_PREAD && end - start > PAGE_SCAN_PREAD_MAX)
		return -EOVERFLOW;
	scan->n_pages[method] += (slice - start) >> 12;
	*ret_next = slice;
	if (method == PAGE_SCAN_PREAD)
		return ask_pread(scan, sink, start, slice);
	return ask_mincore(scan, sink, start, slice);
}

int page_scan_part(struct page_scan *scan, struct page_shadow *shadow, uintptr_t start, uintptr_t end,
	unsigned want, bool anonymous, uintptr_t *ret_next)
{
	struct sink sink = { shadow, scan, want, 0 };
	int r = ask(scan, &sink, start, end, anonymous, ret_next);

	scan->n_slices++;
	return r < 0 ? r : sink.error;
}

int page_scan_range(struct page_scan *scan, struct page_shadow *shadow, uintptr_t start, uintptr_t end,
	unsigned want, bool anonymous)
{
	int r = 0;

	while (start < end && r == 0)
		r = page_scan_part(scan, shadow, start, end, want, anonymous, &start);
	return r;
}
