/*
 * test_bounded.c - memory and database of a recording of months stay flat.
 *
 *     test_bounded [DAYS]
 *
 * Time is compressed: looks, accounts, ticks, threads and calls of so many days are
 * given to model and store as fast as they take them.  Without DAYS: as many
 * as fill every list once and a half, for each build; by hand: months.
 */
#include "check.h"
#include "mmscope/record.h"
#include "mmscope/session.h"
#include "model/model.h"
#include "store/capture.h"
#include "store/spaces.h"
#include "store/store.h"
#include "store/writer.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define KEPT_EVERY 997 /* mappings that are never unmapped */

static uint64_t days;

static void call(struct model *m, uint64_t t_ns, uint32_t op, uint64_t address, uint64_t length)
{
	const struct model_vm_event e = {.process = 1, .thread = 1, .op = op, .t_ns = t_ns, .address = address,
		.length = length, .fd = -1, .prot = PROT_READ};
	model_vm(m, &e);
}

/* What is mapped after all kept events: starts, in order of their calls. */
static size_t mapped(const struct model *m, uint64_t *ret, size_t room)
{
	size_t n = 0;
	for (size_t i = 0; i < m->n_vm_events; i++) {
		const struct model_vm_event *e = &m->vm_events[i];
		if (e->op == MMS_LONG_MMAP && n < room)
			ret[n++] = e->address;
		for (size_t k = 0; e->op == MMS_LONG_MUNMAP && k < n; k++) {
			if (ret[k] == e->address) {
				memmove(&ret[k], &ret[k + 1], (--n - k) * sizeof(*ret));
				break;
			}
		}
	}
	return n;
}

/* A program that maps, protects and unmaps all the time, with some areas that
 * stay, and addresses that come again. */
static void test_calls(void)
{
	static uint64_t truth[20000], got[20000];
	struct model *m = model_new();
	uint64_t n_calls = 0, n_truth = 0, pairs = days ? days * 100000 : 200000;

	REQUIRE(m && model_process(m, 1));
	for (uint64_t i = 0; i < pairs; i++) {
		bool stays = i % KEPT_EVERY == 0 && n_truth < 20000;
		uint64_t address = stays ? (i + 1) << 32 : (1 + i % 8) << 24, t_ns = i * SECOND;

		call(m, t_ns, MMS_LONG_MMAP, address, 10000);
		call(m, t_ns, MMS_LONG_MPROTECT, address, 4096);
		n_calls += 2;
		if (stays) {
			truth[n_truth++] = address;
			continue;
		}
		call(m, t_ns, MMS_LONG_MUNMAP, address, 12288);
		n_calls++;
	}
	CHECK(m->n_vm_events <= MODEL_VM_EVENTS_MAX);
	CHECK(m->vm_merges >= 2);
	CHECK_EQ(m->n_vm_events + m->n_vm_merged + m->n_vm_cut, n_calls);
	CHECK_EQ(m->n_vm_cut, 0);
	REQUIRE(mapped(m, got, 20000) == n_truth);
	CHECK(memcmp(got, truth, n_truth * sizeof(*truth)) == 0);
	model_free(m);
}

/* What is no plain pair stays: parts, and what was mapped over. */
static void test_calls_kept(void)
{
	struct model *m = model_new();
	uint64_t base = 1ull << 40;

	REQUIRE(m && model_process(m, 1));
	call(m, 1, MMS_LONG_MMAP, base, 40960);
	call(m, 2, MMS_LONG_MUNMAP, base + 8192, 4096);
	call(m, 3, MMS_LONG_MMAP, base + 8192, 4096);
	call(m, 4, MMS_LONG_MUNMAP, base, 40960);
	for (uint64_t i = 0; m->vm_merges == 0 && i < 2 * MODEL_VM_EVENTS_MAX; i++)
		call(m, 5 + i, MMS_LONG_MADVISE, base, 4096);
	CHECK_EQ(m->vm_merges, 1);
	for (uint32_t i = 0; i < 4; i++)
		CHECK_EQ(m->vm_events[i].t_ns, i + 1);
	/* Nothing to merge: what comes later is counted. */
	for (uint64_t i = 0; i < 2 * MODEL_VM_EVENTS_MAX; i++)
		call(m, SECOND + i, MMS_LONG_MMAP, (i + 1) << 20, 4096);
	CHECK(m->n_vm_events <= MODEL_VM_EVENTS_MAX);
	CHECK(m->n_vm_cut > 0);
	model_free(m);
}

