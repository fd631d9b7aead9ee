/*
 * ring.h - blocks of the session's ring: claim, close, wake, wait.
 *
 * Knows the session file and nothing of threads.  Nothing here needs a lock,
 * and nothing but ring_wait makes the caller stand still.
 */
#ifndef CAPTURE_RING_H
#define CAPTURE_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <mmscope/ring.h>
#include <mmscope/session.h>

/* Takes a free block for this owner word (mms_owner_word); NULL: there is
 * none.  Until the caller stores base_stamp the block counts as torn. */
struct mms_block *ring_claim(const struct mms_session *s, uint64_t owner);

/* Puts b into the page tables of this process: its records take no page fault. */
void ring_touch(struct mms_block *b);

/* The writer is done with b.  may_call: system calls are allowed (wakes the
 * collector when it sleeps and an eighth of the ring is full). */
void ring_close(const struct mms_session *s, struct mms_block *b, enum mms_closed how, bool may_call);

/* Asks the collector for more cells of a kind. */
void ring_want(const struct mms_session *s, enum mms_cell_kind kind, bool may_call);

/* The collector as far as a target can see; finds out a dead one. */
enum mms_collector_state ring_collector(const struct mms_session *s);

/* What a wait has behind it; zero before the first. */
struct ring_patience {
	uint64_t since_ns;  /* CLOCK_MONOTONIC of the last progress seen */
	uint32_t seen;      /* free_seq then */
	bool again;         /* this thread gave up before and had no block since */
};

/* Sleeps, at most 50 ms, while free_seq is still `seen` (read before the
 * attempt that failed).  False: waiting makes no sense (any more): nobody
 * empties the ring, or nothing has moved for as long as the limits below. */
bool ring_wait(const struct mms_session *s, uint32_t seen, struct ring_patience *p);

#define RING_WAIT_NS 50000000ull
#define RING_PATIENCE_NS 10000000000ull /* a collector that lives but does nothing */
#define RING_PINNED_NS 200000000ull     /* all blocks are open, and there are no more */
#define RING_COMING_NS 2000000000ull    /* a collector that was started but is not there yet */

#endif
