/*
 * spaces.h - address spaces as rows: tables mm, vma, vma_pages, page_scan.
 *
 * Part of the writing side; the collector is the only caller.  Calls outside
 * a flush open a transaction that the next flush ends (as store_heap_event).
 */
#ifndef STORE_SPACES_H
#define STORE_SPACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/record.h>

struct store;
struct stack_source;

struct store_vma {
	uint64_t id; /* given by the caller, unique in the capture */
	uint64_t process;
	uint64_t start, end;
	uint64_t pgoff, inode;
	uint32_t device, stack;
	uint32_t prot;
	int shared;
	uint32_t origin; /* enum mms_origin */
	const char *name; /* "" when none */
	uint64_t born_ns, died_ns; /* died 0: was there at the last look */
	/* Pages at the last look. */
	int known; /* enum mms_area_known */
	uint64_t present, zero, swapped, huge, touched;
};
int store_vma(struct store *s, const struct store_vma *v, const struct stack_source *stacks);
/* States of its pages, format mmscope/pages.h, from its start on. */
int store_vma_pages(struct store *s, uint64_t vma, const void *states, size_t n);

struct store_scan {
	uint64_t process, t_ns;
	uint32_t look; /* enum mms_look */
	uint64_t n_areas, n_pages, present, zero, swapped, cost_ns;
	int error; /* errno: why pages were not looked at; 0 */
};
int store_page_scan(struct store *s, const struct store_scan *scan);

/* The accounting at t_ns; a later row of the same process and time replaces
 * it.  tick: not the last one; of more than STORE_MM_MAX old ones are thinned. */
int store_mm(struct store *s, uint64_t process, uint64_t t_ns, const struct mms_mm *mm, bool tick);

struct store_drift {
	uint64_t process, checks, differences, left, missed;
	uint64_t hidden[MMS_HIDDEN_CLASSES];
};
int store_drift(struct store *s, const struct store_drift *d);

int store_allocator(struct store *s, uint64_t process, const struct mms_allocator *a);

/* What an area was at a look: how much of it had ever been used. */
struct store_touch {
	uint64_t vma, t_ns, pages, touched;
};
int store_touch(struct store *s, const struct store_touch *t);

/* What was used of memory that is gone, summed by stack. */
struct store_gone {
	uint64_t process;
	uint32_t stack;
	uint64_t count, bytes, touched;
};
/* Rows of vma. */
uint64_t store_vmas(struct store *s);
int store_gone(struct store *s, const struct store_gone *g, const struct stack_source *stacks);

#endif