static int64_t number(struct capture *c, const char *sql)
{
	return capture_int(c, sql, -1);
}

/* What a server does that starts a thread for each request: 100 live at once,
 * each allocates; every thousandth leaves a block. */
#define ALIVE 100u
#define LIVE_ROW 100 /* bytes of the database, with its place in the index, at most */

static void end_thread(struct model *m, uint32_t number, uint64_t t_ns)
{
	model_thread_read(model_process(m, 1), number, t_ns);
	m->now_ns = t_ns;
	model_round(m, t_ns);
}

static void give_threads(struct model *m, uint32_t first, uint32_t n, uint64_t interval)
{
	struct model_process *p = model_process(m, 1);

	for (uint32_t i = first; i < first + n; i++) {
		uint64_t t_ns = i * SECOND, address = UINT64_C(1) << 40 | (uint64_t)i << 8;

		model_thread(p, i, 1000 + i, t_ns)->tcb = 0x7f0000000000 + i % ALIVE * 0x801000;
		if (interval)
			model_sampling(m, p, i, interval, t_ns);
		model_alloc(m, p, i, address, 100, 0, t_ns + 1);
		if (i % 1000)
			model_release(m, p, i, address, true, t_ns + 2);
		if (i > ALIVE)
			end_thread(m, i - ALIVE, t_ns + 3);
	}
}

static uint64_t sum_of_threads(const struct model_process *p)
{
	uint64_t blocks = p->merged.alloc_blocks;

	for (size_t i = 0; i < p->n_threads; i++)
		blocks += p->threads[i].alloc_blocks;
	return blocks;
}

/* Each stack has its last owner, and who lives has a row. */
static void check_kept(struct model_process *p, uint32_t last)
{
	bool seen[ALIVE] = {false};
	size_t stacks = 0;

	for (size_t i = 0; i < p->n_threads; i++) {
		size_t stack = p->threads[i].number % ALIVE;

		CHECK(i == 0 || p->threads[i].number > p->threads[i - 1].number);
		stacks += !seen[stack];
		seen[stack] = true;
	}
	CHECK_EQ(stacks, ALIVE);
	for (uint32_t i = last - ALIVE + 1; i <= last; i++) {
		struct model_thread *t = model_thread(p, i, 0, 0);

		CHECK(t && t->number == i && t->tid == 1000 + i && !t->end_ns);
	}
}

static void test_threads(void)
{
	char path[] = "/tmp/mms-test-threads-XXXXXX", reason[256] = "";
	const struct stack_source stacks = {NULL};
	struct model *m = model_new();
	struct store *s = NULL;
	struct capture *c = NULL;
	uint32_t parts = 10, per_part = days ? (uint32_t)days * 10000 : 5000;
	int64_t full = 0;

	close(mkstemp(path));
	REQUIRE(m && model_process(m, 1) && store_open(path, &s, reason, sizeof(reason)) == 0);
	struct model_process *p = model_process(m, 1);
	for (uint32_t i = 0; i < parts; i++) {
		give_threads(m, 1 + i * per_part, per_part, 0);
		CHECK(p->n_threads <= MODEL_THREADS_MAX + 1);
		CHECK_EQ(store_flush(s, m, &stacks), 0);
		full = i == 1 ? store_bytes(s) : full;
	}
	uint32_t n = parts * per_part;
	check_kept(p, n);
	CHECK_EQ(p->n_merged + p->n_threads, n);
	CHECK_EQ(sum_of_threads(p), n);
	CHECK_EQ(p->alloc_blocks, n);
	CHECK_EQ(p->live_blocks, n / 1000);
	CHECK_EQ(store_finish(s, m, &stacks, NULL), 0);
	/* A block that lives has a row, and there are ever more of them. */
	int64_t rows = (int64_t)(n / 1000) * LIVE_ROW;
	printf("%u threads: %lld bytes after a fifth, %lld at the end, of which %lld at most for %u live blocks\n", n,
		(long long)full, (long long)store_bytes(s), (long long)rows, n / 1000);
	CHECK(store_bytes(s) < full + full / 2 + rows);
	store_close(s);
	REQUIRE(capture_open(path, &c, reason, sizeof(reason)) == 0);
	CHECK_EQ(number(c, "SELECT sum(alloc_blocks) FROM thread"), n);
	CHECK_EQ(number(c, "SELECT sum(alloc_bytes) FROM thread"), 100 * (uint64_t)n);
	CHECK_EQ(number(c, "SELECT count FROM coverage WHERE kind = 'threads_merged'"), p->n_merged);
	CHECK_EQ(number(c, "SELECT count(*) FROM thread WHERE number > 0"), p->n_threads);
	CHECK_EQ(number(c, "SELECT begin_ns FROM thread WHERE number = -1"), SECOND);
	capture_close(c);
	model_free(m);
	unlink(path);
}

