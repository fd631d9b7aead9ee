/*
 * test_store.c - a made-up model goes through the writer and comes back
 * through the reader: every table, incremental flushes, a rollback, the bound
 * on live blocks, refusals, an upgrade.
 *
 * The model comes from made_up_model.c, so that every number is known.
 */
#include "check.h"
#include "made_up_model.h"
#include "model/cow_sites.h"

#include "mmscope/record.h"
#include "mmscope/schema.h"
#include "mmscope/session.h"
#include "mmscope/stacks.h"
#include "model/model.h"
#include "model/series.h"
#include "store/capture.h"
#include "store/db.h"
#include "store/store.h"
#include "store/upgrade.h"
#include "store/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/mms-test-store-XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[8][256];
	static unsigned int at;
	char *p = path[at++ % 8];

	snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
	return p;
}

static struct store *open_store(const char *path)
{
	struct store *s = NULL;
	char reason[256] = "";

	if (!CHECK(store_open(path, &s, reason, sizeof(reason)) == 0))
		fprintf(stderr, "%s: %s\n", path, reason);
	REQUIRE(s);
	return s;
}

static struct capture *open_capture(const char *path)
{
	struct capture *c = NULL;
	char reason[256] = "";

	if (!CHECK(capture_open(path, &c, reason, sizeof(reason)) == 0))
		fprintf(stderr, "%s: %s\n", path, reason);
	REQUIRE(c);
	return c;
}

static const char *text_of(struct capture *c, const char *sql)
{
	static char text[512];
	struct query *q = query_open(c, sql);

	text[0] = '\0';
	REQUIRE(q);
	if (query_next(q) == 1 && !query_null(q, 0))
		snprintf(text, sizeof(text), "%s", query_text(q, 0));
	query_close(q);
	return text;
}

