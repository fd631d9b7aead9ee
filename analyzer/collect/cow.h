/*
 * cow.h - copy-on-write of the recorded forks.
 *
 * A watched fork has two sides.  Each says which pages it protected (armed)
 * right after the fork, and at its end which of them it wrote; meanwhile they
 * are asked from outside, so that a killed process loses one interval.  When
 * a side ends the fork is over: its sets are classified and written.
 *
 *	t     0 .1 .2 .5 1 2 5 10 20 ... end of one side
 *	ask   . .  .  .  . . . .  .      last word
 */
#ifndef COLLECT_COW_H
#define COLLECT_COW_H

#include "collect/numbered.h"
#include "collect/order.h"
#include "collect/spaces.h"
#include "collect/stamp.h"
#include "collect/watch.h"
#include "model/model.h"
#include "store/writer.h"

struct cow_fork;
struct cow_process;

struct cows {
	struct model *model;
	struct watch *watch;
	struct spaces *spaces; /* who mapped what */
	const struct stamp_clock *clock;
	struct store **store; /* *store may be NULL */
	const struct stack_source *stacks;
	struct cow_fork **forks; /* by first record */
	size_t n, capacity;
	size_t first_open; /* all before it are over and written */
	struct numbered processes; /* struct cow_process */
	uint64_t page_bytes; /* of cow_vma.pages, so far */
	uint32_t n_asked;  /* of header->n_reach: processes that asked to be compared */
	unsigned n_rounds;
	bool waited_for;   /* one asks, and something that it told is still on the way */
};

void cows_init(struct cows *c, struct model *m, struct watch *w, struct spaces *spaces,
	const struct stamp_clock *clock, struct store **store, const struct stack_source *stacks);
void cows_done(struct cows *c);

/* May this process read which frame of memory a page is in? */
bool cow_sees_frames(void);

/* A record about copy-on-write, or MMS_LONG_FORK after the model has it. */
void cows_note(struct cows *c, const struct order_writer *w, const struct order_note *n);

/* Does somebody wait to be compared with its witness (mms_process.reach)?
 * Asked before a drain_round, so that what was told before the question is
 * known when cows_compare is called.  Also while waited_for. */
bool cows_is_asked(struct cows *c);
void cows_compare(struct cows *c, uint64_t now_ns);

/* Asks the sides whose time has come; ends forks whose processes are gone. */
void cows_round(struct cows *c, uint64_t now_ns);

/* Writes the rows of forks that changed; the rows of fork must be there. */
void cows_flush(struct cows *c);

/* The word for model_outside.fork_kind; 0: it is still watched, or not written.
 * at_least: so many pages that were broken are worth a row of their own. */
uint64_t cows_kind(const struct cows *c, uint64_t fork, uint64_t at_least);
/* How many pages the n-th of the forks that are over broke, by size; to be
 * asked before cows_kind. */
uint64_t cows_worth(const struct cows *c, size_t n);
/* Adds the processes that have a side in a fork that is not over, and the
 * parents of those that are worth a row of their own. */
void cows_needed(const struct cows *c, uint64_t at_least, struct index *ret);
/* Forgets what the model has no row for any more (model_sum_up). */
void cows_forget(struct cows *c);

/* Nothing will come any more: all forks are over. */
void cows_finish(struct cows *c, uint64_t now_ns);

#endif
