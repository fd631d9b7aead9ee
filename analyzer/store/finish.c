/*
 * finish.c - the end of a recording: symbols, sites, live blocks, one file.
 *
 * Called once by the collector when the last process of the session is gone.
 * Each part is a transaction of its own: when the disk fills up in the middle,
 * what was written stays, the rest is missing, and the state says so.  A
 * reader that finds state = finishing waits for us (capture.c).
 */
#include "store.h"

#include "alive.h"
#include "frames.h"

#include "mmscope/schema.h"
#include "mmscope/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

int store_meta_session(struct store *s, const struct mms_session *session)
{
	const struct mms_header *h = session->header;
	struct utsname host;
	char id[33], boot[64], system[192], realtime[64];
	time_t seconds = (time_t)(h->start_realtime_ns / 1000000000u);
	struct tm tm;
	int error = 0;

	for (size_t i = 0; i < sizeof(h->id); i++)
		sprintf(id + 2 * i, "%02x", h->id[i]);
	alive_boot_id(boot);
	uname(&host);
	snprintf(system, sizeof(system), "%.60s %.60s %.60s", host.sysname, host.release, host.machine);
	strftime(realtime, sizeof(realtime), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
	const struct {
		const char *key, *text;
		int64_t number;
	} meta[] = {
		{"version", MMS_VERSION, 0}, {"session_id", id, 0}, {"host", host.nodename, 0},
		{"kernel", system, 0}, {"boot_id", boot, 0}, {"cwd", h->cwd, 0}, {"start", realtime, 0},
		{"start_realtime_ns", NULL, (int64_t)h->start_realtime_ns},
		{"mode", h->mode == MMS_MODE_SAMPLE ? "sample" : "exact", 0},
		{"sample_bytes", NULL, (int64_t)h->sample_bytes},
		{"policy", h->policy == MMS_POLICY_DROP ? "drop" : "block", 0},
		{"clock", h->clock == MMS_CLOCK_TSC ? "tsc" : "monotonic_raw", 0},
		{"clock_hz", NULL, (int64_t)h->clock_hz},
		{"page_size", NULL, sysconf(_SC_PAGESIZE)},
		{"collector_pid", NULL, getpid()},
		{"collector_start", NULL, (int64_t)alive_start(getpid())},
	};
	for (size_t i = 0; !error && i < sizeof(meta) / sizeof(meta[0]); i++)
		error = meta[i].text ? store_meta(s, meta[i].key, meta[i].text)
			: store_meta_number(s, meta[i].key, meta[i].number);
	return error;
}

/* Runs one part in a transaction of its own. */
static int end_part(struct store *s, int error)
{
	if (!error)
		error = store_exec(s, "COMMIT");
	if (error && !sqlite3_get_autocommit(s->db))
		db_exec(s->db, "ROLLBACK");
	return error;
}

static int write_symbols(struct store *s, const struct store_finish *options)
{
	struct symbol_options symbols = {
		.debug_dirs = options ? options->debug_dirs : NULL,
		.debuginfod = options && options->debuginfod,
	};
	int error = store_exec(s, "BEGIN IMMEDIATE");

	if (error)
		return error;
	error = frames_resolve(s->db, &symbols, NULL);
	if (error == -EIO)
		error = store_fail(s, sqlite3_extended_errcode(s->db));
	else if (error)
		store_no_memory(s);
	return end_part(s, error);
}

static int write_rest(struct store *s, const struct model *m)
{
	int error = store_exec(s, "BEGIN IMMEDIATE");

	if (error)
		return error;
	error = store_write_all_series(s, m);
	if (!error)
		error = store_write_live_blocks(s, m);
	/* A parent that was never seen itself is known by its pid only. */
	if (!error)
		error = store_exec(s, "UPDATE process SET parent_id = NULL"
			" WHERE parent_id NOT IN (SELECT id FROM process)");
	return end_part(s, error);
}

/* Out of WAL: afterwards the database is one file that can be copied. */
static int one_plain_file(struct store *s)
{
	for (size_t i = 0; i < N_STATEMENTS; i++) {
		sqlite3_finalize(s->st[i]);
		s->st[i] = NULL;
	}
	return store_exec(s, "PRAGMA journal_mode = DELETE");
}

int store_finish(struct store *s, struct model *m, const struct stack_source *stacks,
	const struct store_finish *options)
{
	const char *earlier = options ? options->earlier : NULL;
	bool absorbed = false;
	int error, first;

	store_meta(s, "state", "finishing");
	first = store_flush(s, m, stacks);
	if (!first && earlier) {
		error = store_absorb_begin(s, earlier);
		absorbed = error == 0;
		first = error == -EINVAL ? 0 : error;
	}
	error = write_symbols(s, options);
	first = first ? first : error;
	error = write_rest(s, m);
	first = first ? first : error;
	if (absorbed) {
		error = store_absorb_end(s);
		first = first ? first : error;
	}
	store_meta_number(s, "duration_ns", (int64_t)m->now_ns);
	error = store_meta(s, "state", first || (options && options->incomplete) ? "incomplete" : "complete");
	first = first ? first : error;
	if (first)
		store_coverage(s, 0, "write_failed", 1,
			"The database could not be written to its end; some tables are not complete.");
	error = one_plain_file(s);
	return first ? first : error;
}
