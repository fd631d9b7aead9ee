/*
 * process.h - what the model keeps about a process besides model.h, and the
 * calls between the files of the model.
 *
 *   model.c    events: alloc, release, realloc
 *   pair.c     what does not fit at once: early frees, pending allocations
 *   sites.c    totals: process, thread, site, peak, lifetimes, series (count.h)
 *   sampled.c  what a sampled block counts for
 *   inherit.c  blocks that came over a fork
 *   lineage.c  processes, threads, modules, forks
 *   threads.c  many ended threads become one sum
 *   processes.c  many ended processes become one sum for each program
 *   merge.c    one process is added to such a sum
 *   vm_events.c  calls that changed the address space
 */
#ifndef MODEL_PROCESS_H
#define MODEL_PROCESS_H

#include <mmscope/files.h>

#include "model/index.h"
#include "model/live.h"
#include "model/model.h"

/* The slip of stamps is at most 0.3 us (PIPELINE 2); what waits longer than
 * this is decided.  Wide windows repair wrongly. */
#define PAIR_WINDOW_NS 2000u

/* A realloc between its begin and its end.  The old block is out of the live
 * table (its address may be given out again) but still counted. */
enum flight_kind {
	FLIGHT_KNOWN,   /* block is valid */
	FLIGHT_EARLY,   /* not live: an early entry waits for its allocation */
	FLIGHT_UNKNOWN, /* not live, decided: unknown or inherited */
	FLIGHT_PENDING, /* a pending allocation of this thread: it is freed with that */
};
struct flight {
	enum flight_kind kind;
	bool was_last; /* old was what the thread allocated last */
	struct live_block block;
};
#define FLIGHTS_MAX 8 /* nested in signal handlers; more were left by longjmp */

/* With which interval a thread's births were sampled, from when on. */
struct told {
	uint64_t t_ns, interval;
};

struct thread_state {
	uint64_t last_alloc; /* address, while nothing came between; else 0 */
	struct told *told;
	size_t n_told, told_capacity;
	struct flight *flights;
	uint32_t n_flights;
	bool read; /* all of it has been fed */
};

/* A free of an address that is not live: its allocation may still come. */
struct early {
	uint64_t address, t_ns;
	uint32_t thread;
	bool in_flight;  /* a realloc that has not ended */
	bool any_thread; /* see struct recent */
};

/* The latest frees of a process with several threads.  A frees X, gets it
 * again, hands it to B, B frees it; B's stamp slips before all of that.  Then
 * B's free takes A's first block, and A's free finds nothing: it belongs to
 * the next allocation of X, even by A itself. */
#define RECENT_FREES 16
struct recent {
	uint64_t address, t_ns;
	uint32_t thread;
};

/* An allocation of an address that is live: the free may still come. */
struct pending {
	struct live_block block;
	bool nested;    /* may be the outer of two calls that gave the same block */
	bool realloc_in;
	bool freed;     /* by its own thread, before this was decided */
	bool temporary;
	uint64_t freed_ns;
};

/* A block that was live at a fork and freed by the parent since. */
struct ghost {
	uint64_t address, size, alloc_ns, free_ns;
	uint32_t next_plus_1; /* older one of the same address */
	uint32_t site;        /* position in sites */
	uint32_t thread;
};

/* A fork in the parent's records whose child has not been seen yet; the
 * parent's totals at that moment. */
struct open_fork {
	uint64_t t_ns, blocks, bytes;
	uint32_t child_pid; /* 0: not known */
};

struct process_state {
	struct index stacks;  /* stack id -> position in sites */
	uint32_t *dense;      /* the same + 1 for ids below n_dense, 0: none */
	uint32_t n_dense;
	struct index threads; /* thread number -> position in threads */
	size_t sites_capacity, threads_capacity;
	struct thread_state *thread_state; /* beside threads */
	uint32_t thread_at;   /* position of the thread seen last */
	uint32_t site_at;     /* position of the site used last */
	uint64_t epoch;       /* of the peak, sites.c */
	uint64_t untold_interval; /* of threads that told nothing */
	uint64_t merged_interval; /* of threads that were merged */
	size_t merge_at;      /* so many threads are too many */
	const bool *partial;  /* model.partial */

	struct early *early;
	size_t n_early, early_capacity;
	struct recent recent[RECENT_FREES];
	uint32_t recent_at;
	struct pending *pending;
	size_t n_pending, pending_capacity;

	/* inherit.c */
	struct model_process *parent; /* whose blocks were copied; NULL: none */
	uint64_t fork_ns;
	struct index inherited_gone; /* addresses of inherited blocks freed here */
	uint32_t n_heirs;   /* children (by fork) that are not finished */
	bool ended;         /* all of it has been read */
	bool let_go;        /* it is no heir of its parent any more */
	bool ghosting;      /* frees are remembered for the heirs */
	uint64_t last_fork_ns;
	struct index ghost_index;
	struct ghost *ghosts;
	size_t n_ghosts, ghosts_capacity;
	struct open_fork *open_forks;
	size_t n_open_forks, open_forks_capacity;
};

struct lineage {
	struct model_process **active; /* for which a round may have something to do */
	size_t n_active, active_capacity;
	struct index processes; /* number -> position */
	size_t processes_capacity, modules_capacity, forks_capacity;
	/* Files of the session, a bit each: whose place is known, which are loaders,
	 * and which are allocators. */
	uint8_t files[MMS_FILES / 8 + 1], loaders[MMS_FILES / 8 + 1], allocators[MMS_FILES / 8 + 1];
};

/* Its end has not been fed, or something of it still waits. */
static inline bool process_is_active(const struct process_state *st)
{
	return !st->ended || st->n_early || st->n_pending || st->n_open_forks;
}