static void test_round_trip(void)
{
	const char *path = in_folder("round.db");
	struct made_up *u = make_up(3, 5);
	struct store *s = open_store(path);
	struct store_tick tick = {.process = 1, .t_ns = 77, .rss = 4096, .vm_size = -1, .live_bytes = 640};
	struct capture_bucket buckets[8];
	struct capture *c;
	struct query *q;
	const void *data;
	size_t size;

	CHECK_EQ(store_meta(s, "mode", "exact"), 0);
	CHECK_EQ(store_sample(s, &tick), 0);
	CHECK_EQ(store_flush(s, &u->model, &stacks), 0);
	u->processes[1].end = MMS_END_SIGNAL;
	u->processes[1].end_ns = 99;
	u->processes[1].status = 9;
	u->processes[1].status_known = true;
	u->processes[1].alloc_blocks++;
	u->processes[1].coverage = MMS_COV_SECCOMP;
	u->processes[1].lost_records = 12;
	u->processes[1].sites[2]->alloc_blocks++;
	CHECK_EQ(store_coverage(s, 0, "static", 1, "A static program was started."), 0);
	const struct cow_site_row cow[] = {{.stack = 13, .pages_shared = 7, .child_broke = 3, .blocks = 2, .bytes = 99},
		{.pages_shared = 4}};
	const struct cow_totals known = {.child_known = true};
	CHECK_EQ(store_write_cow_sites(s, 1, cow, 2, &known, &stacks), 0);
	CHECK_EQ(store_finish(s, &u->model, &stacks, NULL), 0);
	store_close(s);

	CHECK(access(in_folder("round.db-wal"), F_OK) != 0);
	c = open_capture(path);
	CHECK_EQ(capture_state(c), CAPTURE_COMPLETE);
	CHECK_STR(text_of(c, "PRAGMA integrity_check"), "ok");
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM pragma_foreign_key_check", -1), 0);
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM process", -1), 3);
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM heap_site", -1), 15);
	CHECK_EQ(capture_int(c, "SELECT alloc_blocks FROM heap_site WHERE process_id=2 AND stack_id=9", -1), 103);
	CHECK_EQ(capture_int(c, "SELECT sum(live_blocks) = (SELECT count(*) FROM live_block) FROM heap_site", -1), 1);
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM heap_site WHERE site_id IS NULL", -1), 0);
	CHECK_EQ(capture_int(c, "SELECT min(h.site_id = s.site_id) FROM heap_site h JOIN stack s ON s.id = h.stack_id", -1), 1);
	CHECK_STR(text_of(c, "SELECT end_how || status FROM process WHERE id=2"), "signal9");
	CHECK_STR(text_of(c, "SELECT end_how FROM process WHERE id=1"), "running");
	CHECK_STR(text_of(c, "SELECT argv FROM process WHERE id=1"), "[\"odd\",\"a \\\"b\\\"\\u000a\",\"\\ufffd\xc3\xa4\"]");
	CHECK_STR(text_of(c, "SELECT exe FROM process WHERE id=1"), "/bin/\"odd\"\\name");
	CHECK_STR(text_of(c, "SELECT hex_address(address) FROM vm_event WHERE op='mmap'"), "0xffffffff12345000");
	CHECK_STR(text_of(c, "SELECT group_concat(kind, ' ') FROM (SELECT kind FROM coverage ORDER BY kind)"), "lost seccomp static");
	CHECK_STR(text_of(c, "SELECT build_id || ' ' || kind || ' ' || symbols FROM module WHERE id=1"), "abcd exe missing");
	CHECK_STR(text_of(c, "SELECT name FROM thread"), "main");
	CHECK_EQ(capture_int(c, "SELECT rss FROM sample", -1), 4096);
	CHECK_EQ(capture_int(c, "SELECT vm_size IS NULL FROM sample", -1), 1);
	CHECK_EQ(capture_int(c, "SELECT child_id FROM fork", -1), 2);
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM cow_site", -1), 2);
	CHECK_EQ(capture_int(c, "SELECT child_broke FROM cow_site WHERE stack_id = 13 AND parent_broke IS NULL"
		" AND both_broke IS NULL AND false_blocks IS NULL AND bytes = 99", -1), 3);
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM cow_site c JOIN stack s ON s.id = c.stack_id"
		" WHERE c.site_id = s.site_id", -1), 1);
	CHECK_EQ(capture_int(c, "SELECT site_id IS NULL FROM cow_site WHERE stack_id = 0", -1), 1);
	CHECK_STR(capture_meta(c, "mode"), "exact");
	CHECK_EQ(capture_meta_number(c, "duration_ns", -1), 12345);
	CHECK(capture_meta(c, "nothing") == NULL);

	q = query_open(c, "SELECT data, start_ns FROM heap_series WHERE stack_id = -1");
	REQUIRE(q && query_next(q) == 1);
	data = query_blob(q, 0, &size);
	REQUIRE(capture_series(data, size, buckets, 8) == 3);
	CHECK_EQ(buckets[0].max, 10);
	CHECK_EQ(buckets[2].max, 1ll << 40);
	CHECK_EQ(buckets[2].last, 1ll << 39);
	CHECK_EQ(buckets[1].min, 0);
	CHECK_EQ(query_int(q, 1), 100);
	CHECK_EQ(capture_series(data, size - 1, buckets, 8), -EINVAL);
	query_close(q);

	const struct capture_stack *stack = capture_stack(c, 17);
	REQUIRE(stack && stack->n == 4);
	CHECK_EQ(stack->frames[0].address, 0x400000 + 17 * 16);
	CHECK_EQ(stack->frames[3].address, 0x400000 + 14 * 16);
	CHECK(stack->frames[2].guessed && !stack->frames[1].guessed);
	CHECK_STR(stack->frames[0].module, "/no/such/program");
	CHECK_EQ(capture_stack(c, 0)->n, 0);
	CHECK_EQ(capture_stack(c, 999999)->n, 0);
	CHECK(query_open(c, "SELECT no_such FROM process") == NULL);
	capture_close(c);
	unmake(u);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 1,000 processes of 10 sites: the whole, then one change. */
static void test_flush_speed(void)
{
	struct made_up *u = make_up(1000, 10);
	struct store *s = open_store(in_folder("speed.db"));
	double start = seconds(), whole, change;

	CHECK_EQ(store_flush(s, &u->model, &stacks), 0);
	whole = seconds() - start;
	u->processes[500].alloc_blocks++;
	u->processes[500].sites[3]->alloc_blocks++;
	start = seconds();
	CHECK_EQ(store_flush(s, &u->model, &stacks), 0);
	change = seconds() - start;
	fprintf(stderr, "flush of 10,000 sites in 1,000 processes: %.3f s; of one change: %.4f s\n", whole, change);
	CHECK(whole < 5 && change < 0.5); /* a sanitizer is in it, and a busy machine */
	store_close(s);
	unmake(u);
}

