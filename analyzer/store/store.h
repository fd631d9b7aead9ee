/*
 * store.h - what the files of the writing side share.  Private to store/.
 *
 *   writer.c       open, meta, flush, close
 *   rows.c         processes, threads, modules, events: model -> rows
 *   sums.c         what goes when processes are summed up
 *   sites.c        totals per stack, series, live blocks: model -> rows
 *   stack_rows.c   chains of the session's stack table -> rows
 *   spaces.c       address spaces: rows as the collector gives them
 *   cow.c          copy-on-write of forks: likewise
 *   cow_rows.c     copy-on-write of forks, likewise
 *   ticks.c        samples; pressure.c limits, debts, victims: ticks -> rows
 *   finish.c       the end of a recording
 *   frames.c       symbols and site ids, inside the database
 *
 * What was written is remembered as a digest per object, so that a flush
 * touches only what changed.  The memory is about the last COMMIT: after a
 * rollback everything is forgotten (store_forget) and written again; all
 * inserts replace.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "db.h"
#include "writer.h"

#include "model/model.h"

#define STORE_LIMIT_BYTES (60ll << 20)      /* size to stay below, live blocks included */
#define STORE_SITES_BYTES (36ll << 20)      /* from here on small sites of new processes are left out */
#define STORE_LIVE_MAX 1000000u             /* rows of live_block */
#define STORE_TICKS_MAX 200000u             /* rows of sample */
#define STORE_MM_MAX 100000u                /* rows of mm */
#define STORE_SCANS_MAX 100000u             /* rows of page_scan */
#define STORE_PRESSURE_MAX 100000u          /* rows of limit_point, of debt and of victim */
#define STORE_EVENTS_MAX 4000000u           /* rows of heap_event */
#define STORE_SERIES_BYTES (8u << 20)       /* all heap_series blobs together */

enum store_statement {
	ST_META, ST_META_REMOVE, ST_PROCESS, ST_THREAD, ST_THREADS_REMOVE, ST_MODULE, ST_SITE, ST_ESTIMATE, ST_PAUSE, ST_SERIES, ST_LIVE, ST_LEFT,
	ST_STACK, ST_VM, ST_VM_REMOVE, ST_FORK, ST_TICK, ST_EVENT, ST_COVERAGE_REMOVE, ST_COVERAGE,
	ST_VMA, ST_VMA_PAGES, ST_SCAN, ST_MM, ST_DRIFT, ST_HIDDEN, ST_GONE, ST_ALLOCATOR,
	ST_TOUCH,
	ST_LIMIT, ST_DEBT, ST_VICTIM, ST_FAILURE, ST_COW_FORK, ST_COW_VMA, ST_COW_SAMPLE, ST_COW_SITE,
	ST_COW_INTERVAL, ST_COW_PART_INTERVAL,
	ST_KEPT_PROCESS, ST_KEPT_CONTEXT, ST_GONE_FORK,
	ST_SNAPSHOT, ST_SNAPSHOT_SITE, ST_SNAPSHOT_AREA, ST_SNAPSHOT_FRAME,
	ST_PAGES, ST_FREE_PAGES,
	N_STATEMENTS
};