/* Not in the model yet.  NULL: no memory. */
struct model_process *process_new(const struct model *m, uint64_t number);
void process_free(struct model_process *p);

/* ---- merge.c ---- */

/* An empty sum that processes like p may be added to; it takes p's number.
 * NULL: no memory. */
struct model_process *merge_begin(struct model *m, const struct model_process *p);
/* Adds p to the sum; p is not changed, and to be freed.  False: no memory, and
 * nothing was added. */
bool merge_add(struct model *m, struct model_process *sum, struct model_process *p, const struct model_outside *out);
/* Bytes of the process that are definitely or indirectly lost. */
uint64_t merge_lost(const struct model_process *p);

/* An event for which there was no memory. */
static inline void model_dropped(struct model *m)
{
	__atomic_fetch_add(&m->n_dropped, 1, __ATOMIC_RELAXED);
}

/* Grows *array (of *capacity items of `size` bytes) to hold n + 1. */
bool model_reserve(void *array, size_t *capacity, size_t n, size_t size);

/* A free that found its block. */
static inline void pair_note_free(struct process_state *st, uint64_t address, uint32_t thread, uint64_t t_ns)
{
	st->recent[st->recent_at++ % RECENT_FREES] = (struct recent){ address, t_ns, thread };
}

/* Position of the thread in p->threads; makes it.  INDEX_NONE: no memory. */
uint32_t thread_find(struct model_process *p, uint32_t number, uint64_t t_ns);
static inline uint32_t thread_at(struct model_process *p, uint32_t number, uint64_t t_ns)
{
	uint32_t at = p->state->thread_at;

	if (__builtin_expect(at < p->n_threads && p->threads[at].number == number, 1))
		return at;
	return thread_find(p, number, t_ns);
}

/* ---- threads.c ---- */

void threads_merge(struct model_process *p, uint64_t now_ns);

/* ---- sites.c ---- */

/* A site gets a series when it first has this much live. */
#define SERIES_WORTH_BYTES 16384u

/* Position in p->sites; makes it.  INDEX_NONE: no memory.  count.h has site_at,
 * the short way. */
uint32_t site_find(struct model *m, struct model_process *p, uint32_t stack, uint64_t t_ns);
void process_series_begin(struct model_process *p, uint64_t t_ns);
void site_series_begin(struct model *m, struct heap_site *s, uint64_t t_ns);
void count_alloc(struct model *m, struct model_process *p, const struct live_block *b, bool realloc_in);
/* thread: who frees. */
void count_free(struct model *m, struct model_process *p, const struct live_block *b, uint32_t thread,
	bool temporary, uint64_t t_ns);
/* The allocation was the inner of two calls: as if it had not been. */
void uncount_alloc(struct model *m, struct model_process *p, const struct live_block *b);
void sites_settle(struct model *m, struct model_process *p);

/* ---- sampled.c ---- */

struct estimate_part sampled_part(const struct model_process *p, const struct live_block *b);
void sampled_alloc(struct model *m, struct model_process *p, struct heap_site *s, const struct estimate_part *part);
void sampled_free(struct model_process *p, struct heap_site *s, const struct estimate_part *part);

/* What a block counts for. */
static inline struct estimate_part part_of(const struct model_process *p, const struct live_block *b)
{
	if (__builtin_expect(p->sampled, 0))
		return sampled_part(p, b);
	return (struct estimate_part){ .blocks = 1, .bytes = b->size };
}

/* ---- pair.c ---- */

/* A free (or realloc begin) of what is not live. */
void pair_early_add(struct model *m, struct model_process *p, uint64_t address, uint32_t thread,
	bool in_flight, uint64_t t_ns);
/* True when an early free of another thread belongs to this allocation: both
 * have then been counted. */
bool pair_early_match(struct model *m, struct model_process *p, const struct live_block *b, bool realloc_in);
/* The realloc of an early entry has ended (or failed: forget it). */
void pair_early_landed(struct model_process *p, uint64_t address, uint32_t thread, bool failed);
/* An allocation of an address that is live. */
void pair_pending_add(struct model *m, struct model_process *p, const struct pending *new);
/* True when the free of this address concerned a pending allocation. */
bool pair_pending_free(struct model *m, struct model_process *p, uint64_t address, uint32_t thread,
	bool temporary, uint64_t t_ns);
/* The block at this address has been taken away: what was pending for it is
 * counted.  True when there was any. */
bool pair_pending_activate(struct model *m, struct model_process *p, uint64_t address);
/* The begin of a realloc: only when the thread's own allocation
 * is pending; it is then taken as freed. */
bool pair_pending_take(struct model_process *p, uint64_t address, uint32_t thread, uint64_t t_ns);
/* That realloc failed. */
void pair_pending_restore(struct model_process *p, uint64_t address, uint32_t thread);
/* Decides what is older than the window. */
void pair_expire(struct model *m, struct model_process *p, uint64_t now_ns);
/* A free that has no allocation: inherited, or unknown. */
void pair_free_unknown(struct model_process *p, uint64_t address);

/* ---- inherit.c ---- */

/* Was the address live in the parent (or its parents) at the fork, and is it
 * not freed here yet? */
bool inherit_find(const struct model_process *p, uint64_t address, struct estimate_part *ret);
void inherit_freed(struct model_process *p, const struct live_block *b, uint64_t t_ns);
void inherit_gone(struct model_process *p, uint64_t address, const struct estimate_part *part);
void inherit_begin(struct model_process *child, struct model_process *parent, uint64_t t_ns);
void inherit_fork_seen(struct model_process *parent, struct model_process *child, uint32_t child_pid, uint64_t t_ns);
void inherit_ended(struct model_process *p);
void inherit_round(struct model_process *p, uint64_t horizon_ns);

#endif
