/*
 * cow.h - forks, and the pages that were shared by them and then written, as
 * the verbs cow and report show them.
 */
#ifndef REPORT_COW_H
#define REPORT_COW_H

#include "report/answer.h"

#define COW_UNKNOWN (-1)

/* Numbers of a fork in the order of cow_forks.sql; COW_UNKNOWN: not measured. */
enum cow_number {
	COW_PAGE_SIZE, COW_SHARED, COW_PARENT, COW_CHILD, COW_BOTH, COW_STILL, COW_NEW_PARENT, COW_NEW_CHILD,
	COW_COPIES, COW_COPIES_LOW, COW_COPIES_HIGH, COW_ERROR, COW_PARENT_FAULTS, COW_CHILD_FAULTS,
	COW_CHANGED, COW_IDENTICAL_PAGES, COW_COUNTER_PAGES, COW_POINTER_PAGES, COW_BULK_PAGES, COW_WATCHED_NS,
	COW_NUMBERS
};

struct cow_fork {
	int64_t id, child_pid, stack_id; /* child_pid COW_UNKNOWN: not known */
	const struct answer_process *parent, *child; /* child NULL: not known */
	int64_t t_ns, pause_ns;
	char *kind, *method, *why; /* method and why may be NULL */
	bool watched;      /* figures were taken */
	uint64_t merged;   /* not 0: the sum of so many forks of a place */
	int exact;         /* COW_UNKNOWN, 0, 1 */
	double share;      /* of the shared pages that was watched; negative: not known */
	int64_t areas, page_tables, arm_parent_ns, arm_child_ns;
	int64_t n[COW_NUMBERS];
};

/* Forks of which nothing was measured, by reason. */
struct cow_unwatched {
	const char *why;
	uint64_t n;
};

struct cow {
	struct cow_fork *fork; /* in the order of time */
	size_t n, capacity;
	uint64_t n_all, n_watched; /* forks, merged ones too */
	struct cow_unwatched *unwatched; /* most frequent first */
	size_t n_unwatched, unwatched_capacity;
};

void cow_load(struct cow *c, struct answer *a);
void cow_done(struct cow *c);

/* Pages that at least one side wrote; COW_UNKNOWN: neither side is known. */
int64_t cow_broken(const struct cow_fork *f);
/* Bytes that the kernel copied for the fork. */
int64_t cow_bytes_copied(const struct cow_fork *f);
/* "userfaultfd", "soft-dirty bits", ... */
const char *cow_method_text(const struct cow_fork *f);

/* A sentence: why a fork was not watched. */
const char *cow_why_not(const struct cow_fork *f);

/* One line for the report; NULL: nothing forked.  To be freed. */
char *cow_head_text(const struct cow *c);
/* The member "cow" of the report. */
void cow_head_json(struct json *j, const char *key, const struct cow *c);

/* ---- parts of a fork, read when they are shown ---- */

/* Of a figure that is an estimate, by the name of its column; 95 %. */
struct cow_interval {
	char name[16];
	int64_t low, high;
};

#define COW_WITHIN 4 /* pages_shared, parent_broke, child_broke, both_broke */

struct cow_area {
	uint64_t start, end;
	char perms[5];
	char *kind, *name; /* never NULL */
	int64_t stack_id, shared, parent, child, both, huge, changed, identical, counters;
	struct cow_interval within[COW_WITHIN];
	size_t n_within;
};

struct cow_place {
	int64_t stack_id;   /* 0: pages of no block or mapping of a known stack */
	char id[32];
	int64_t shared, parent, child, both, blocks, bytes, false_blocks, changed, identical, counters;
	struct cow_interval within[COW_WITHIN];
	size_t n_within;
};

struct cow_point {
	int64_t t_ns, parent, child, both, new_parent, new_child;
};

struct cow_parts {
	struct cow_area *area;
	size_t n_areas, areas_capacity;
	struct cow_place *place;
	size_t n_places, places_capacity;
	struct cow_point *point;
	size_t n_points, points_capacity;
	struct cow_interval *interval;
	size_t n_intervals, intervals_capacity;
};

void cow_parts_load(struct cow_parts *p, struct answer *a, const struct cow_fork *f);
void cow_parts_done(struct cow_parts *p);

/* Parent and child without counting a page twice. */
int64_t cow_union(int64_t parent, int64_t child, int64_t both);

/* ---- advice: what can be done, where it is warranted and only then ---- */

enum cow_rule { COW_RULE_IDENTICAL, COW_RULE_COUNTERS, COW_RULE_TABLE, N_COW_RULES };
#define COW_RULE_WORDS {"identical", "counters", "table"}

/* The text of a rule that applies, without naming a place; NULL: it does not.
 * To be freed.  *ret_place: whom it speaks of, NULL: the whole fork. */
char *cow_advice(enum cow_rule rule, const struct cow_fork *f, const struct cow_parts *p,
	const struct cow_place **ret_place);

/* ---- the answer ---- */

/* limit: areas, sites and forks to show; 0: all. */
void cow_text(struct answer *a, const struct cow *c, const struct cow_fork *only, size_t limit);
void cow_json(struct answer *a, const struct cow *c, const struct cow_fork *only, size_t limit);

#endif
