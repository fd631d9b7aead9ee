/*
 * model.h - what the collector knows, in memory.
 *
 * The model is fed with decoded events in (nearly) time order and keeps live
 * blocks, totals per stack, peaks, series and the process tree.  It knows
 * neither the rings nor SQLite: collect/ feeds it, store/writer.c reads it.
 * One owner.  While `turn` is set several threads feed it, each other families of
 * processes; what the model keeps of all is then touched after model_turn alone,
 * and now_ns lies after all that they feed.
 *
 * Times are ns since the capture's start.  "Stack" is a session stack id.
 * Objects belong to the model and live until model_free; strings are copied.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/record.h>

#include "model/estimate.h"
#include "model/reach.h"

/* Threads of a process that have a row; when there are more, ended ones are
 * merged.  Those that live always have one. */
#define MODEL_THREADS_MAX 4096u

/* Processes that have a row of their own; when there are more, old ended ones
 * become sums, one for each program.  Programs that have a sum; what the other
 * ones did is one sum more. */
#define MODEL_PROCESSES_MAX 4096u
#define MODEL_SUMS_MAX 256u

#define LIFE_BUCKETS 48 /* log2 of a lifetime in ns */

struct series;      /* series.h */
struct live_table;  /* live.h */
struct lineage;

/* Where blocks were sampled, all figures below are estimates; what they rest on. */
struct sampled_sums {
	struct estimate_sum alloc, live, at_peak, peak; /* peak: valid after model_settle() */
};

/* Of the live blocks of a stack in a sum of processes: what a look for pointers
 * found, by enum reach_verdict, and when they were born. */
#define LEFT_VERDICTS 5
struct site_left {
	uint64_t blocks[LEFT_VERDICTS], bytes[LEFT_VERDICTS];
	uint64_t oldest_ns, youngest_ns;
};

/* Totals of one stack in one process.  "Peak" is the composition at the
 * process's peak, exact (PIPELINE: epoch scheme). */
struct heap_site {
	/* What every event touches: two cache lines. */
	uint32_t stack;
	uint32_t last_thread;
	uint64_t alloc_blocks, alloc_bytes;
	uint64_t free_blocks, free_bytes;
	uint64_t live_blocks, live_bytes;
	uint64_t own_peak_bytes;

	uint64_t at_peak_blocks, at_peak_bytes, epoch; /* private to sites.c */
	uint64_t min_size, max_size;
	uint64_t first_ns, last_ns;
	struct series *series; /* live bytes; NULL until it is worth one */

	uint64_t life_ns_sum; /* of freed blocks */
	uint64_t temporary_blocks;
	uint64_t cross_frees;
	uint64_t realloc_in;
	uint64_t peak_blocks, peak_bytes; /* valid after model_settle() */
	struct sampled_sums *sampled; /* NULL: every block was recorded */
	struct site_left *left; /* in a sum of processes whose blocks were all recorded */
	uint32_t life_hist[LIFE_BUCKETS];
};

struct model_thread {
	uint32_t number; /* as in mms_block.thread_number */
	uint32_t tid;
	char name[16];
	uint64_t begin_ns, end_ns; /* end 0: not ended */
	uint64_t tcb; /* its thread pointer; 0: not known */
	uint64_t alloc_blocks, alloc_bytes;
};

struct model_module {
	uint64_t id; /* from 1, and never again */
	uint32_t context;
	uint8_t flags; /* enum mms_module_flag */
	uint32_t file;  /* its number in the session (files.h); 0: none */
	uint64_t start, end, bias;
	uint64_t load_ns, unload_ns; /* unload 0: still there */
	char *path;
	uint8_t build_id[24];
	uint8_t build_id_length;
	uint64_t process; /* number of the process that reported it */
};

