/*
 * writer.h - the recording side of the database.
 *
 * The collector is the only caller: store_open once, store_flush now and then
 * (a second or more apart), store_sample each tick, store_finish at the end,
 * store_close always.  One owner, one thread.
 *
 * Every function that returns int returns 0 or -errno; store_error() then has
 * the reason as a text without a file name ("disk is full").  -ENOSPC is a
 * full disk or quota: the database stays readable up to the last good flush,
 * later calls may succeed again.  A database that was not finished is read as
 * 'incomplete', so nothing need be written for that.
 */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct model;
struct mms_session;

/* Where the nodes of stacks are read: the session, or a test's table. */
struct stack_node {
	uint64_t pc;     /* of a root: the module context */
	uint32_t parent; /* id of the caller's node */
	uint32_t flags;  /* enum mms_node_flag */
};
struct stack_source {
	/* False when the id is not known (any more). */
	bool (*node)(const void *arg, uint32_t id, struct stack_node *ret);
	const void *arg;
};
/* The source that reads a mapped session; valid as long as the mapping. */
struct stack_source stack_source_session(const struct mms_session *session);

/* Makes a new database at path (meta state = recording).  An mmscope database
 * or an empty file there is replaced; anything else is -EEXIST.  reason, if
 * not NULL, gets the text of the failure. */
int store_open(const char *path, struct store **ret, char *reason, size_t reason_size);

/* Accepts NULL.  Does not finish: without store_finish the database stays
 * 'incomplete'. */
void store_close(struct store *s);

/* Reason of the last failure; never NULL. */
const char *store_error(const struct store *s);

/* Sets a key of meta (docs/data-model.md lists them); a NULL value removes it.
 * Visible to readers at once. */
int store_meta(struct store *s, const char *key, const char *value);
int store_meta_number(struct store *s, const char *key, int64_t value);

/* Sets the keys that every capture has from the session's header: start,
 * mode, sample bytes, policy, clock, session id, cwd, host, kernel, version,
 * pid and start of the collector. */
int store_meta_session(struct store *s, const struct mms_session *session);

/* Writes what changed since the last flush, in one transaction.  Settles the
 * model (model_settle). */
int store_flush(struct store *s, struct model *m, const struct stack_source *stacks);

/* Copy-on-write of a fork by site (model/cow_sites.h): rows of cow_site, most
 * broken first; those of the same fork and stack are replaced. */
struct cow_site_row;
struct cow_totals;
int store_write_cow_sites(struct store *s, int64_t fork_id, const struct cow_site_row *rows, size_t n,
	const struct cow_totals *totals, const struct stack_source *stacks);

/* One row per tick and process, read from outside; -1: not known.  Kept in
 * memory until the next flush.  Old ticks are thinned out evenly when there
 * are too many (200,000 rows). */
struct store_tick {
	uint64_t process; /* number */
	uint64_t t_ns;
	int64_t rss, vm_size, shared, data; /* bytes */
	int64_t minflt, majflt;
	uint64_t live_bytes, live_blocks;
};
int store_sample(struct store *s, const struct store_tick *tick);

/* Limits, debts and victims at a tick; kept until the next flush, thinned out
 * evenly when there are too many (100,000 rows a table).  UINT64_MAX: not
 * known.  kind and path must live as long as the store. */
struct store_limit {
	uint64_t place, process, t_ns;
	const char *kind, *path;
	uint64_t limit, usage, reclaimable;
	uint64_t residue, swap, failures, oom_kills, stall_us, full_stall_us, peak;
};
struct store_debt {
	uint64_t process, t_ns, place;
	uint64_t touch, stack, cow, cow_huge, page_tables, private_bytes, threads, swap, noreserve;
};
struct store_victim {
	uint64_t place, t_ns;
	const char *path;
	int rank, pid;
	char name[16];
	uint64_t badness;
	int adjustment;
};
int store_limit(struct store *s, const struct store_limit *limit);
int store_debt(struct store *s, const struct store_debt *debt);
int store_victim(struct store *s, const struct store_victim *victim);

/* Raw heap event (--events); written at once, at most 4,000,000. */
int store_heap_event(struct store *s, uint64_t process, uint32_t thread, uint64_t t_ns,
	const char *op, uint64_t address, uint64_t size, uint32_t stack);

/* A time without heap events; end_ns 0: it goes on. */
int store_pause(struct store *s, uint64_t begin_ns, uint64_t end_ns);

/* What was not seen, and why.  One row per (process, kind): a later call
 * replaces it; count 0 removes it.  process 0: the whole capture.  text: one
 * plain sentence.  The writer itself adds those that stand in
 * model_process.coverage and lost_records. */
int store_coverage(struct store *s, uint64_t process, const char *kind, uint64_t count,
	const char *text);

struct store_finish {
	const char *const *debug_dirs; /* further debug roots, NULL-ended; or NULL */
	bool debuginfod;               /* ask the servers in DEBUGINFOD_URLS */
	bool incomplete;               /* state stays incomplete: the end was not seen */
	const char *earlier;           /* database that a killed collector of this session left, to
	                                * be added; or NULL */
};

/* Last flush, symbols, site ids, live blocks; then one plain file without WAL
 * and state = complete.  On failure as much as possible stands in the file
 * and state is 'incomplete'.  options may be NULL. */
int store_finish(struct store *s, struct model *m, const struct stack_source *stacks,
	const struct store_finish *options);

#endif
