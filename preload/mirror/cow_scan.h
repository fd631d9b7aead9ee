/*
 * cow_scan.h - which pages of an address space are write-protected by
 * userfaultfd, and which of these were written since.
 *
 * Used in the target (which also protects) and by the collector on
 * /proc/PID/pagemap of others.  No allocation, no lock; raw system calls.
 */
#ifndef MIRROR_COW_SCAN_H
#define MIRROR_COW_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mirror/pagemap.h"

struct cow_scan {
	int pagemap_fd;
	bool protect;  /* what is told is protected in the same step */
	bool fresh;    /* pages that are not protected are told too: without IS_WPALLOWED */
	bool of_file;  /* the area maps a file: pages that are the file's are left out */
	bool no_guard; /* set when the kernel knows no PAGE_IS_GUARD (before 6.15) */
	struct page_region *region; /* room for n_regions */
	size_t n_regions;
	/* A run of pages that are there (IS_PRESENT or IS_SWAPPED) and may be
	 * protected; categories also has IS_WRITTEN, IS_HUGE and IS_WPALLOWED. */
	void (*run)(void *arg, uint64_t first, uint64_t n, unsigned categories);
	void *arg;
	uint64_t n_mincore; /* pages that cow_scan_present() asked about one by one, so far */
};

/* Tells of [start, end), but for the shared zero page and pages of files: a
 * write to them is no break, and there they are not written.  0 or -errno (-ENOTTY: no
 * PAGEMAP_SCAN, -ESRCH: the process is gone). */
int cow_scan_range(struct cow_scan *c, uintptr_t start, uintptr_t end);

/* How many pages of [start, end) of the own process are in memory and neither a file's
 * nor the zero page, protected or not: added to *ret.  Before Linux 6.7 page by
 * page, and of 4 GiB at most: then -EOVERFLOW.  There a page of a file counts if the file
 * has it in memory. */
int cow_scan_present(struct cow_scan *c, uintptr_t start, uintptr_t end, uint64_t *ret);

#endif