struct written_process {
	uint64_t digest;   /* of the process row */
	uint64_t *sites;   /* digest per site, by index in the model */
	size_t n_sites;
	uint64_t *threads; /* digest per thread */
	size_t n_threads;
	uint32_t thread_merges; /* as in the model when they were written */
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *st[N_STATEMENTS];
	int64_t page_size;
	char error[256];
	struct written_process *processes; /* by index in the model */
	size_t n_processes;
	uint64_t *modules; /* digest per module, by index in the model */
	size_t n_modules;
	uint64_t *forks;
	size_t n_forks;
	uint64_t *vm_events;
	size_t n_vm_events;
	size_t n_vm_written;  /* rows of vm_event have ids 1 to this */
	uint32_t vm_merges;   /* as in the model when they were written */
	uint32_t process_sums; /* likewise, of processes, modules and forks */
	uint32_t ticks_sums;   /* those of which store_sums_end knows */
	uint16_t *depth;      /* per stack id: depth of a written node, 0: not written */
	uint32_t *context;    /* per stack id: module context of a written node */
	uint32_t n_depth;
	struct store_tick *ticks; /* waiting for the next flush */
	size_t n_ticks, ticks_room;
	uint64_t ticks_written, tick_stride, last_tick_ns, tick_number;
	struct pressure_rows *pressure; /* limits, debts and victims, waiting likewise */
	size_t n_failures; /* rows of alloc_failure have ids 1 to this */
	uint64_t n_events;
	uint64_t n_mm, n_scans; /* rows, at most */
	uint64_t mm_at, scans_at; /* thinned when there are so many */
	uint64_t n_thinned;     /* of these, taken out */
	uint64_t live_left_out;
};

/* Statement of the kind, compiled on first use; NULL: see store_fail. */
sqlite3_stmt *store_statement(struct store *s, enum store_statement which);
/* Runs a row of a statement of this store; 0 or -errno with the text set. */
int store_run(struct store *s, struct row *r);
int store_exec(struct store *s, const char *sql);
int store_fail(struct store *s, int sqlite_code);
int store_no_memory(struct store *s);
void store_forget(struct store *s);
/* Old ended processes became sums in the model: rows that nothing stands for
 * go, and what is in the model is written anew. */
int store_sums(struct store *s, const struct model *m);
/* After all else of the flush. */
int store_sums_end(struct store *s);

/* Digest of a run of bytes; never 0, which stands for "not written". */
uint64_t store_digest(uint64_t seed, const void *data, size_t size);
/* Grows a zeroed array of digests to n entries. */
int store_grow(uint64_t **array, size_t *n_array, size_t n);

int store_write_processes(struct store *s, const struct model *m, const struct stack_source *stacks);
int store_write_modules(struct store *s, const struct model *m);
int store_write_vm_events(struct store *s, const struct model *m, const struct stack_source *stacks);
int store_write_forks(struct store *s, const struct model *m, const struct stack_source *stacks);
int store_write_failures(struct store *s, const struct model *m, const struct stack_source *stacks);
int store_write_ticks(struct store *s);
int store_write_pressure(struct store *s);
void store_pressure_free(struct store *s);
/* Totals of the sites that changed. */
int store_write_sites(struct store *s, const struct model_process *p, struct written_process *w,
	const struct stack_source *stacks);
struct store_amounts {
	uint64_t alloc_bytes, alloc_blocks, live_bytes, live_blocks, peak_bytes, peak_blocks;
};
int store_write_estimate(struct store *s, uint64_t process, int64_t stack, const struct sampled_sums *sums,
	const struct store_amounts *amounts);
int store_write_process_series(struct store *s, const struct model_process *p);
/* Series of all sites, and live blocks, within what room there is. */
int store_write_all_series(struct store *s, const struct model *m);
int store_write_live_blocks(struct store *s, const struct model *m);
/* The chain of a stack id, once; 0 and unknown ids write nothing. */
int store_write_stack(struct store *s, uint32_t id, const struct stack_source *stacks);

/* Series as the blob of heap_series; merges `merge` buckets to one.  Returns
 * the bytes written; the room needed is at most series_blob_room(). */
size_t series_blob_room(uint32_t n_buckets);
struct series;
size_t series_blob(const struct series *s, uint32_t merge, uint8_t *out);

/* Permissions as in /proc/PID/maps; why an area exists (enum mms_origin). */
void store_perms(char text[5], uint32_t prot, int shared);
const char *store_origin_word(uint32_t origin);

/* Size of the database, less pages that are free. */
int64_t store_bytes(struct store *s);

/* absorb.c: adds the database that stands at path.  -EINVAL: it is none of
 * this session, or it is complete; nothing was added. */
int store_absorb_begin(struct store *s, const char *path);
int store_absorb_end(struct store *s);

#endif