static void test_live_bound(void)
{
	const char *path = in_folder("bound.db");
	struct made_up *u = make_up(1, 3);
	struct store *s = open_store(path);
	struct capture *c;
	struct stat status;

	u->sites[0].live_blocks = 50;
	u->sites[1].live_blocks = 800000;
	u->sites[2].live_blocks = 900000;
	u->processes[0].live_blocks = 1700050;
	CHECK_EQ(store_finish(s, &u->model, &stacks, NULL), 0);
	store_close(s);
	c = open_capture(path);
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM live_block", -1), 1000000 - (1000000 - 50) % 2);
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM live_block WHERE stack_id = 0", -1), 50);
	CHECK_EQ(capture_int(c, "SELECT count FROM coverage WHERE kind = 'live_blocks_cut'", -1), 700050);
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM left_block", -1), 0); /* nobody looked at them */
	capture_close(c);
	REQUIRE(stat(path, &status) == 0);
	fprintf(stderr, "1,000,000 live blocks: %.1f MiB, %.1f bytes a row\n",
		(double)status.st_size / (1 << 20), (double)status.st_size / 1e6);
	CHECK(status.st_size <= 64ll << 20);
	unmake(u);
}

/* A build with thousands of short processes: the file stays small, and what
 * was left out is counted. */
static void test_site_bound(void)
{
	const char *path = in_folder("many.db");
	struct made_up *u = make_up(6000, 100);
	struct store *s = open_store(path);
	struct capture *c;
	struct stat status;

	for (size_t n = 1000; n <= 6000; n += 500) {
		u->model.n_processes = n;
		CHECK_EQ(store_flush(s, &u->model, &stacks), 0);
	}
	CHECK_EQ(store_finish(s, &u->model, &stacks, NULL), 0);
	store_close(s);
	c = open_capture(path);
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM process", -1), 6000);
	CHECK_EQ(capture_int(c, "SELECT count(*) + (SELECT count FROM coverage WHERE kind = 'sites_cut')"
		" FROM heap_site", -1), 600000);
	CHECK(capture_int(c, "SELECT count(*) FROM heap_site WHERE process_id = 6000", -1) >= 8);
	capture_close(c);
	REQUIRE(stat(path, &status) == 0);
	fprintf(stderr, "600,000 sites in 6,000 processes: %.1f MiB\n", (double)status.st_size / (1 << 20));
	CHECK(status.st_size <= 64ll << 20);
	unmake(u);
}

/* The list of single events is full: later ones are told, to the last. */
static void test_event_bound(void)
{
	const char *path = in_folder("events.db");
	struct made_up *u = make_up(1, 1);
	struct store *s = open_store(path);
	struct capture *c;

	s->n_events = STORE_EVENTS_MAX - 2;
	for (uint64_t i = 0; i < 9; i++)
		CHECK_EQ(store_heap_event(s, 1, 1, i, "malloc", 4096 + i * 16, 16, 0), 0);
	CHECK_EQ(store_finish(s, &u->model, &stacks, NULL), 0);
	store_close(s);
	c = open_capture(path);
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM heap_event", -1), 2);
	CHECK_EQ(capture_int(c, "SELECT count FROM coverage WHERE kind = 'events_cut'", -1), 7);
	capture_close(c);
	unmake(u);
}

/* Killed in the middle: the state of the last flush, told as incomplete. */
static void test_killed(void)
{
	const char *path = in_folder("killed.db");
	struct made_up *u = make_up(20, 50);
	struct capture *c;
	pid_t pid = fork();
	int status;

	REQUIRE(pid >= 0);
	if (pid == 0) {
		struct store *s = open_store(path);

		store_flush(s, &u->model, &stacks);
		for (unsigned int i = 0;; i++) {
			u->processes[i % 20].alloc_blocks++;
			u->processes[i % 20].sites[i % 50]->alloc_blocks++;
			store_flush(s, &u->model, &stacks);
		}
	}
	nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	c = open_capture(path);
	CHECK_EQ(capture_state(c), CAPTURE_INCOMPLETE);
	CHECK_STR(text_of(c, "PRAGMA integrity_check"), "ok");
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM heap_site", -1), 1000);
	CHECK_EQ(capture_int(c, "SELECT (SELECT sum(alloc_blocks) FROM process) - (SELECT sum(alloc_blocks)"
		" FROM heap_site)", -1), 100000 - 20 * (50 * 100 + 49 * 25));
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM heap_site WHERE site_id IS NULL", -1), 0);
	capture_close(c);
	unmake(u);
}

