/*
 * test_bounded.c - memory and database of a recording of months stay flat.
 *
 *     test_bounded [DAYS]
 *
 * Time is compressed: looks, accounts, ticks and calls of so many days are
 * given to model and store as fast as they take them.  Without DAYS: as many
 * as fill every list once and a half, for each build; by hand: months.
 */
#include "check.h"
#include "mmscope/record.h"
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
		if (i == parts * 3 / 5) /* every list was full once */
			full = store_bytes(s);
	}
	CHECK_EQ(store_finish(s, m, &stacks, NULL), 0);
	store_close(s);
	CHECK(stat(path, &status) == 0);
	printf("%lld bytes when lists were full, %lld at the end\n", (long long)full, (long long)status.st_size);
	/* Tables swing between half full and full. */
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

int main(int argc, char **argv)
{
	days = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	test_calls();
	test_calls_kept();
	test_database();
	return check_done();
}