struct model_process {
	uint64_t number;
	/* Not 0: the sum of so many ended processes; the peak is the highest of one
	 * of them, exe is NULL for the sum of all other programs. */
	uint64_t n_summed;
	uint32_t pid, ns_pid, parent_pid;
	uint64_t parent; /* process number; 0: none */
	uint64_t family; /* the same for all that forked from each other: number of one of them */
	char *exe, *argv; /* argv: NUL separated, argv_bytes long */
	size_t argv_bytes;
	char *cwd; /* read from outside by the collector; NULL: not known */
	char *next_exe; /* path of its last exec; NULL: it made none */
	bool unrecorded; /* known from outside only: a program that the preload cannot enter */
	uint32_t begin;   /* enum mms_begin; 0 unknown */
	uint32_t end;     /* enum mms_end */
	bool runs_on;     /* the recording was ended before it */
	bool read;        /* all that it recorded has been fed */
	bool is_wanted;   /* a snapshot is of it: it becomes no part of a sum */
	bool was_followed; /* the image that came after it in its process is part of a sum */
	int32_t status;
	bool status_known;
	bool reaped;      /* its parent told what its wait gave: reaped_status */
	int32_t reaped_status;
	uint64_t begin_ns, end_ns;
	uint32_t context;
	uint32_t coverage; /* enum mms_coverage bits */
	uint32_t engine;
	uint64_t lost_records, nested, self_bytes, audited, audit_failed;

	uint64_t alloc_blocks, alloc_bytes, free_blocks;
	uint64_t live_blocks, live_bytes;
	uint64_t peak_bytes, peak_blocks, peak_ns;
	/* The parent's blocks in the child's memory: at the fork, and of these
	 * freed here. */
	uint64_t inherited_blocks, inherited_bytes;
	uint64_t inherited_freed, inherited_freed_bytes;
	uint64_t unknown_frees, failed_allocs;
	uint64_t repaired, replaced, nested_allocs; /* tolerant pairing, PIPELINE 2 */
	uint64_t hiwater_rss;

	/* Where it stood when it asked to be read at its end; sp 0: it did not. */
	uint64_t roots_sp, roots_registers[6];
	/* What became of its blocks then: address << 8 | enum reach_verdict,
	 * sorted.  Those allocated later than judged_ns are not among them. */
	uint64_t *verdicts;
	size_t n_verdicts;
	uint64_t judged_ns;

	bool sampled;             /* not every birth was recorded */
	struct sampled_sums sums; /* then */

	struct live_table *live;
	struct series *series; /* of the whole process */
	struct model_thread *threads;
	size_t n_threads;
	struct model_thread merged; /* sums of ended threads that have no row any more */
	uint64_t n_merged;
	uint32_t thread_merges; /* positions in threads changed so often */
	struct heap_site **sites; /* by first appearance */
	size_t n_sites;
	struct process_state *state; /* private, process.h */
};

#define MODEL_VM_EVENTS_MAX 150000u
struct model_vm_event {
	uint64_t process;
	uint32_t thread, stack, op; /* enum mms_long; 0: it failed, pass over it */
	uint64_t t_ns;
	uint64_t address, length, address2, length2, offset;
	uint32_t prot, flags;
	int32_t fd;
};

struct model_fork {
	uint64_t id;        /* from 1, and never again */
	uint64_t n_summed;  /* not 0: the sum of so many forks; t_ns is the first one's */
	uint64_t sum_kind;  /* then: model_outside.fork_kind of each */
	uint64_t parent;    /* process number */
	uint64_t child;     /* 0: child not seen */
	uint32_t child_pid, kind, thread, stack;
	uint64_t t_ns, pause_ns;
};

/* An allocation that returned NULL. */
#define MODEL_FAILURES_MAX 1000
struct model_failure {
	uint64_t process, t_ns, size;
	uint32_t thread, stack;
	int32_t error;
	uint16_t huge; /* of a pool: log2 of its pages' bytes, or MMS_HUGE_DEFAULT; else 0 */
	bool block; /* asked of malloc and its kin; else a mapping, the break or (size 0) a fork */
	struct mms_own_limits own; /* at that moment; mm.total 0: not known */
};

