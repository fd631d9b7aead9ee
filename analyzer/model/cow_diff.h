/*
 * cow_diff.h - what a write to a shared page really changed.
 *
 * Compares a page as it was at the fork with what a side made of it.  Pure:
 * it reads the two pages and nothing else.
 */
#ifndef MODEL_COW_DIFF_H
#define MODEL_COW_DIFF_H

#include <stddef.h>
#include <stdint.h>

/* In the order in which one outweighs the other: of a page that two sides
 * broke the higher one counts. */
enum cow_class {
	COW_IDENTICAL, /* copied, and the same bytes: written and put back */
	COW_COUNTER,   /* every changed word differs by little: reference counts */
	COW_POINTER,   /* every other changed word was or became an address */
	COW_BULK,      /* the rest: data */
	N_COW_CLASSES
};

/* "By little": |new - old| of an aligned word of 8 bytes, or of each of its
 * halves of 4, counts up to this. */
#define COW_COUNTER_STEP 4096

struct cow_diff {
	uint32_t bytes_changed;
	enum cow_class class;
};

/* size: a multiple of 8.  Alignment does not matter. */
struct cow_diff cow_diff_page(const void *before, const void *after, size_t size);

/* How many of n bytes differ. */
size_t cow_diff_bytes(const void *before, const void *after, size_t n);

#endif
