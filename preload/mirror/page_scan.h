/*
 * page_scan.h - fills a page shadow from the kernel.
 *
 * Three ways to ask, the cheapest that can answer is taken:
 *   mincore        present or not, 1.2-1.7 ns a page where memory is dense;
 *                  only for private anonymous memory of the own process (for
 *                  files it answers about the page cache, and lies to whom
 *                  does not own the file), and it cannot tell zero pages
 *   PAGEMAP_SCAN   Linux 6.7; states by run, 11 ns a present page
 *   pread pagemap  any kernel; 8 bytes a page, 40 ns a page
 *
 * A scan holds mmap_lock for reading, so it goes in slices of at most 64 MiB:
 * 0.2 ms (a scan of 4 GiB in one call stalls another thread's mmap for 50 ms).
 */
#ifndef MIRROR_PAGE_SCAN_H
#define MIRROR_PAGE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "page_shadow.h"

#define PAGE_SCAN_SLICE (64ul << 20)

enum page_scan_method { PAGE_SCAN_MINCORE = 1, PAGE_SCAN_IOCTL = 2, PAGE_SCAN_PREAD = 3 };

/* What a question covers; bits of `want`. */
enum page_scan_want {
	PAGE_WANT_PRESENT = 1, /* PRESENT alone: mincore may be used */
	PAGE_WANT_STATES = 2,  /* PRESENT ZERO SWAPPED HUGE */
	PAGE_WANT_FILE = 4,    /* and FILE: 27-45 ns more a page */
};

struct page_scan {
	int pagemap_fd;   /* /proc/PID/pagemap, or -1 (mincore only) */
	bool self;        /* the own process: mincore is possible */
	bool no_ioctl;    /* set when the kernel has no PAGEMAP_SCAN */
	/* Where PAGEMAP_SCAN answers; NULL: 64 runs on the stack.  Scattered
	 * memory takes a sixth less time with room for 300: fewer calls. */
	void *room;
	size_t room_bytes;
	/* Not NULL: each run of pages that agree is told here instead of to a
	 * shadow, in the order of addresses; absent pages are left out. */
	void (*run)(void *arg, uint64_t first, uint64_t n, unsigned states);
	void *run_arg;
	/* results, summed over calls: */
	uint64_t n_pages[4]; /* asked, by method */
	uint64_t n_slices;
};

/* What a run is told to be. */
enum page_scan_state { PAGE_IS_PRESENT = 1, PAGE_IS_ZERO = 2, PAGE_IS_SWAPPED = 4, PAGE_IS_HUGE = 8 };

/* Asks about [start, end), which lies in one area, and brings the planes up
 * to date (TOUCHED only grows).  anonymous: private anonymous memory.
 * shadow may be NULL where scan->run is set.
 * Returns 0, -ENOMEM (shadow), -EPERM/-EACCES/-ENOENT (nothing may be asked:
 * undumpable target or hidden /proc), -ESRCH (process gone). */
int page_scan_range(struct page_scan *scan, struct page_shadow *shadow, uintptr_t start, uintptr_t end,
	unsigned want, bool anonymous);

/* Which way a range would be asked now (tests, coverage). */
enum page_scan_method page_scan_method(const struct page_scan *scan, const struct page_shadow *shadow,
	uintptr_t start, uintptr_t end, unsigned want, bool anonymous);

#endif