/* The disk is full: a limit on the size of files stands for it. */
static void test_disk_full(void)
{
	const char *path = in_folder("full.db");
	struct made_up *u = make_up(300, 50);
	struct rlimit limit = {.rlim_cur = 600000, .rlim_max = RLIM_INFINITY}, old;
	struct store *s = open_store(path);
	struct capture *c;
	size_t n = u->model.n_processes;

	u->model.n_processes = 2;
	CHECK_EQ(store_flush(s, &u->model, &stacks), 0);
	u->model.n_processes = n;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit.rlim_max = old.rlim_max;
	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	CHECK_EQ(store_flush(s, &u->model, &stacks), -ENOSPC);
	CHECK(strstr(store_error(s), "disk full"));
	CHECK_EQ(store_finish(s, &u->model, &stacks, NULL), -ENOSPC);
	store_close(s);
	setrlimit(RLIMIT_FSIZE, &old);
	c = open_capture(path);
	CHECK_EQ(capture_state(c), CAPTURE_INCOMPLETE);
	CHECK_STR(text_of(c, "PRAGMA integrity_check"), "ok");
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM process", -1), 2);
	capture_close(c);
	/* Room again: the next flush brings everything. */
	unlink(path);
	s = open_store(path);
	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	CHECK_EQ(store_flush(s, &u->model, &stacks), -ENOSPC);
	setrlimit(RLIMIT_FSIZE, &old);
	CHECK_EQ(store_finish(s, &u->model, &stacks, NULL), 0);
	store_close(s);
	c = open_capture(path);
	CHECK_EQ(capture_int(c, "SELECT count(*) FROM heap_site", -1), 15000);
	CHECK_EQ(capture_state(c), CAPTURE_COMPLETE);
	capture_close(c);
	unmake(u);
}

static void put_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
}

static void sql_file(const char *path, const char *sql)
{
	sqlite3 *db;

	unlink(path);
	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK && db_exec(db, sql) == SQLITE_OK);
	sqlite3_close(db);
}

static void refused(const char *path, int error, const char *word)
{
	struct capture *c = NULL;
	char reason[256] = "";

	CHECK_EQ(capture_open(path, &c, reason, sizeof(reason)), error);
	if (!CHECK(strstr(reason, word)))
		fprintf(stderr, "%s: \"%s\" does not say \"%s\"\n", path, reason, word);
	CHECK(c == NULL);
	capture_close(c);
}

static void test_refusals(void)
{
	const char *whole = in_folder("whole.db"), *path = in_folder("bad.db");
	struct made_up *u = make_up(2, 500);
	struct store *s = open_store(whole);
	char text[128], garbage[4096];
	struct stat status;

	CHECK_EQ(store_finish(s, &u->model, &stacks, NULL), 0);
	store_close(s);
	memset(garbage, 'x', sizeof(garbage));
	refused(in_folder("nothing"), -ENOENT, "No such file");
	refused(folder, -EISDIR, "is a directory");
	refused("/dev/null", -EBADF, "not a regular file");
	put_file(path, "", 0);
	refused(path, -ENODATA, "is empty");
	put_file(path, garbage, sizeof(garbage));
	refused(path, -EBADF, "is not a database");
	put_file(path, "mmscope\0garbage", 15);
	refused(path, -EBADF, "session file");
	put_file(path, "SQLite format 3", 16);
	refused(path, -EUCLEAN, "is truncated");
	sql_file(path, "CREATE TABLE t (x)");
	refused(path, -EBADF, "not a recording of mmscope");
	snprintf(text, sizeof(text), "PRAGMA application_id=%d; PRAGMA user_version=%d; CREATE TABLE t (x)",
		MMS_APPLICATION_ID, MMS_SCHEMA_VERSION + 1);
	sql_file(path, text);
	refused(path, -ENOTSUP, "newer mmscope");
	REQUIRE(stat(whole, &status) == 0);
	REQUIRE(truncate(whole, status.st_size - 5000) == 0);
	refused(whole, -EUCLEAN, "is truncated");

	/* What may be replaced, and what not. */
	put_file(path, "a letter", 8);
	s = NULL;
	CHECK_EQ(store_open(path, &s, text, sizeof(text)), -EEXIST);
	CHECK(s == NULL && strstr(text, "not a recording"));
	CHECK_EQ(store_open(folder, &s, text, sizeof(text)), -EISDIR);
	CHECK_EQ(store_open("/no/such/folder/x.db", &s, text, sizeof(text)), -ENOENT);
	put_file(path, "", 0);
	store_close(open_store(path));
	store_close(open_store(path));
	unmake(u);
}