/* Sampled: what a merged thread left is freed later by another one, and the
 * books close. */
static void test_sampled_threads(void)
{
	struct model *m = model_new();
	uint32_t n = 20000;

	REQUIRE(m && model_process(m, 1));
	struct model_process *p = model_process(m, 1);
	give_threads(m, 1, n, 4096);
	CHECK(p->n_merged > n / 2);
	CHECK(p->live_bytes > 0);
	for (uint64_t i = 1000; i <= n; i += 1000)
		model_release(m, p, n, UINT64_C(1) << 40 | i << 8, false, n * SECOND + i);
	CHECK_EQ(p->live_blocks, 0);
	CHECK_EQ(p->live_bytes, 0);
	model_free(m);
}

static void give_day(struct store *s, uint64_t first, uint64_t n)
{
	struct mms_mm mm = {.total = 1 << 30, .rss = 1 << 29};

	for (uint64_t i = first; i < first + n; i++) {
		const struct store_scan scan = {.process = UINT64_C(2), .t_ns = i * SECOND, .look = 4, .n_areas = 30,
			.n_pages = 1000, .present = i % 1000, .cost_ns = 1000};
		const struct store_tick tick = {.process = 2, .t_ns = i * SECOND, .rss = (int64_t)i, .live_bytes = i};

		mm.rss = i << 12;
		CHECK_EQ(store_page_scan(s, &scan), 0);
		CHECK_EQ(store_mm(s, 2, i * SECOND, &mm, true), 0);
		CHECK_EQ(store_sample(s, &tick), 0);
	}
}

static void test_database(void)
{
	char path[] = "/tmp/mms-test-bounded-XXXXXX", reason[256] = "";
	struct model *m = model_new();
	const struct stack_source stacks = {NULL}; /* every stack is 0 */
	struct store *s = NULL;
	struct capture *c = NULL;
	uint64_t parts = 20, per_part = days ? days * 86400 / parts : 9000;
	int64_t full = 0;
	struct stat status = {0};

	close(mkstemp(path));
	REQUIRE(m && model_process(m, 2) && store_open(path, &s, reason, sizeof(reason)) == 0);
	for (uint64_t i = 0; i < parts; i++) {
		give_day(s, 1 + i * per_part, per_part);
		CHECK_EQ(store_flush(s, m, &stacks), 0);
		/* Every list was full once; it swings between half of that and that. */
		if (i <= parts * 3 / 5 && store_bytes(s) > full)
			full = store_bytes(s);
	}
	CHECK_EQ(store_finish(s, m, &stacks, NULL), 0);
	store_close(s);
	CHECK(stat(path, &status) == 0);
	printf("%lld bytes at most until all lists had been full, %lld at the end\n", (long long)full, (long long)status.st_size);
	CHECK(status.st_size < full + full / 2);
	REQUIRE(capture_open(path, &c, reason, sizeof(reason)) == 0);
	for (size_t i = 0; i < 2; i++) {
		CHECK(number(c, i ? "SELECT count(*) <= 100000 FROM mm" : "SELECT count(*) <= 100000 FROM page_scan") == 1);
		CHECK(number(c, i ? "SELECT count(*) > 20000 FROM mm" : "SELECT count(*) > 20000 FROM page_scan") == 1);
	}
	/* First and last are there, and what was taken out is said. */
	CHECK_EQ(number(c, "SELECT min(t_ns) FROM page_scan WHERE process_id = 2"), SECOND);
	CHECK_EQ(number(c, "SELECT max(t_ns) FROM page_scan WHERE process_id = 2"), parts * per_part * SECOND);
	CHECK_EQ(number(c, "SELECT rss FROM mm WHERE process_id = 2 ORDER BY t_ns DESC LIMIT 1"), (parts * per_part) << 12);
	CHECK_EQ(number(c, "SELECT count + (SELECT count(*) FROM mm) + (SELECT count(*) FROM page_scan)"
		" FROM coverage WHERE kind = 'looks_thinned'"), 2 * parts * per_part);
	capture_close(c);
	model_free(m);
	unlink(path);
}

