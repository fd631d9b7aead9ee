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
 * A scan holds mmap_lock for reading, so a call answers about at most 64 MiB of
 * pages that are there: 0.2 ms (4 GiB in one call stall another thread's mmap for
 * 50 ms).  PAGEMAP_SCAN passes over what has no page tables: it is asked about 4 GiB
 * at once, 1.2 ms where all tables are there and empty, so that 16 TiB of which
 * little is used are 10 ms.
 */
#ifndef MIRROR_PAGE_SCAN_H
#define MIRROR_PAGE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "page_shadow.h"

#define PAGE_SCAN_SLICE (64ul << 20)
#define PAGE_SCAN_SPARSE (4ul << 30)
#define PAGE_SCAN_PREAD_MAX (64ul << 30) /* page by page: 2 ms a GiB, whatever is there */
#define PAGE_SCAN_ROOM 32768u /* bytes for answers: more saves no time */

enum page_scan_method { PAGE_SCAN_MINCORE = 1, PAGE_SCAN_IOCTL = 2, PAGE_SCAN_PREAD = 3 };

/* What a question covers; bits of `want`. */
enum page_scan_want {
	PAGE_WANT_PRESENT = 1, /* PRESENT alone: mincore may be used */
	PAGE_WANT_STATES = 2,  /* PRESENT ZERO SWAPPED HUGE */
	PAGE_WANT_FILE = 4,    /* and FILE: 27-45 ns more a page */
};

/* A run of pages as it is told: some of enum page_scan_state, never none. */
struct page_told {
	uint64_t first, n, states;
};

struct page_scan {
	int pagemap_fd;   /* /proc/PID/pagemap, or -1 (mincore only) */
	bool self;        /* the own process: mincore is possible */
	bool no_ioctl;    /* set when the kernel has no PAGEMAP_SCAN */
	/* Where PAGEMAP_SCAN answers; NULL: 64 runs on the stack.  Scattered
	 * memory takes a fifth less time with PAGE_SCAN_ROOM: fewer calls. */
	void *room;
	size_t room_bytes;
	/* Not NULL: runs of pages that agree are told here instead of to a
	 * shadow, in the order of addresses; absent pages are left out. */
	void (*runs)(void *arg, const struct page_told *run, size_t n);
	void *runs_arg;
	/* results, summed over calls: */
	uint64_t n_pages[4]; /* asked, by method */
	uint64_t n_slices;
};

/* What a run is told to be. */
enum page_scan_state { PAGE_IS_PRESENT = 1, PAGE_IS_SWAPPED = 2, PAGE_IS_ZERO = 4, PAGE_IS_HUGE = 8 };

/* Asks about [start, end), which lies in one area, and brings the planes up
 * to date (TOUCHED only grows).  anonymous: private anonymous memory.
 * shadow may be NULL where scan->runs is set.
 * Returns 0, -ENOMEM (shadow), -EPERM/-EACCES/-ENOENT (nothing may be asked:
 * undumpable target or hidden /proc), -ESRCH (process gone). */
int page_scan_range(struct page_scan *scan, struct page_shadow *shadow, uintptr_t start, uintptr_t end,
	unsigned want, bool anonymous);

/* One question about the begin of [start, end): *ret_next is where what it did not
 * answer begins.  Otherwise as above. */
int page_scan_part(struct page_scan *scan, struct page_shadow *shadow, uintptr_t start, uintptr_t end,
	unsigned want, bool anonymous, uintptr_t *ret_next);

/* Which way a range would be asked now (tests, coverage). */
enum page_scan_method page_scan_method(const struct page_scan *scan, const struct page_shadow *shadow,
	uintptr_t start, uintptr_t end, unsigned want, bool anonymous);

#endif
