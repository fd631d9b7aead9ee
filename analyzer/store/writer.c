/*
 * writer.c - the database while it is recorded: open, meta, flush, close.
 *
 * Called by the collector only (writer.h).  WAL mode lets readers in at any
 * time; synchronous=NORMAL keeps the file whole over a power cut and costs a
 * sync per checkpoint only.  A flush is one transaction: a reader, or what is
 * left after a SIGKILL of the collector, is always the state of some flush.
 *
 * May not: read the rings, wait for the target, print.
 */
#include "store.h"

#include "mmscope/schema.h"
#include "schema_sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const statement_text[N_STATEMENTS] = {
	[ST_META] = "INSERT OR REPLACE INTO meta VALUES (?,?)",
	[ST_META_REMOVE] = "DELETE FROM meta WHERE key = ?",
	[ST_PROCESS] = "INSERT OR REPLACE INTO process (id, pid, ns_pid, parent_id, parent_pid, exe, argv,"
		" cwd, begin_how, begin_ns, end_how, end_ns, status, peak_bytes, peak_ns, live_blocks, live_bytes,"
		" inherited_blocks, inherited_bytes, inherited_freed, alloc_blocks, alloc_bytes, free_blocks,"
		" unknown_frees, failed_allocs, hiwater_rss, lost_records, engine, followed, merged)"
		" VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_THREAD] = "INSERT OR REPLACE INTO thread VALUES (?,?,?,?,?,?,?,?)",
	[ST_THREADS_REMOVE] = "DELETE FROM thread WHERE process_id = ?",
	[ST_MODULE] = "INSERT OR REPLACE INTO module VALUES (?,?,?,?,?,?,?,?,?,?,?,'pending')",
	[ST_SITE] = "INSERT OR REPLACE INTO heap_site"
		" VALUES (?,?,NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_ESTIMATE] = "INSERT OR REPLACE INTO heap_estimate VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_SNAPSHOT] = "INSERT INTO snapshot VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_SNAPSHOT_SITE] = "INSERT OR REPLACE INTO snapshot_site VALUES (?,?,?,?,?,?,?)",
	[ST_SNAPSHOT_AREA] = "INSERT OR REPLACE INTO snapshot_area VALUES (?,?,?,?,?,?,?,?)",
	[ST_SNAPSHOT_FRAME] = "INSERT OR REPLACE INTO snapshot_frame VALUES (?,?,?,?,?,?,?)",
	[ST_PAUSE] = "INSERT OR REPLACE INTO pause VALUES (?,?)",
	[ST_SERIES] = "INSERT OR REPLACE INTO heap_series VALUES (?,?,?,?,?)",
	[ST_LEFT] = "INSERT OR REPLACE INTO left_block VALUES (?,?,?,?,?,?,?)",
	[ST_LIVE] = "INSERT OR REPLACE INTO live_block VALUES (?,?,?,?,?,?,?)",
	[ST_STACK] = "INSERT OR IGNORE INTO stack (id, parent_id, pc, context, depth, flags)"
		" VALUES (?,?,?,?,?,?)",
	[ST_VM] = "INSERT OR REPLACE INTO vm_event VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_VM_REMOVE] = "DELETE FROM vm_event WHERE id = ?",
	[ST_FORK] = "INSERT INTO fork (id, parent_id, child_id, child_pid, kind, t_ns, pause_ns, thread, stack_id, merged)"
		    " VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET parent_id = excluded.parent_id,"
		    " child_id = excluded.child_id, child_pid = excluded.child_pid, pause_ns = excluded.pause_ns,"
		    " thread = excluded.thread, merged = excluded.merged",
	[ST_COW_FORK] = "UPDATE fork SET method = ?, exact = ?, why = ?, watched_share = ?, areas = ?,"
		" page_tables = ?, arm_parent_ns = ?, arm_child_ns = ?, page_size = ?, pages_shared = ?,"
		" parent_broke = ?, child_broke = ?, both_broke = ?, still_shared = ?, new_parent = ?,"
		" new_child = ?, copies = ?, copies_low = ?, copies_high = ?, error_pages = ?, parent_faults = ?,"
		" child_faults = ?, bytes_changed = ?, identical_pages = ?, counter_pages = ?, pointer_pages = ?,"
		" bulk_pages = ?, watched_ns = ? WHERE id = ?",
	[ST_COW_VMA] = "INSERT OR REPLACE INTO cow_vma VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_COW_INTERVAL] = "INSERT OR REPLACE INTO cow_interval VALUES (?,?,?,?)",
	[ST_COW_PART_INTERVAL] = "INSERT OR REPLACE INTO cow_part_interval VALUES (?,?,?,?,?,?)",
	[ST_COW_SAMPLE] = "INSERT OR REPLACE INTO cow_sample VALUES (?,?,?,?,?,?,?)",
	[ST_TICK] = "INSERT OR REPLACE INTO sample VALUES (?,?,?,?,?,?,?,?,?,?)",
	[ST_LIMIT] = "INSERT OR REPLACE INTO limit_point VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_DEBT] = "INSERT OR REPLACE INTO debt VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_VICTIM] = "INSERT OR REPLACE INTO victim VALUES (?,?,?,?,?,?,?,?)",
	[ST_FAILURE] = "INSERT OR REPLACE INTO alloc_failure VALUES (?,?,?,?,?,?,?,?)",
	[ST_COW_SITE] = "INSERT OR REPLACE INTO cow_site (fork_id, stack_id, pages_shared, parent_broke, child_broke,"
			" both_broke, blocks, bytes, false_blocks, bytes_changed, identical_pages, counter_pages)"
			" VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_KEPT_PROCESS] = "INSERT OR IGNORE INTO temp.kept_process VALUES (?)",
	[ST_KEPT_CONTEXT] = "INSERT OR IGNORE INTO temp.kept_context VALUES (?)",
	[ST_GONE_FORK] = "INSERT OR REPLACE INTO temp.gone_fork VALUES (?,?)",
	[ST_EVENT] = "INSERT INTO heap_event VALUES (NULL,?,?,?,?,?,?,?)",
	[ST_COVERAGE_REMOVE] = "DELETE FROM coverage WHERE process_id IS ? AND kind = ?",
	[ST_COVERAGE] = "INSERT INTO coverage VALUES (NULL,?,?,?,?)",
	[ST_PAGES] = "PRAGMA page_count",
	[ST_FREE_PAGES] = "PRAGMA freelist_count",
	[ST_VMA] = "INSERT OR REPLACE INTO vma VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_VMA_PAGES] = "INSERT OR REPLACE INTO vma_pages VALUES (?,?)",
	[ST_SCAN] = "INSERT OR REPLACE INTO page_scan VALUES (?,?,?,?,?,?,?,?,?,?)",
	[ST_MM] = "INSERT OR REPLACE INTO mm VALUES"
		" (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_DRIFT] = "INSERT OR REPLACE INTO drift VALUES (?,?,?,?,?)",
	[ST_HIDDEN] = "INSERT OR REPLACE INTO hidden VALUES (?,?,?)",
	[ST_GONE] = "INSERT OR REPLACE INTO gone VALUES (?,?,?,?,?)",
	[ST_ALLOCATOR] = "INSERT OR REPLACE INTO allocator VALUES (?,?,?,?,?,?,?,?)",
	[ST_TOUCH] = "INSERT OR REPLACE INTO vma_touch VALUES (?,?,?,?)",
};

