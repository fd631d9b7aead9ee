/*
 * spaces.h - the address spaces of the recorded processes over time.
 *
 * Two sources: what a process tells of itself at its end (AREA, PAGES and
 * SPACE records, exact), and looks from outside at the collector's ticks
 * under a budget.  Both end as rows (store/spaces.h).
 */
#ifndef COLLECT_SPACES_H
#define COLLECT_SPACES_H

#include "collect/numbered.h"
#include "collect/order.h"
#include "collect/stamp.h"
#include "collect/watch.h"
#include "model/model.h"
#include "store/spaces.h"
#include "store/writer.h"

struct space;

struct spaces {
	struct model *model;
	const struct stamp_clock *clock;
	struct store **store; /* *store may be NULL */
	const struct stack_source *stacks;
	struct numbered space; /* struct space */
	struct space *looking;     /* looks from outside that go on (look.c) */
	uint64_t look_tick_ns;     /* the tick at which they began */
	uint64_t look_took_ns;      /* what they have taken */
	uint64_t stepped_ns;       /* when they were last gone on with */
	uint64_t next_look_ns;     /* no other before */
	bool rarely;               /* set by who calls spaces_step: births are sampled */
	uint64_t slice;            /* bytes that are asked about at once */
	uint64_t n_vmas, n_rows; /* ids given; rows that are there */
	uint64_t page_bytes, n_pages_cut; /* of vma_pages; areas that found no room there */
	uint64_t n_touches, n_touches_cut; /* rows; areas whose list found no room */
	uint64_t n_left_out, n_broken; /* areas without a row; looks that came in parts */
};

void spaces_init(struct spaces *s, struct model *m, const struct stamp_clock *clock, struct store **store,
	const struct stack_source *stacks);
void spaces_done(struct spaces *s);

/* A record about the address space: VM calls, PAGES, AREA, SPACE, GONE. */
void spaces_note(struct spaces *s, const struct order_writer *w, const struct order_note *n);

/* Begins a look from outside, when it is due and something has changed. */
void spaces_tick(struct spaces *s, const struct watch_process *p, const struct store_tick *now);

/* Goes on with what was begun, for 0.25 ms.  While `looking`, to be called
 * again in a millisecond. */
void spaces_step(struct spaces *s, uint64_t now_ns);

/* Forgets processes that the model has no row for any more; and when their rows
 * went, too, there is room for others. */
void spaces_forget(struct spaces *s);
void spaces_count(struct spaces *s);

/* What the program mapped itself, by the records; born_stamp in ns.  NULL: no
 * memory. */
struct vma_tree *spaces_owners(struct spaces *s, uint64_t process);

/* How many calls that change it were told. */
uint64_t spaces_calls(struct spaces *s, uint64_t process);

/* Writable private memory without a promise (MAP_NORESERVE) that was untouched
 * at the newest look.  False: there was no look that knew pages. */
bool spaces_noreserve(struct spaces *s, uint64_t process, uint64_t *ret_bytes);

/* Those that are over, in as little memory as their rows need. */
void spaces_pack(struct spaces *s);

/* Writes what is kept until the end: pages, sums, what was not seen. */
void spaces_finish(struct spaces *s);

#endif
