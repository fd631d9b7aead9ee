/*
 * drain.h - reads the ring blocks of a session and gives them back.
 *
 * The collector's loop calls drain_round when it is woken or its poll time is
 * over, tells drain which processes have ended (it watches pidfds), and calls
 * drain_finish when the session is over:
 *
 *   feed_open(&feed, model, ...);             feed.h: the sink of the model
 *   d = drain_open(session, &feed.sink);
 *   loop: drain_round(d); ... drain_process_gone(d, number) ...
 *   drain_finish(d); drain_close(d);
 *
 * drain makes no system call but futex wakes (free_seq), and sleeps only while
 * another of its threads merges (drain_lanes).
 * It keeps n_full, wakes waiting targets, frees thread slots of dead threads
 * and the process slots of gone processes.  It does not extend the session:
 * drain_stats says how full the ring is, header->want what ran out.
 */
#ifndef COLLECT_DRAIN_H
#define COLLECT_DRAIN_H

#include <stdint.h>

#include <mmscope/session.h>

#include "collect/order.h"
#include "collect/stamp.h"

struct drain;

#define LANES_MAX 4u

struct drain_stats {
	uint64_t n_records; /* delivered */
	uint64_t n_blocks;  /* given back */
	uint64_t n_late;    /* stamped before a horizon that had passed */
	uint64_t n_holes;   /* reserved, not published so far: a lost record each, or some */
	uint64_t n_bad;     /* words that are no record (damaged block) */
	uint64_t n_barred;  /* threads that get no more blocks: they left too many unfinished */
	uint64_t n_torn;    /* claimed by a process that died before the header */
	uint32_t ring_cells, free_cells; /* at the end of the last round */
	uint32_t threads; /* known and not yet gone */
	uint32_t lanes;   /* the most that one round was merged by */
	uint64_t n_shared; /* rounds that were merged by more than one */
};

/* The session and the sink must outlive the drain.  n_cells_mapped may grow
 * between rounds.  NULL: no memory. */
struct drain *drain_open(const struct mms_session *session, const struct order_sink *sink);
void drain_close(struct drain *d);

/* One round: delivers everything stamped up to now.  Returns the number of
 * records delivered. */
uint64_t drain_round(struct drain *d);

/* The same up to a full stamp, which lies in the past. */
uint64_t drain_round_until(struct drain *d, uint64_t stamp);
/* Now, as a stamp for that. */
uint64_t drain_horizon(struct drain *d);

/* The same with a given full stamp as "now" (tests). */
uint64_t drain_round_at(struct drain *d, uint64_t stamp);

/* The process (one image) has ended: what it left is read to its end in the
 * next rounds, then its slot is given back (order_sink.process_read). */
void drain_process_gone(struct drain *d, uint64_t number);

/* From here on a round may be merged by up to n threads, this one included:
 * processes that forked from each other by the same one.  The sink is called
 * by several then (order_sink.share).  Only where blocks of more than one such
 * family wait, n_blocks or more for each thread. */
void drain_lanes(struct drain *d, uint32_t n, uint32_t n_blocks);

/* The database now has all that was delivered: noted in the session, for
 * `recover` after this process was killed. */
void drain_saved(struct drain *d);

/* Delivers all that is left, taking every thread and process for dead. Ends
 * with round(UINT64_MAX). */
void drain_finish(struct drain *d);

/* The same with a given full stamp as "now" (tests); 0: it is not known. */
void drain_finish_at(struct drain *d, uint64_t stamp);

/* Records of the process that found no block so far; 0 when it is not known
 * (its slot was given back: see process_read). */
uint64_t drain_lost(const struct drain *d, uint64_t number);

void drain_stats(const struct drain *d, struct drain_stats *ret);

/* For full stamps in payloads and slots, and for ticks of the collector. */
const struct stamp_clock *drain_clock(const struct drain *d);

#endif