sqlite3_stmt *store_statement(struct store *s, enum store_statement which)
{
	if (!s->st[which] &&
		sqlite3_prepare_v3(s->db, statement_text[which], -1, SQLITE_PREPARE_PERSISTENT,
			&s->st[which], NULL) != SQLITE_OK)
		return NULL;
	return s->st[which];
}

int store_fail(struct store *s, int sqlite_code)
{
	return db_failure(s->db, sqlite_code, s->error, sizeof(s->error));
}

int store_no_memory(struct store *s)
{
	snprintf(s->error, sizeof(s->error), "out of memory");
	return -ENOMEM;
}

int store_run(struct store *s, struct row *r)
{
	int code;

	if (!r->st)
		return store_fail(s, sqlite3_errcode(s->db));
	code = row_run(r);
	return code == SQLITE_OK ? 0 : store_fail(s, code);
}

int store_exec(struct store *s, const char *sql)
{
	int code = db_exec(s->db, sql);

	return code == SQLITE_OK ? 0 : store_fail(s, code);
}

static int64_t number_of(struct store *s, enum store_statement which)
{
	sqlite3_stmt *st = store_statement(s, which);
	int64_t value = st && sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;

	sqlite3_reset(st);
	return value;
}

int64_t store_bytes(struct store *s)
{
	if (!s->page_size)
		s->page_size = db_int(s->db, "PRAGMA page_size", 4096);
	return (number_of(s, ST_PAGES) - number_of(s, ST_FREE_PAGES)) * s->page_size;
}

uint64_t store_digest(uint64_t seed, const void *data, size_t size)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ 0x9e3779b97f4a7c15ull;

	while (size) {
		uint64_t word = 0;
		size_t n = size < 8 ? size : 8;

		memcpy(&word, p, n);
		h = (h ^ word) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
		p += n;
		size -= n;
	}
	return h ? h : 1;
}

