/*
 * page_shadow.h - one bit per page, for several questions ("planes").
 *
 * A plane is a sparse bitmap over the address space: chunks of 2 MiB (512
 * pages), 512 chunks to a leaf (1 GiB).  A chunk is EMPTY, FULL or MIXED and
 * has a bitmap only while MIXED: at most 40 KiB per GiB and plane.
 *
 * Memory from heap_alloc (base/heap.h).  No system call, no lock: the owner
 * serialises.  Page numbers are addresses >> 12.
 */
#ifndef MIRROR_PAGE_SHADOW_H
#define MIRROR_PAGE_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_CHUNK_PAGES 512u
#define PAGE_LEAF_CHUNKS 512u

enum page_plane_kind {
	PAGE_PRESENT,  /* has a page now (the zero page included) */
	PAGE_ZERO,     /* present as the shared zero page: not in RSS */
	PAGE_SWAPPED,
	PAGE_HUGE,     /* mapped by a 2 MiB entry */
	PAGE_FILE,     /* present and backed by a file or shared memory */
	PAGE_TOUCHED,  /* was present or swapped at any scan */
	PAGE_ARMED,    /* write-protected by us (copy-on-write) */
	PAGE_WRITTEN,  /* written since it was armed */
	PAGE_PLANES
};

struct page_leaf;

struct page_plane {
	struct page_leaf **slot; /* open addressing by GiB number */
	uint32_t n_leaves, capacity;
	uint64_t n_set;
};

struct page_shadow {
	struct page_plane plane[PAGE_PLANES];
};

struct page_run {
	uint64_t first, n; /* page number, pages */
};

void page_shadow_init(struct page_shadow *s);
void page_shadow_done(struct page_shadow *s);

/* 0 or -ENOMEM; on -ENOMEM a part of the range may have been done. */
int page_plane_set(struct page_plane *p, uint64_t first, uint64_t n);
int page_plane_clear(struct page_plane *p, uint64_t first, uint64_t n);

bool page_plane_test(const struct page_plane *p, uint64_t page);
uint64_t page_plane_count(const struct page_plane *p, uint64_t first, uint64_t n);

/* The first run of set pages in [from, end); false: none. */
bool page_plane_run(const struct page_plane *p, uint64_t from, uint64_t end, struct page_run *ret);

/* Moves n pages' bits (mremap); what was at the target is replaced, the
 * source is cleared. */
int page_plane_move(struct page_plane *p, uint64_t from, uint64_t to, uint64_t n);

/* Forgets [first, first+n) in all planes (munmap). */
void page_shadow_forget(struct page_shadow *s, uint64_t first, uint64_t n);

/* Bytes held by the plane. */
size_t page_plane_bytes(const struct page_plane *p);

/* Counts agree with bitmaps, no MIXED chunk is empty or full. */
bool page_plane_is_valid(const struct page_plane *p);

#endif
