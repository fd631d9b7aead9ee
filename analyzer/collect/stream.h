/*
 * stream.h - what drain keeps: one stream per thread, one entry per cell.
 * Private to drain.c, read.c, holes.c, slots.c and lanes.c.
 *
 *   drain.c  rounds; new blocks; giving blocks back
 *   read.c   records of one stream, in the order of its slots
 *   holes.c  records that came too late for that order
 *   slots.c  process and thread slots: who began, who is dead
 *   lanes.c  which families are merged by which thread
 */
#ifndef COLLECT_STREAM_H
#define COLLECT_STREAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <mmscope/ring.h>

#include "collect/drain.h"

#define NO_CELL 0u /* cell 0 is the header, never a block */

enum cell_use {
	CELL_UNKNOWN, /* free, or not looked at yet */
	CELL_QUEUED,  /* belongs to a stream */
	CELL_PARKED,  /* read, but has a hole and its thread lives */
	CELL_KEPT,    /* read, but holds what the database must have first */
};

struct cell {
	enum cell_use use;
	uint32_t next;    /* in the stream's queue or parked list */
	uint32_t seq;     /* block.thread_seq */
	bool dirty;       /* holds words that are no heads of records */
	bool keep;        /* holds modules or the like: without them stacks mean nothing */
	bool uncounted;   /* is no longer part of header->n_full */
	uint32_t end;     /* kept: offset where reading ended */
	uint32_t n_holes; /* its thread may come back to: parked when it was read */
	uint64_t base_ticks;
};

/* What one thread merges in a round.  As a rule there is but the first. */
struct lane {
	struct drain *d;
	struct order order;
	struct drain_stats stats; /* since they were last added to the drain's */
	uint32_t n_freed;         /* blocks since the last wake */
	uint32_t n_batch;         /* heap events that the sink does not have yet */
	struct order_heap batch[ORDER_BATCH];
	char line_0[64];
	/* The sink has all events of this lane before this time: written by the
	 * lane alone, read by the others. */
	_Atomic uint64_t reached_ns;
	char line_1[64];
};

/* Processes that forked from each other: they share the blocks that were
 * inherited, and are merged by the same thread. */
struct family {
	uint64_t id;      /* number of one of them; 0: of nobody known */
	uint64_t last_ns; /* of what was delivered last: times never run backwards */
	struct lane *lane;
	uint32_t home;     /* number of its lane when last there was more than one */
	uint32_t n_blocks; /* that wait, as lanes_plan counted */
	uint32_t n_processes;
	struct family *next;
};

struct stream {
	struct order_source source; /* first: order knows a stream by it */
	struct drain *d;
	struct family *family;
	struct order_writer who;
	uint32_t thread_slot_plus_1, process_slot;
	bool dead;     /* nothing more will be written: what is missing never comes */
	bool barred;   /* its thread was told to take no more blocks */

	/* The block that is being read; NULL: none. */
	struct mms_block *block;
	uint32_t cell, at, gen; /* at: offset of the next slot */
	uint64_t anchor;        /* no stamp that is still to come is below this */
	uint64_t prev;          /* ticks of the latest record */
	uint64_t hole_ticks;    /* since when `at` is known to be a hole; 0: it is not */
	uint64_t look_ticks;    /* last long look for a hole in a block that stands still */

	uint32_t queue, parked; /* cells */
	struct hole *holes;     /* that were left, and may be filled yet; newest first */
	struct stream *next;    /* in the hash chain */
	struct stream *next_busy; /* has blocks */
	bool busy;
};

/* A process slot as drain knows it. */
struct seen_process {
	uint64_t number; /* 0: slot not in use */
	uint64_t lost;   /* by threads whose slots were given back, and holes */
	uint32_t n_streams;
	struct family *family;
	bool begun;      /* process_begin was delivered */
	bool gone;
};

/* A process slot that was filled: an event in time like the records. */
struct begin_event {
	struct order_source source;
	struct drain *d;
	uint32_t slot;
	struct begin_event *next;
};

struct seen_thread {
	struct stream *stream; /* NULL: none yet */
	bool dying;            /* death notice seen */
};

#define STREAM_BUCKETS 1024u
#define KEPT_MAX 16u /* 1 MiB of the ring */