int store_grow(uint64_t **array, size_t *n_array, size_t n)
{
	if (n <= *n_array)
		return 0;
	size_t room = n + n / 2 + 16;
	uint64_t *grown = realloc(*array, room * sizeof(**array));

	if (!grown)
		return -ENOMEM;
	memset(grown + *n_array, 0, (room - *n_array) * sizeof(*grown));
	*array = grown;
	*n_array = room;
	return 0;
}

static void forget_all(uint64_t *digests, size_t n)
{
	for (size_t i = 0; i < n; i++)
		digests[i] = 0;
}

void store_forget(struct store *s)
{
	for (size_t i = 0; i < s->n_processes; i++) {
		s->processes[i].digest = 0;
		forget_all(s->processes[i].sites, s->processes[i].n_sites);
		forget_all(s->processes[i].threads, s->processes[i].n_threads);
		s->processes[i].thread_merges = UINT32_MAX; /* rows of before a merge may be back */
	}
	s->process_sums = s->ticks_sums = UINT32_MAX; /* rows of before processes were summed may be back */
	forget_all(s->modules, s->n_modules);
	forget_all(s->forks, s->n_forks);
	forget_all(s->vm_events, s->n_vm_events);
	s->n_vm_written = 0;
	s->vm_merges = UINT32_MAX; /* rows of before a merge may be back */
	s->n_failures = 0;
	for (uint32_t i = 0; i < s->n_depth; i++)
		s->depth[i] = 0;
}

/* An mmscope database or an empty file may be replaced, nothing else. */
static int may_replace(const char *path, char *reason, size_t reason_size)
{
	uint8_t head[72] = {0};
	struct stat status;
	ssize_t got = 0;
	int fd;

	if (lstat(path, &status) != 0)
		return errno == ENOENT ? 0 : (snprintf(reason, reason_size, "%s", strerror(errno)), -errno);
	if (S_ISDIR(status.st_mode)) {
		snprintf(reason, reason_size, "is a directory");
		return -EISDIR;
	}
	fd = S_ISREG(status.st_mode) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (fd >= 0) {
		got = pread(fd, head, sizeof(head), 0);
		close(fd);
	}
	if (fd >= 0 && (got == 0 || (!memcmp(head, "SQLite format 3", 16) &&
			!memcmp(head + 68, "MMSC", 4))))
		return 0;
	snprintf(reason, reason_size, "exists and is not a recording of mmscope");
	return -EEXIST;
}

static int remove_old(const char *path, char *reason, size_t reason_size)
{
	static const char *const suffix[] = {"", "-wal", "-shm", "-journal"};
	char name[4096];
	int error = may_replace(path, reason, reason_size);

	for (size_t i = 0; !error && i < sizeof(suffix) / sizeof(suffix[0]); i++) {
		if (snprintf(name, sizeof(name), "%s%s", path, suffix[i]) >= (int)sizeof(name)) {
			snprintf(reason, reason_size, "%s", strerror(ENAMETOOLONG));
			return -ENAMETOOLONG;
		}
		if (unlink(name) != 0 && errno != ENOENT) {
			error = -errno;
			snprintf(reason, reason_size, "%s", strerror(errno));
		}
	}
	return error;
}

static int create_schema(sqlite3 *db)
{
	char text[192];
	int code;

	/* Before WAL: while that is open the file itself holds nothing else, and
	 * what is left after a SIGKILL must be known as ours. */
	snprintf(text, sizeof(text), "PRAGMA page_size = 4096; PRAGMA synchronous = OFF;"
		"PRAGMA application_id = %d; PRAGMA user_version = %d;",
		MMS_APPLICATION_ID, MMS_SCHEMA_VERSION);
	code = db_exec(db, text);
	if (code == SQLITE_OK)
		code = db_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
			"PRAGMA temp_store = MEMORY; BEGIN");
	if (code == SQLITE_OK)
		code = db_exec(db, sql_schema);
	if (code == SQLITE_OK)
		code = db_exec(db, "INSERT INTO meta VALUES ('state', 'recording')");
	if (code == SQLITE_OK)
		code = db_exec(db, "COMMIT");
	return code;
}