/* A made-up version before the first, and one step that fails. */
static void test_upgrade(void)
{
	const struct upgrade_step steps[] = {
		{3, "ALTER TABLE a ADD COLUMN y INTEGER; UPDATE a SET y = x + 1;"},
		{4, "CREATE TABLE b (z) ; INSERT INTO b SELECT y FROM a;"},
		{5, "INSERT INTO b VALUES (1); INSERT INTO no_such_table VALUES (1);"},
	};
	sqlite3 *db;

	REQUIRE(sqlite3_open(":memory:", &db) == SQLITE_OK);
	CHECK_EQ(db_exec(db, "PRAGMA user_version = 3; CREATE TABLE a (x); INSERT INTO a VALUES (41)"), SQLITE_OK);
	CHECK_EQ(upgrade(db, steps, 3, 5), 0);
	CHECK_EQ(db_int(db, "SELECT z FROM b", -1), 42);
	CHECK_EQ(db_int(db, "PRAGMA user_version", -1), 5);
	CHECK(upgrade(db, steps, 3, 6) < 0);
	CHECK_EQ(db_int(db, "PRAGMA user_version", -1), 5);
	CHECK_EQ(db_int(db, "SELECT count(*) FROM b", -1), 1);
	CHECK_EQ(upgrade(db, steps, 2, 7), -ENOTSUP);
	sqlite3_close(db);
}

/* The table of ticks stays bounded and keeps its whole length. */
static void test_ticks(void)
{
	const char *path = in_folder("ticks.db");
	struct made_up *u = make_up(2, 1);
	struct store *s = open_store(path);
	struct capture *c;
	int64_t n, first, last;

	for (uint64_t t = 1; t <= 150000; t++) {
		for (uint64_t process = 1; process <= 2; process++) {
			struct store_tick tick = {.process = process, .t_ns = t * 1000, .rss = 1};

			store_sample(s, &tick);
		}
		if (t % 30000 == 0)
			CHECK_EQ(store_flush(s, &u->model, &stacks), 0);
	}
	CHECK_EQ(store_finish(s, &u->model, &stacks, NULL), 0);
	store_close(s);
	c = open_capture(path);
	n = capture_int(c, "SELECT count(*) FROM sample", -1);
	first = capture_int(c, "SELECT min(t_ns) FROM sample WHERE process_id = 2", -1);
	last = capture_int(c, "SELECT max(t_ns) FROM sample WHERE process_id = 2", -1);
	CHECK(n > 100000 && n <= 200000);
	CHECK(first <= 2000 && last >= 149990000);
	capture_close(c);
	unmake(u);
}

/* Every SQL text of docs/data-model.md runs to its end and has an answer. */
static void test_documented_queries(const char *document)
{
	const char *path = in_folder("queries.db");
	struct made_up *u = make_up(3, 5);
	struct store *s = open_store(path);
	struct capture *c;
	static char text[1 << 16];
	FILE *f = fopen(document, "r");
	unsigned int n = 0;

	REQUIRE(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	u->sites[1].cross_frees = 4;
	u->processes[0].peak_bytes = 6400;
	CHECK_EQ(store_finish(s, &u->model, &stacks, NULL), 0);
	store_close(s);
	c = open_capture(path);
	for (char *at = text; (at = strstr(at, "```sql\n")); n++) {
		char *sql = at + 7, *end = strstr(sql, "```");
		struct query *q;
		int rows = 0, more;

		REQUIRE(end);
		*end = '\0';
		at = end + 3;
		q = query_open(c, sql);
		if (!CHECK(q)) {
			fprintf(stderr, "%s\n%s\n", capture_error(c), sql);
			continue;
		}
		while ((more = query_next(q)) > 0)
			rows++;
		CHECK_EQ(more, 0);
		if (!CHECK(rows > 0))
			fprintf(stderr, "no row: %s\n", sql);
		query_close(q);
	}
	CHECK_EQ(n, 10);
	capture_close(c);
	unmake(u);
}

int main(int argc, char **argv)
{
	REQUIRE(argc == 2 && mkdtemp(folder));
	test_documented_queries(argv[1]);
	test_round_trip();
	test_flush_speed();
	test_live_bound();
	test_site_bound();
	test_event_bound();
	test_killed();
	test_disk_full();
	test_refusals();
	test_upgrade();
	test_ticks();
	char command[300];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	CHECK_EQ(system(command), 0);
	return check_done();
}
