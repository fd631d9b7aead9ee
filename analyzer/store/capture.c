/*
 * capture.c - opening a database for reading: refusals, waiting, upgrading.
 *
 * Called by every analysis verb (through capture.h).  The file itself is never
 * written: what is of an older schema or still being recorded is copied into
 * memory (a database is at most some 64 MiB), and upgraded and symbolised
 * there.  Whatever is wrong with the file is found here and told in one
 * sentence, so that the verbs need not check again.
 */
#include "capture_private.h"

#include "alive.h"
#include "frames.h"
#include "pending.h"
#include "upgrade.h"

#include "mmscope/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAIT_STEP_NS 50000000 /* while the collector finishes */
#define WAIT_STEPS 400
#define SESSION_STEP_NS 10000000 /* until the collector has begun, or has seen the end */
#define SESSION_STEPS 300

static int refuse(char *reason, size_t size, int error, const char *text)
{
	snprintf(reason, size, "%s", text);
	return error;
}

static uint32_t big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool has_wal(const char *path)
{
	char name[4096];
	struct stat status;

	return snprintf(name, sizeof(name), "%s-wal", path) < (int)sizeof(name) &&
		stat(name, &status) == 0 && status.st_size > 0;
}

/* The head of the file: is it one of ours, and is all of it there? */
static int check_head(const char *path, const uint8_t *head, ssize_t got, off_t size, char *reason, size_t room)
{
	uint64_t page = (uint64_t)head[16] << 8 | head[17];
	uint64_t whole = (page == 1 ? 65536 : page) * big_endian(head + 28);

	if (got == 0)
		return refuse(reason, room, -ENODATA, "is empty");
	if (got >= 8 && !memcmp(head, "mmscope", 8))
		return refuse(reason, room, -EBADF, "is a session file, not a database; use mmscope recover");
	if (memcmp(head, "SQLite format 3", 16) != 0)
		return refuse(reason, room, -EBADF, "is not a database");
	if (got < 100)
		return refuse(reason, room, -EUCLEAN, "is truncated");
	if (big_endian(head + 68) != MMS_APPLICATION_ID && !has_wal(path))
		return refuse(reason, room, -EBADF, "is a database, but not a recording of mmscope");
	if ((uint64_t)size < whole && big_endian(head + 24) == big_endian(head + 92) && !has_wal(path)) {
		snprintf(reason, room, "is truncated: %lld of %llu bytes", (long long)size,
			(unsigned long long)whole);
		return -EUCLEAN;
	}
	return 0;
}

int capture_check_file(const char *path, char *reason, size_t room)
{
	uint8_t head[100] = {0};
	struct stat status;
	ssize_t got;
	int fd;

	if (stat(path, &status) != 0)
		return refuse(reason, room, -errno, strerror(errno));
	if (S_ISDIR(status.st_mode))
		return refuse(reason, room, -EISDIR, "is a directory");
	if (!S_ISREG(status.st_mode))
		return refuse(reason, room, -EBADF, "is not a regular file");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return refuse(reason, room, -errno, strerror(errno));
	got = pread(fd, head, sizeof(head), 0);
	close(fd);
	if (got < 0)
		return refuse(reason, room, -errno, strerror(errno));
	return check_head(path, head, got, status.st_size, reason, room);
}

/* A recording whose collector died can lie where we may not write; SQLite then
 * cannot make its index of the WAL.  Without a WAL nothing can change. */
