/*
 * feed.h - the order_sink that feeds the model: heap events, and all long
 * records (processes, modules, threads, forks, exits, VM events).
 *
 * What comes from outside the rings (pids in the collector's namespace, exit
 * status by pidfd, RSS) is written into model_process by the collector's loop.
 */
#ifndef COLLECT_FEED_H
#define COLLECT_FEED_H

#include "collect/order.h"
#include "collect/stamp.h"
#include "model/model.h"

struct feed {
	struct order_sink sink; /* give &feed.sink to drain_open */
	struct model *model;
	const struct stamp_clock *clock; /* drain_clock(d); set before the first round */
	/* Raw events for --events; NULL: not wanted. */
	void (*raw)(void *arg, const struct order_writer *w, const struct order_heap *e);
	void *raw_arg;
	/* Records about address spaces, after the model has them; NULL: not wanted. */
	void (*space)(void *arg, const struct order_writer *w, const struct order_note *n);
	void *space_arg;
	/* Forks, after the model has them, and copy-on-write; may be NULL. */
	void (*cow)(void *arg, const struct order_writer *w, const struct order_note *n);
	void *cow_arg;
};

void feed_init(struct feed *f, struct model *m);

/* Copies what a process says about itself in its slot (coverage, counters,
 * context) into the model; for a flush, in between. */
void feed_process_slot(struct model_process *p, const struct mms_process *slot);

#endif