struct drain {
	const struct mms_session *session;
	const struct order_sink *sink;
	struct stamp_clock clock;
	struct lane lane[LANES_MAX];
	struct lanes *lanes; /* lanes.c; NULL: there never was more than one */
	uint32_t lanes_max;  /* so many may be used */
	uint32_t lane_blocks; /* that must wait for a second one */
	struct drain_stats stats;

	uint64_t now;        /* ticks: the clock when this round began */
	uint64_t done;       /* ticks: all before was delivered */
	uint64_t hole_wait;  /* ticks */
	bool finishing;      /* everything counts as dead */
	bool clock_unknown;  /* finishing a session whose clock was another one */

	struct cell cells[MMS_MAX_CELLS];
	struct stream *buckets[STREAM_BUCKETS];
	struct stream *busy;
	pthread_mutex_t kept_lock; /* of the two below, while lanes run */
	uint32_t kept[KEPT_MAX]; /* cells, oldest first */
	uint32_t n_kept;

	struct seen_process *processes; /* by slot */
	uint32_t n_processes;
	struct family *families, nobody; /* nobody's: of streams without a slot */
	uint64_t next_process; /* header's, when the slots were last looked at */
	bool claimed_seen;     /* a slot was being filled then */
	bool rescan;
	struct begin_event *begins;

	struct seen_thread *threads; /* by slot */
	uint32_t n_threads, check_at;
	uint32_t *dying;             /* thread slots without a stream that died */
	uint32_t n_dying, dying_capacity;
	uint64_t check_ticks;        /* next liveness check */
};

/* ---- drain.c ---- */

/* The current block has been read as far as it goes. */
void block_finished(struct stream *s);
/* The sink gets the heap events that wait: before each other call of it. */
static inline void batch_flush(struct lane *l)
{
	if (!l->n_batch)
		return;
	uint64_t t_ns = l->batch[l->n_batch - 1].t_ns;
	l->d->sink->heap(l->d->sink->arg, l->batch, l->n_batch);
	l->n_batch = 0;
	if (t_ns > atomic_load_explicit(&l->reached_ns, memory_order_relaxed))
		atomic_store_explicit(&l->reached_ns, t_ns, memory_order_release);
}

/* ---- read.c ---- */

/* Sets source.ticks to the next record's; false: there is none to be had. */
bool stream_next(struct stream *s);
bool stream_run(struct order_source *source, uint64_t limit);
/* Starts to read a block. */
void stream_open_block(struct stream *s, uint32_t cell);
/* Slots of the record at this offset of a cell that was read; 0: none yet. */
uint32_t stream_late_slots(const struct stream *s, uint32_t cell, uint32_t at);
/* The same where no record need begin. */
bool stream_late_plausible(const struct stream *s, uint32_t cell, uint32_t at);
/* Delivers the record there. */
void stream_late(struct stream *s, uint32_t cell, uint32_t at);

/* ---- holes.c ---- */

/* The slots in [from, to) are left without their records. */
void holes_leave(struct stream *s, uint32_t cell, uint32_t from, uint32_t to);
/* Begin of a round: what came meanwhile is delivered. */
void holes_read(struct stream *s);
/* The cell goes back: nothing more is expected there.  NO_CELL: all do. */
void holes_forget(struct stream *s, uint32_t cell);

/* ---- slots.c ---- */

/* New process slots; their begin events. */
void slots_scan(struct drain *d);
void slots_check_alive(struct drain *d);
bool slots_add_begins(struct drain *d);
struct seen_process *slots_process(struct drain *d, uint64_t number);
/* The family of the process in that slot; nobody's when it is of another. */
struct family *slots_family(struct drain *d, uint32_t slot, uint64_t number);
/* The stream belongs to this thread slot. */
void slots_bind(struct drain *d, struct stream *s);
void slots_stream_finished(struct drain *d, struct stream *s);
/* End of a round: slots of the dead are given back. */
void slots_release(struct drain *d);
void slots_done(struct drain *d);

/* ---- lanes.c ---- */

/* Begin of a merge: gives each family its lane; their number. */
uint32_t lanes_plan(struct drain *d);
/* Merges all of them, each up to its horizon.  All families are back in the
 * first lane then. */
void lanes_merge(struct drain *d, uint32_t n);
void lanes_done(struct drain *d);

#endif
