/*
 * cow.h - copy-on-write of forks as rows: the later columns of fork, cow_vma,
 * cow_sample.  (cow_site: store_write_cow_sites in writer.h.)
 *
 * Part of the writing side; the collector is the only caller.  Calls outside
 * a flush open a transaction that the next flush ends.
 */
#ifndef STORE_COW_H
#define STORE_COW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct stack_source;

#define STORE_UNKNOWN UINT64_MAX /* as a value: NULL in the row */

/* How `why` begins for a fork that was not worth watching. */
#define STORE_COW_SMALL "The process has less than 2 MiB of private memory"

struct store_cow_fork {
	uint64_t id;
	const char *method; /* NULL: nothing is known */
	int exact;          /* -1: NULL */
	const char *why;    /* NULL: nothing to say */
	double watched_share; /* below 0: NULL */
	uint64_t areas, page_tables, arm_parent_ns, arm_child_ns, page_size;
	uint64_t pages_shared, parent_broke, child_broke, both_broke, still_shared, new_parent, new_child;
	uint64_t copies, copies_low, copies_high, error_pages, parent_faults, child_faults;
	uint64_t bytes_changed, identical_pages, counter_pages, pointer_pages, bulk_pages;
	uint64_t watched_ns;
};
/* All of it NULL but id. */
struct store_cow_fork store_cow_unknown(uint64_t id);

/* Completes the row of a fork that was written before (store_flush). */
int store_cow_fork(struct store *s, const struct store_cow_fork *f);

struct store_cow_vma {
	uint64_t fork, start, end;
	uint32_t prot, origin, stack;
	const char *name; /* "" when none */
	uint64_t shared, parent_broke, child_broke, both_broke, huge;
	const void *pages; /* enum mms_cow_page in the format of mmscope/pages.h; NULL: left out */
	size_t n_pages;    /* bytes */
	uint64_t bytes_changed, identical_pages, counter_pages;
};
int store_cow_vma(struct store *s, const struct store_cow_vma *v, const struct stack_source *stacks);

struct store_cow_sample {
	uint64_t fork, t_ns, parent_broke, child_broke, both_broke, new_parent, new_child;
};
int store_cow_sample(struct store *s, const struct store_cow_sample *c);

/* 95 % interval of a figure of the fork's row, by the name of its column. */
int store_cow_interval(struct store *s, uint64_t fork, const char *name, uint64_t low, uint64_t high);

/* The same of a figure in a row beside it. */
struct store_cow_part {
	uint64_t area;    /* start of the row of cow_vma; 0: of a site */
	uint32_t stack;   /* of the row of cow_site */
	const char *name; /* column */
	uint64_t low, high;
};
int store_cow_part_interval(struct store *s, uint64_t fork, const struct store_cow_part *p);

#endif
