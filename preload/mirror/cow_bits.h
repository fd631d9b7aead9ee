/*
 * cow_bits.h - which pages of an address space were written, told by a bit of
 * /proc/PID/pagemap.
 *
 * Any kernel, nothing has to be allowed: 31 to 45 ns a page.  The zero page and
 * 2 MiB entries are told apart where the kernel has PAGEMAP_SCAN (Linux 6.7).
 * Used in the target on itself and by the collector on others.  No allocation,
 * no lock; raw system calls.
 */
#ifndef MIRROR_COW_BITS_H
#define MIRROR_COW_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mirror/pagemap.h"

enum cow_bit {
	COW_BIT_NONE = 0,
	COW_BIT_SOFT_DIRTY = 55, /* written since the bits were cleared */
	/* Nobody else maps it.  In a 2 MiB entry all 512 pages say it of the first of them
	 * (Linux 6.18), and one that was swapped in says it though others have it in swap. */
	COW_BIT_ALONE = 56,
};

struct cow_bits {
	int pagemap_fd;
	enum cow_bit bit;
	uint64_t *entry; /* room for n_entries */
	size_t n_entries;
	struct page_region *region; /* room for n_regions */
	size_t n_regions;
	/* A run of pages that are there and are no file's and not the zero page;
	 * categories: IS_PRESENT or IS_SWAPPED, IS_WRITTEN, IS_HUGE. */
	void (*run)(void *arg, uint64_t first, uint64_t n, unsigned categories);
	void *arg;
	bool no_zero;       /* set: the zero page could not be told apart */
	uint64_t n_swapped; /* told; BIT_ALONE says nothing of these */
};

/* Tells of [start, end).  0 or -errno (-ESRCH: the process is gone). */
int cow_bits_range(struct cow_bits *b, uintptr_t start, uintptr_t end);

#endif