struct model {
	struct model_process **processes; /* by first appearance */
	size_t n_processes;
	struct model_module *modules;
	size_t n_modules;
	struct model_vm_event *vm_events; /* at most MODEL_VM_EVENTS_MAX, vm_events.c */
	size_t n_vm_events, vm_capacity;
	uint64_t n_vm_merged; /* left out because they cancelled out or changed no mapping */
	uint64_t n_vm_cut;    /* left out because the list was full */
	uint32_t vm_merges;   /* positions in vm_events changed so often */
	bool vm_full;
	struct model_fork *forks; /* ids go up */
	size_t n_forks;
	uint64_t last_fork, last_module; /* ids given */
	size_t n_sums;          /* processes that are sums */
	size_t sum_at;          /* so many processes are too many */
	uint32_t process_sums;  /* positions in processes, modules and forks changed so often */
	uint64_t n_vm_summed;   /* address-space calls of processes that became part of a sum */
	/* Forks that became part of another one: pairs, to be forgotten by who wrote
	 * them (model_summed_forget). */
	struct model_fork_summed {
		uint64_t id, into;
	} *fork_summed;
	size_t n_fork_summed;
	struct model_failure *failures; /* the first MODEL_FAILURES_MAX */
	size_t n_failures;
	void (*turn)(uint64_t t_ns); /* see above; NULL as a rule */
	bool partial; /* not all births are known: a free of an unknown block says nothing */
	uint64_t untold_interval; /* model_sampling of threads whose word was lost; 0 as a rule */
	uint64_t now_ns; /* time of the latest event */
	uint64_t n_dropped;      /* events for which there was no memory */
	uint32_t n_series;       /* sites that have one */
	uint64_t series_worth;   /* live bytes from which on a site gets one */
	struct lineage *lineage; /* private to lineage.c */
};

/* Events of other families at t_ns and before have been fed, and those after are
 * not, as far as they touch what is kept of all. */
static inline void model_turn(const struct model *m, uint64_t t_ns)
{
	if (m->turn)
		m->turn(t_ns);
}

/* Returns NULL when out of memory. */
struct model *model_new(void);
void model_free(struct model *m);

/* Finds or makes the process.  Parent and begin may be filled in later. */
struct model_process *model_process(struct model *m, uint64_t number);
struct model_thread *model_thread(struct model_process *p, uint32_t number, uint32_t tid, uint64_t t_ns);

/* NULL: not known.  Does not make one. */
struct model_process *model_process_find(const struct model *m, uint64_t number);

/* What the process runs; argv: NUL separated. */
void model_process_image(struct model_process *p, const char *exe, size_t exe_length,
	const char *argv, size_t argv_length);

/* All that the process recorded has been fed (order_sink.process_read).  How
 * it ended is filled in by the caller.  Sets end_ns where it is not known. */
void model_process_ended(struct model *m, struct model_process *p, uint64_t t_ns);

void model_thread_named(struct model_process *p, uint32_t number, const char *name, size_t length);
void model_thread_ended(struct model_process *p, uint32_t number, uint64_t t_ns);
/* All that it recorded has been fed: it may be merged. */
void model_thread_read(struct model_process *p, uint32_t number, uint64_t t_ns);

/* Copies *module; its path is given apart and need not end with NUL.  What
 * stood in the process's previous context and is listed again keeps its
 * load_ns and stays loaded. */
void model_module_loaded(struct model *m, struct model_process *p, const struct model_module *module,
	const char *path, size_t path_length, uint64_t t_ns);
/* Does a canonical pc lie in a dynamic loader? */
bool model_is_loader(const struct model *m, uint64_t pc);
/* In a library that is a malloc of its own? */
bool model_is_allocator(const struct model *m, uint64_t pc);

/* The process reads its pcs in a new context from now on. */
void model_context(struct model *m, struct model_process *p, uint32_t context, uint64_t t_ns);

void model_vm(struct model *m, const struct model_vm_event *e);
/* The parent's VM record of this thread did not happen after all. */
void model_vm_failed(struct model *m, uint64_t process, uint32_t thread, uint32_t op);

/* fork and its family, from the parent's record: f->child is found by pid
 * now or when the child appears. */
void model_fork_seen(struct model *m, const struct model_fork *f);

/* The child of a fork or spawn begins (pid and begin are filled in): after a
 * fork it starts with its parent's live totals, as they were at the fork,
 * counted as inherited. */
/* A wait of this process gave the end of the child with this pid. */
void model_reaped(struct model *m, const struct model_process *parent, uint32_t pid, int32_t wait_status, uint64_t t_ns);
void model_forked(struct model *m, struct model_process *child, struct model_process *parent, uint64_t t_ns);

/* Heap events.  Order and meaning as in record.h; tolerant pairing as
 * PIPELINE.md 2 (early frees, pending allocations, hidden nesting). */
void model_alloc(struct model *m, struct model_process *p, uint32_t thread, uint64_t address,
	uint64_t size, uint32_t stack, uint64_t t_ns);
/* alone: the thread did nothing else since it got the block; asked for only
 * where births are sampled. */
void model_release(struct model *m, struct model_process *p, uint32_t thread, uint64_t address, bool alone,
	uint64_t t_ns);
