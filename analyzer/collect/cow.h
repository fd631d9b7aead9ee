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

#include "collect/order.h"
#include "collect/stamp.h"
#include "collect/watch.h"
#include "model/model.h"
#include "store/writer.h"

struct cow_fork;
struct cow_process;

struct cows {
	struct model *model;
	struct watch *watch;
	const struct stamp_clock *clock;
	struct store **store; /* *store may be NULL */
	const struct stack_source *stacks;
	struct cow_fork **forks; /* by first record */
	size_t n, capacity;
	size_t first_open; /* all before it are over and written */
	struct cow_process **processes; /* by number */
	size_t n_processes;
	uint64_t page_bytes; /* of cow_vma.pages, so far */
	uint32_t n_asked;  /* of header->n_reach: processes that asked to be compared */
	uint64_t later_ns; /* since when one asks whom we do not know yet; 0: none */
};

void cows_init(struct cows *c, struct model *m, struct watch *w, const struct stamp_clock *clock,
	struct store **store, const struct stack_source *stacks);
void cows_done(struct cows *c);

/* May this process read which frame of memory a page is in? */
bool cow_sees_frames(void);

/* A record about copy-on-write, or MMS_LONG_FORK after the model has it. */
void cows_note(struct cows *c, const struct order_writer *w, const struct order_note *n);

/* Does somebody wait to be compared with its witness (mms_process.reach)?
 * Asked before a drain_round, so that what was told before the question is
 * known when cows_compare is called.  Also while later_ns. */
bool cows_is_asked(struct cows *c);
void cows_compare(struct cows *c, uint64_t now_ns);

/* Asks the sides whose time has come; ends forks whose processes are gone. */
void cows_round(struct cows *c, uint64_t now_ns);

/* Writes the rows of forks that changed; the rows of fork must be there. */
void cows_flush(struct cows *c);

/* Nothing will come any more: all forks are over. */
void cows_finish(struct cows *c, uint64_t now_ns);

#endif