static int open_file(const char *path, sqlite3 **ret)
{
	char *uri;
	int code = sqlite3_open_v2(path, ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

	if (code == SQLITE_OK)
		code = db_exec(*ret, "PRAGMA busy_timeout = 5000; SELECT count(*) FROM sqlite_schema");
	if ((code & 0xff) != SQLITE_CANTOPEN && (code & 0xff) != SQLITE_READONLY)
		return code;
	if (has_wal(path))
		return code;
	uri = sqlite3_mprintf("file:%s?immutable=1", path);
	if (!uri || strpbrk(path, "?#%")) {
		sqlite3_free(uri);
		return code;
	}
	sqlite3_close(*ret);
	code = sqlite3_open_v2(uri, ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
	sqlite3_free(uri);
	return code;
}

int capture_check_version(sqlite3 *db, char *reason, size_t room)
{
	int64_t id = db_int(db, "PRAGMA application_id", 0);
	int64_t version = db_int(db, "PRAGMA user_version", -1);
	char text[160];

	if (sqlite3_errcode(db) != SQLITE_OK && sqlite3_errcode(db) != SQLITE_ROW &&
		sqlite3_errcode(db) != SQLITE_DONE)
		return db_failure(db, sqlite3_errcode(db), reason, room);
	if (id != MMS_APPLICATION_ID)
		return refuse(reason, room, -EBADF, "is a database, but not a recording of mmscope");
	if (version > MMS_SCHEMA_VERSION) {
		snprintf(text, sizeof(text), "was written by a newer mmscope (schema %lld, this one reads up to %d)",
			(long long)version, MMS_SCHEMA_VERSION);
		return refuse(reason, room, -ENOTSUP, text);
	}
	return 0;
}

static bool meta_is(sqlite3 *db, const char *key, const char *value)
{
	sqlite3_stmt *st;
	bool same = false;

	if (sqlite3_prepare_v2(db, "SELECT value = ? FROM meta WHERE key = ?", -1, &st, NULL) != SQLITE_OK)
		return false;
	sqlite3_bind_text(st, 1, value, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, key, -1, SQLITE_STATIC);
	if (sqlite3_step(st) == SQLITE_ROW)
		same = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return same;
}

static bool collector_lives(sqlite3 *db)
{
	int64_t pid = db_int(db, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'collector_pid'", 0);
	int64_t start = db_int(db, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'collector_start'", 0);
	char boot[64];

	alive_boot_id(boot);
	return pid > 0 && start > 0 && meta_is(db, "boot_id", boot) && alive_start(pid) == (uint64_t)start;
}

bool capture_is_recorded(sqlite3 *db)
{
	return (meta_is(db, "state", "recording") || meta_is(db, "state", "finishing")) && collector_lives(db);
}

/* Opens; waits as long as the collector is just finishing. */
static int open_settled(const char *path, struct capture *c, char *reason, size_t room)
{
	const struct timespec step = {.tv_nsec = WAIT_STEP_NS};

	for (int i = 0;; i++) {
		int error, code = open_file(path, &c->db);

		if (code != SQLITE_OK)
			return db_failure(c->db, code, reason, room);
		error = capture_check_version(c->db, reason, room);
		if (error)
			return error;
		if (i == WAIT_STEPS || !meta_is(c->db, "state", "finishing") || !collector_lives(c->db))
			break;
		sqlite3_close(c->db);
		c->db = NULL;
		nanosleep(&step, NULL);
	}
	c->state = meta_is(c->db, "state", "complete") ? CAPTURE_COMPLETE
		: capture_is_recorded(c->db) ? CAPTURE_RECORDING : CAPTURE_INCOMPLETE;
	return 0;
}

/* Exchanges the file for a copy in memory. */
static int copy_to_memory(struct capture *c, char *reason, size_t room)
{
	sqlite3_backup *backup;
	sqlite3 *copy = NULL;
	int code = sqlite3_open_v2(":memory:", &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	backup = code == SQLITE_OK ? sqlite3_backup_init(copy, "main", c->db, "main") : NULL;
	if (backup) {
		sqlite3_backup_step(backup, -1);
		code = sqlite3_backup_finish(backup);
	} else if (code == SQLITE_OK) {
		code = sqlite3_errcode(copy);
	}
	if (code != SQLITE_OK) {
		int error = db_failure(copy, code, reason, room);

		sqlite3_close(copy);
		return error;
	}
	sqlite3_close(c->db);
	c->db = copy;
	return 0;
}

/* Upgrades and symbolises the copy, where that is needed. */
static int bring_up_to_date(struct capture *c, char *reason, size_t room)
{
	const struct symbol_options symbols = {0};
	bool old = db_int(c->db, "PRAGMA user_version", 0) < MMS_SCHEMA_VERSION;
	int error;

	/* the first question to the tables: a damaged file shows here */
	if (!old && c->state == CAPTURE_COMPLETE) {
		int code = db_exec(c->db, "SELECT count(*) FROM process");

		return code == SQLITE_OK ? 0 : db_failure(c->db, code, reason, room);
	}
	error = copy_to_memory(c, reason, room);
	if (error)
		return error;
	error = upgrade(c->db, upgrade_steps, n_upgrade_steps, MMS_SCHEMA_VERSION);
	if (error)
		return refuse(reason, room, error, "is of an older schema that cannot be upgraded");
	db_exec(c->db, "BEGIN");
	error = frames_resolve(c->db, &symbols, NULL);
	if (error == -EIO)
		error = db_failure(c->db, sqlite3_extended_errcode(c->db), reason, room);
	else if (error)
		refuse(reason, room, error, "out of memory");
	db_exec(c->db, "COMMIT");
	return error;
}

/* Has the collector of this session begun to write there, and where it has no
 * more to wait for, also begun to finish? */
static bool is_under_way(const char *path, const struct pending *session)
{
	char reason[256];
	sqlite3 *db = NULL;
	bool good = capture_check_file(path, reason, sizeof(reason)) == 0 && open_file(path, &db) == SQLITE_OK &&
		meta_is(db, "session_id", session->id) &&
		!(session->has_ended && meta_is(db, "state", "recording"));

	sqlite3_close(db);
	return good;
}

static void await_session(const char *path)
{
	const struct timespec step = {.tv_nsec = SESSION_STEP_NS};
	struct pending session;

	for (int i = 0; i < SESSION_STEPS && pending_find(path, &session); i++) {
		if (is_under_way(path, &session))
			return;
		nanosleep(&step, NULL);
	}
}

int capture_open(const char *path, struct capture **ret, char *reason, size_t reason_size)
{
	struct capture *c;
	int error;

	await_session(path);
	error = capture_check_file(path, reason, reason_size);
	if (error)
		return error;
	c = calloc(1, sizeof(*c));
	if (!c)
		return refuse(reason, reason_size, -ENOMEM, "out of memory");
	c->path = strdup(path);
	error = c->path ? open_settled(path, c, reason, reason_size)
		: refuse(reason, reason_size, -ENOMEM, "out of memory");
	if (!error)
		error = bring_up_to_date(c, reason, reason_size);
	if (!error && db_functions(c->db) != SQLITE_OK)
		error = refuse(reason, reason_size, -ENOMEM, "out of memory");
	if (error)
		capture_close(c);
	else
		*ret = c;
	return error;
}

int capture_peek(const char *path, struct capture **ret, char *reason, size_t reason_size)
{
	struct capture *c;
	int error = capture_check_file(path, reason, reason_size), code;

	if (error)
		return error;
	c = calloc(1, sizeof(*c));
	if (!c)
		return refuse(reason, reason_size, -ENOMEM, "out of memory");
	code = open_file(path, &c->db);
	error = code != SQLITE_OK ? db_failure(c->db, code, reason, reason_size)
		: capture_check_version(c->db, reason, reason_size);
	if (!error && db_int(c->db, "PRAGMA user_version", 0) != MMS_SCHEMA_VERSION)
		error = refuse(reason, reason_size, -ENOTSUP, "is of an older schema");
	/* One moment for all questions. */
	if (!error && db_exec(c->db, "BEGIN") != SQLITE_OK)
		error = db_failure(c->db, sqlite3_errcode(c->db), reason, reason_size);
	if (!error)
		c->state = meta_is(c->db, "state", "complete") ? CAPTURE_COMPLETE
			: capture_is_recorded(c->db) ? CAPTURE_RECORDING : CAPTURE_INCOMPLETE;
	if (error)
		capture_close(c);
	else
		*ret = c;
	return error;
}

void capture_close(struct capture *c)
{
	if (!c)
		return;
	for (size_t i = 0; c->stacks && i < c->chains.n_nodes; i++) {
		if (c->stacks[i])
			free(c->stacks[i]->frames);
	}
	free(c->stacks);
	chains_done(&c->chains);
	pool_done(&c->pool);
	sqlite3_close(c->db);
	free(c->path);
	free(c);
}

enum capture_state capture_state(const struct capture *c) { return c->state; }
const char *capture_path(const struct capture *c) { return c->path; }
const char *capture_error(const struct capture *c) { return c->error[0] ? c->error : "no error"; }

const char *capture_meta(struct capture *c, const char *key)
{
	struct query *q = query_open(c, "SELECT value FROM meta WHERE key = ?");
	const char *value = NULL;

	if (!q)
		return NULL;
	query_bind_text(q, 1, key);
	if (query_next(q) > 0)
		value = pool_text(&c->pool, query_text(q, 0));
	query_close(q);
	return value;
}

int64_t capture_meta_number(struct capture *c, const char *key, int64_t otherwise)
{
	const char *text = capture_meta(c, key);
	char *end;
	long long value;

	if (!text)
		return otherwise;
	value = strtoll(text, &end, 10);
	return end == text || *end ? otherwise : value;
}