void model_realloc_begin(struct model *m, struct model_process *p, uint32_t thread, uint64_t old, uint64_t t_ns);
void model_realloc_end(struct model *m, struct model_process *p, uint32_t thread, uint64_t address,
	uint64_t size, uint32_t stack, uint64_t t_ns);
/* freed: realloc(p, 0) freed the block; otherwise it lives on. */
void model_realloc_fail(struct model *m, struct model_process *p, uint32_t thread, uint64_t old, bool freed, uint64_t t_ns);

/* From here on the thread's births are recorded with this mean distance in
 * bytes; 0: all of them, as at its begin. */
void model_sampling(struct model *m, struct model_process *p, uint32_t thread, uint64_t interval, uint64_t t_ns);

/* An event of this address comes in a while (far), soon (near): a hint.  Worth
 * it for a process whose blocks fit no cache. */
bool model_is_large(const struct model_process *p);
void model_ahead_far(const struct model_process *p, uint64_t address);
void model_ahead_near(const struct model_process *p, uint64_t address);

/* Counts it, and keeps it where there is room. */
void model_alloc_failed(struct model *m, const struct model_failure *failure);

/* Called by collect at the end of each round (horizon reached): old entries
 * of the early and pending lists are decided; UINT64_MAX decides all. */
void model_round(struct model *m, uint64_t horizon_ns);

/* What only others know of processes that ended. */
struct model_outside {
	/* What the frames of a stack are in their files, as a number that is the same
	 * in all processes, and the module context that the stack is read in. */
	uint64_t (*place)(void *arg, const struct model *m, uint32_t stack);
	uint32_t (*context)(void *arg, uint32_t stack);
	/* More will be asked of it, or told. */
	bool (*needs)(void *arg, const struct model_process *p);
	/* 0: the fork is needed as it is; else only forks with the same word are summed. */
	uint64_t (*fork_kind)(void *arg, const struct model_fork *f);
	void *arg;
	bool over;  /* nothing will come any more */
	size_t max; /* MODEL_PROCESSES_MAX, fewer in tests */
};
/* Too many processes: sums up old ended ones.  What stays: those that live, first
 * ones and ancestors of who lives, a quarter of the maximum of the newest, and
 * of each a sixteenth those with the highest peaks, with most lost bytes, and
 * that signals ended.  True: some went, and pointers to them are void. */
bool model_sum_up(struct model *m, const struct model_outside *out);
bool model_has_too_many(const struct model *m, size_t max);
void model_summed_forget(struct model *m);

struct model_fork *model_fork_find(const struct model *m, uint64_t id);

void site_left_add(struct site_left *left, enum reach_verdict verdict, uint64_t size, uint64_t t_ns);

/* What a look for pointers at the end of the process found of a live block. */
enum reach_verdict model_verdict(const struct model_process *p, uint64_t address, uint64_t t_ns);

/* Brings lazily kept figures up to date (peak composition).  Idempotent; the
 * model can be fed further afterwards. */
void model_settle(struct model *m);

/* A realloc has begun whose end has not been fed: where its block is now is not
 * known. */
bool model_is_moving(const struct model_process *p);

/* Calls fn for every live block of the process, in no order. */
void model_live_blocks(const struct model_process *p,
	void (*fn)(void *arg, uint64_t address, uint64_t size, uint32_t stack, uint32_t thread, uint64_t t_ns),
	void *arg);

/* The blocks that lay in p's memory at t_ns, the time of one of its forks, its
 * parents' inherited ones included: those that live, and those that were freed
 * since and are remembered.  They are, from model_blocks_hold (at the fork) to
 * model_blocks_release, or while a child of that fork is not finished.  A block
 * in the middle of a realloc is left out; so is one that p inherited and freed
 * since, even if that was after t_ns. */
void model_blocks_at(const struct model_process *p, uint64_t t_ns,
	void (*fn)(void *arg, uint64_t address, uint64_t size, uint32_t stack), void *arg);
/* False: p is finished, nothing is held, and nothing may be released. */
bool model_blocks_hold(struct model_process *p);
void model_blocks_release(struct model_process *p);
/* The parent's blocks that a forked process still has in its memory. */
void model_inherited_blocks(const struct model_process *p,
	void (*fn)(void *arg, uint64_t address, uint64_t size), void *arg);

#endif