int store_open(const char *path, struct store **ret, char *reason, size_t reason_size)
{
	char ignored[64];
	struct store *s;
	int code, error;

	if (!reason) {
		reason = ignored;
		reason_size = sizeof(ignored);
	}
	error = remove_old(path, reason, reason_size);
	if (error)
		return error;
	s = calloc(1, sizeof(*s));
	if (!s) {
		snprintf(reason, reason_size, "out of memory");
		return -ENOMEM;
	}
	/* One thread at a time: it need not lock, nor count its memory. */
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	s->tick_stride = 1;
	s->mm_at = STORE_MM_MAX;
	s->scans_at = STORE_SCANS_MAX;
	code = sqlite3_open_v2(path, &s->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code == SQLITE_OK) {
		sqlite3_busy_timeout(s->db, 5000);
		code = create_schema(s->db);
	}
	if (code != SQLITE_OK) {
		error = db_failure(s->db, code, reason, reason_size);
		store_close(s);
		return error;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(s->st[i]);
	sqlite3_close(s->db);
	for (size_t i = 0; i < s->n_processes; i++) {
		free(s->processes[i].sites);
		free(s->processes[i].threads);
	}
	free(s->processes);
	free(s->modules);
	free(s->forks);
	free(s->vm_events);
	free(s->depth);
	free(s->context);
	free(s->ticks);
	store_pressure_free(s);
	free(s);
}

const char *store_error(const struct store *s) { return s->error[0] ? s->error : "no error"; }

int store_meta(struct store *s, const char *key, const char *value)
{
	struct row r = row_of(store_statement(s, value ? ST_META : ST_META_REMOVE));

	row_text(&r, key);
	if (value)
		row_text(&r, value);
	return store_run(s, &r);
}

int store_meta_number(struct store *s, const char *key, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	return store_meta(s, key, text);
}

int store_coverage(struct store *s, uint64_t process, const char *kind, uint64_t count, const char *text)
{
	struct row r = row_of(store_statement(s, ST_COVERAGE_REMOVE));
	int error;

	row_maybe(&r, process != 0, process);
	row_text(&r, kind);
	error = store_run(s, &r);
	if (error || !count)
		return error;
	r = row_of(store_statement(s, ST_COVERAGE));
	row_maybe(&r, process != 0, process);
	row_text(&r, kind);
	row_int(&r, count);
	row_text(&r, text);
	return store_run(s, &r);
}

int store_pause(struct store *s, uint64_t begin_ns, uint64_t end_ns)
{
	struct row r = row_of(store_statement(s, ST_PAUSE));

	row_int(&r, begin_ns);
	row_maybe(&r, end_ns != 0, end_ns);
	return store_run(s, &r);
}

int store_heap_event(struct store *s, uint64_t process, uint32_t thread, uint64_t t_ns,
	const char *op, uint64_t address, uint64_t size, uint32_t stack)
{
	struct row r = row_of(store_statement(s, ST_EVENT));
	int error = sqlite3_get_autocommit(s->db) ? store_exec(s, "BEGIN IMMEDIATE") : 0;

	if (error)
		return error;
	if (++s->n_events > STORE_EVENTS_MAX)
		return 0;
	row_int(&r, process);
	row_int(&r, thread);
	row_int(&r, t_ns);
	row_text(&r, op);
	row_int(&r, address);
	row_int(&r, size);
	row_int(&r, stack);
	return store_run(s, &r);
}

static int write_all(struct store *s, const struct model *m, const struct stack_source *stacks)
{
	int error = store_sums(s, m);

	if (!error)
		error = store_write_processes(s, m, stacks);
	if (!error)
		error = store_write_modules(s, m);
	if (!error)
		error = store_write_vm_events(s, m, stacks);
	if (!error)
		error = store_write_forks(s, m, stacks);
	if (!error)
		error = store_write_failures(s, m, stacks);
	if (!error)
		error = store_write_ticks(s);
	if (!error)
		error = store_write_pressure(s);
	if (!error)
		error = store_sums_end(s);
	if (!error && s->n_events > STORE_EVENTS_MAX)
		error = store_coverage(s, 0, "events_cut", s->n_events - STORE_EVENTS_MAX,
			"Later heap events were counted but not kept one by one: the list was full.");
	if (!error)
		error = store_meta_number(s, "last_flush_ns", (int64_t)m->now_ns);
	return error;
}

/* heap events open a transaction of their own that the flush ends: one commit
 * for thousands of them. */
int store_flush(struct store *s, struct model *m, const struct stack_source *stacks)
{
	int error;

	model_settle(m);
	if (sqlite3_get_autocommit(s->db)) {
		error = store_exec(s, "BEGIN IMMEDIATE");
		if (error)
			return error;
	}
	error = write_all(s, m, stacks);
	if (!error)
		error = store_exec(s, "COMMIT");
	if (error) {
		if (!sqlite3_get_autocommit(s->db))
			db_exec(s->db, "ROLLBACK");
		store_forget(s);
	}
	return error;
}
