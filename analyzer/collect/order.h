/*
 * order.h - many threads' records as one sequence in time.
 *
 * A source is one thread's records, read in the order of its slots.  Order
 * merges all sources up to a horizon and hands out runs: a source goes on
 * while its next record is not later than everybody else's.
 *
 * The horizon rule (PIPELINE 2): the clock is read first, then the records;
 * only stamps up to that reading are processed.  What a processed record
 * depends on is then visible, but for the slip of <= 0.3 us that the model's
 * tolerant pairing repairs.
 *
 * What comes out goes to an order_sink: collect/feed.c for the model, or a
 * test.  Stamps are in ticks (stamp.h), times in ns since the capture's start
 * and never run backwards.
 */
#ifndef COLLECT_ORDER_H
#define COLLECT_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/record.h>
#include <mmscope/session.h>

/* Who wrote a record.  One object per thread, the same for all its records. */
struct order_writer {
	uint64_t process; /* number */
	uint32_t thread;  /* number in the process, 1 = first seen */
	uint32_t pid, tid; /* as the thread sees itself */
	uint64_t tcb;      /* its thread pointer */
	void *user;        /* the sink's own, NULL at first */
};

struct order_heap {
	struct order_writer *w;
	uint64_t address, size; /* size 0 where the op has none */
	uint64_t t_ns;
	uint32_t stack;
	uint32_t op; /* enum mms_op, never an _EXT form */
};
#define ORDER_BATCH 256u

/* A long record; payload is valid during the call only and may be shorter
 * than its struct when the record is damaged: check `bytes`. */
struct order_note {
	uint32_t type; /* enum mms_long */
	uint32_t stack;
	const void *payload;
	size_t bytes; /* whole slots: strings are shorter, their lengths are given */
	uint64_t t_ns;
};

/* While threads share the work of a round: whoever calls it waits until all
 * others have delivered what is older than t_ns.  Until it delivers something
 * younger it is alone with what the sink keeps of more than one family, and the
 * order of what is done so is that of one thread. */
typedef void order_turn(uint64_t t_ns);

struct order_sink {
	void *arg;
	/* n events in their order, at most ORDER_BATCH; what other calls tell
	 * came after all events before. */
	void (*heap)(void *arg, const struct order_heap *e, size_t n);
	void (*note)(void *arg, struct order_writer *w, const struct order_note *n);
	/* A process slot was filled: comes before the process's first record,
	 * in time order with everybody else's.  The slot is live shared memory. */
	void (*process_begin)(void *arg, const struct mms_process *slot, uint64_t t_ns);
	/* All that a gone process left has been delivered; its slot is given
	 * back after this call: read the last word of it now. */
	void (*process_read)(void *arg, const struct mms_process *slot, uint64_t lost_records);
	/* A thread is gone and all it left has been delivered; w->user may be
	 * freed, w is not used again. */
	void (*thread_read)(void *arg, struct order_writer *w);
	/* End of a round: everything up to horizon_ns has been delivered.
	 * UINT64_MAX at the end of all. */
	void (*round)(void *arg, uint64_t horizon_ns);
	/* Who forked from each other, as a number: that of this process, whose slot
	 * is gone; 0: it is not known.  NULL: the sink remembers nobody. */
	uint64_t (*family)(void *arg, uint64_t process);
	/* From here on heap, note and process_begin are called by several threads at
	 * once, each for other families, up to this horizon; turn NULL: no longer.
	 * NULL: the sink is for one thread. */
	void (*share)(void *arg, order_turn *turn, uint64_t horizon_ns);
};

/* One thread's records as order sees them. */
struct order_source {
	uint64_t ticks; /* stamp of the next record */
	/* Delivers records while their stamp is <= limit; sets ticks to that of
	 * the next one.  False: there is none to be had in this round. */
	bool (*run)(struct order_source *s, uint64_t limit);
};

struct order {
	struct order_source **heap; /* smallest ticks first */
	size_t n, capacity;
	uint64_t horizon; /* a source that is stuck lowers it while it runs */
};

void order_init(struct order *o);
void order_done(struct order *o);

/* Takes part in the next merge.  0 or -ENOMEM. */
int order_add(struct order *o, struct order_source *s);

/* Runs all sources up to the horizon and empties the set.  o->horizon is then
 * how far it really went. */
void order_merge(struct order *o, uint64_t horizon_ticks);

#endif