/* ---- processes ---- */

/* Frames of a stack: the same in all processes whose numbers differ by 10. */
static uint64_t place(void *arg, const struct model *m, uint32_t stack) { return stack % 10; }
static uint32_t context(void *arg, uint32_t stack) { return stack / 10; }
static bool needs(void *arg, const struct model_process *p) { return p->number == 77; }
static bool no_node(const void *arg, uint32_t id, struct stack_node *ret) { return false; }
static uint64_t fork_kind(void *arg, const struct model_fork *f) { return f->id % 1000 != 0; }

#define SHORT_ONES 64u /* are listed one by one */
static const struct model_outside outside = {.place = place, .context = context, .needs = needs,
	.fork_kind = fork_kind, .max = SHORT_ONES};

/* Process n allocates at three stacks of its own; what it loses is judged. */
static void give_process(struct model *m, uint64_t n)
{
	struct model_process *p = model_process(m, n);
	uint64_t t_ns = n * SECOND;
	struct model_module module = {.context = (uint32_t)n, .start = 0x1000, .end = 0x2000};

	p->begin = MMS_BEGIN_FORK;
	p->parent = 1;
	p->begin_ns = t_ns;
	p->context = (uint32_t)n;
	p->exe = strdup(n % 3 ? "/bin/three" : "/bin/one");
	model_thread(p, 1, (uint32_t)n, t_ns);
	model_module_loaded(m, p, &module, "/bin/some", 9, t_ns);
	model_fork_seen(m, &(struct model_fork){.parent = 1, .child_pid = (uint32_t)n, .kind = MMS_FORK_FORK,
		.t_ns = t_ns, .pause_ns = 7});
	m->forks[m->n_forks - 1].child = n;
	for (uint32_t i = 1; i <= 3; i++)
		model_alloc(m, p, 1, 0x10000 * i, 100 * i, (uint32_t)n * 10 + i, t_ns + i);
	model_release(m, p, 1, 0x10000, false, t_ns + 9);
	p->verdicts = malloc(sizeof(*p->verdicts));
	p->verdicts[0] = 0x20000ull << 8 | (n % 5 ? REACH_REACHABLE : REACH_DEFINITE);
	p->n_verdicts = 1;
	p->judged_ns = t_ns + 10;
	p->end = n % 7 ? MMS_END_EXIT : MMS_END_SIGNAL;
	p->status_known = true;
	model_process_ended(m, p, t_ns + 10);
	p->read = true;
	m->now_ns = t_ns + 10;
}

/* Blocks that were found to be so, in sums and in processes of their own. */
static uint64_t judged(const struct model *m, enum reach_verdict what)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->n_processes; i++) {
		const struct model_process *p = m->processes[i];
		n += p->n_verdicts && (p->verdicts[0] & 255) == what;
		for (size_t k = 0; k < p->n_sites && p->n_summed; k++)
			n += p->sites[k]->left->blocks[what];
	}
	return n;
}

static void check_sums(const struct model *m, uint64_t n)
{
	uint64_t processes = 0, blocks = 0, bytes = 0, live = 0, at_sites = 0, threads = 0, signals = 0, forks = 0, pauses = 0;

	for (size_t i = 0; i < m->n_processes; i++) {
		const struct model_process *p = m->processes[i];
		uint64_t stands_for = p->n_summed ? p->n_summed : 1, peak = 0;

		processes += stands_for;
		signals += p->end == MMS_END_SIGNAL ? stands_for : 0;
		blocks += p->alloc_blocks;
		bytes += p->alloc_bytes;
		live += p->live_bytes;
		threads += p->n_threads + p->n_merged;
		CHECK(!p->n_summed || p->n_sites == 3);
		for (size_t k = 0; k < p->n_sites; k++) {
			at_sites += p->sites[k]->alloc_blocks;
			peak += p->sites[k]->peak_bytes;
		}
		CHECK_EQ(peak, p->peak_bytes);
		CHECK(p->number == 1 || p->peak_bytes == 600);
	}
	for (size_t i = 0; i < m->n_forks; i++) {
		forks += m->forks[i].n_summed ? m->forks[i].n_summed : 1;
		pauses += m->forks[i].pause_ns;
	}
	CHECK_EQ(processes, n + 1);
	CHECK_EQ(signals, n / 7);
	CHECK_EQ(blocks, 3 * n);
	CHECK_EQ(bytes, 600 * n);
	CHECK_EQ(live, 500 * n);
	CHECK_EQ(at_sites, 3 * n);
	CHECK_EQ(threads, n);
	CHECK_EQ(forks, n);
	CHECK_EQ(pauses, 7 * n);
	CHECK_EQ(judged(m, REACH_DEFINITE), n / 5);
	CHECK_EQ(judged(m, REACH_REACHABLE), n - n / 5);
}

/* A server that starts a process for each request. */
static void test_processes(void)
{
	char path[] = "/tmp/mms-test-bounded-XXXXXX", reason[256] = "";
	struct model *m = model_new();
	const struct stack_source stacks = {no_node, NULL};
	struct store *s = NULL;
	struct capture *c = NULL;
	uint64_t n = days ? days * 2000 : 4000;
	int64_t full = 0;

	close(mkstemp(path));
	REQUIRE(m && model_process(m, 1) && store_open(path, &s, reason, sizeof(reason)) == 0);
	for (uint64_t i = 2; i < n + 2; i++) {
		give_process(m, i);
		if (model_has_too_many(m, SHORT_ONES) && model_sum_up(m, &outside)) {
			CHECK_EQ(store_flush(s, m, &stacks), 0);
			model_summed_forget(m);
		}
		CHECK(m->n_processes <= 2 * SHORT_ONES && m->n_forks <= 2 * SHORT_ONES + n / 1000);
		CHECK(m->n_modules <= 2 * SHORT_ONES);
		full = i == n / 2 ? store_bytes(s) : full;
	}
	CHECK(model_process_find(m, 77) && !model_process_find(m, 77)->n_summed);
	CHECK(model_fork_find(m, 1000) && !model_fork_find(m, 1000)->n_summed);
	CHECK_EQ(store_finish(s, m, &stacks, NULL), 0);
	check_sums(m, n);
	CHECK(store_bytes(s) < full + full / 4);
	store_close(s);
	REQUIRE(capture_open(path, &c, reason, sizeof(reason)) == 0);
	CHECK_EQ(number(c, "SELECT sum(coalesce(merged, 1)) FROM process"), n + 1);
	CHECK_EQ(number(c, "SELECT sum(alloc_bytes) FROM heap_site"), 600 * n);
	CHECK_EQ(number(c, "SELECT sum(coalesce(merged, 1)) FROM fork"), n);
	CHECK_EQ(number(c, "SELECT sum(pause_ns) FROM fork"), 7 * n);
	CHECK_EQ(number(c, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
	CHECK_EQ(number(c, "SELECT sum(blocks) FROM left_block WHERE verdict = 'definite'") +
		number(c, "SELECT count(*) FROM live_block WHERE verdict = 'definite'"), n / 5);
	capture_close(c);
	model_free(m);
	unlink(path);
}

int main(int argc, char **argv)
{
	days = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	test_calls();
	test_calls_kept();
	test_threads();
	test_sampled_threads();
	test_database();
	test_processes();
	return check_done();
}
