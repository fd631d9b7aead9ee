/*
 * test_limit.c - limits and cgroup places over recorded directory trees.
 *
 * The trees are made here as a kernel with cgroup v2 shows them (the kernel
 * that runs the tests may have v1 only), and as one with v1 in a container.
 * Truth is what was written into the files.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "collect/cgroups.h"
#include "collect/hugetlb.h"
#include "collect/tasks.h"
#include "mirror/mm.h"

#define MIB (1ull << 20)

static char root[] = "/tmp/mms-limit-XXXXXX";

static void put_file(const char *path, const char *format, ...)
{
	char full[512], text[2048];
	va_list list;

	snprintf(full, sizeof full, "%s%s", root, path);
	for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(full, 0755);
		*slash = '/';
	}
	va_start(list, format);
	int n = vsnprintf(text, sizeof text, format, list);
	va_end(list);
	int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	REQUIRE(fd >= 0 && write(fd, text, (size_t)n) == n);
	close(fd);
}

static const struct limit_point *find(const struct limit_points *p, enum limit_kind kind, const char *path)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->at[i].kind == kind && strcmp(p->at[i].path, path) == 0)
			return &p->at[i];
	}
	return NULL;
}

static void put_group(const char *folder, const char *max, const char *high, uint64_t current, uint64_t file)
{
	char path[256];

	snprintf(path, sizeof path, "%s/memory.max", folder);
	put_file(path, "%s\n", max);
	snprintf(path, sizeof path, "%s/memory.high", folder);
	put_file(path, "%s\n", high);
	snprintf(path, sizeof path, "%s/memory.current", folder);
	put_file(path, "%llu\n", (unsigned long long)current);
	snprintf(path, sizeof path, "%s/memory.swap.current", folder);
	put_file(path, "%llu\n", 3 * MIB);
	snprintf(path, sizeof path, "%s/memory.events", folder);
	put_file(path, "low 0\nhigh 5\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n");
	snprintf(path, sizeof path, "%s/memory.pressure", folder);
	put_file(path, "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\n"
		"full avg10=0.00 avg60=0.00 avg300=0.00 total=567\n");
	snprintf(path, sizeof path, "%s/memory.stat", folder);
	put_file(path, "anon %llu\nfile %llu\nkernel 1048576\ninactive_anon 0\nactive_anon 1\n"
		"inactive_file %llu\nactive_file %llu\n",
		(unsigned long long)(current - file - 3 * MIB), (unsigned long long)file,
		(unsigned long long)(file / 2), (unsigned long long)(file / 2));
}

static void put_host(const char *overcommit)
{
	put_file("/proc/meminfo", "MemTotal:       8388608 kB\nMemFree:        1000000 kB\n"
		"MemAvailable:   4194304 kB\nSwapTotal:      1048576 kB\nSwapFree:        524288 kB\n"
		"CommitLimit:     5000000 kB\nCommitted_AS:    4000000 kB\n");
	put_file("/proc/vmstat", "pgfault 12\noom_kill 4\n");
	put_file("/proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"
		"full avg10=0.00 avg60=0.00 avg300=0.00 total=11\n");
	put_file("/proc/sys/vm/overcommit_memory", "%s\n", overcommit);
}

/* A pod below two slices; the middle one has no limit. */
static void test_v2(void)
{
	struct limit_points p = { .n = 0 };
	struct limit_commit commit;

	put_host("0");
	put_file("/proc/self/mountinfo", "25 1 0:21 / /sys rw - sysfs sysfs rw\n"
		"30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
	put_group("/sys/fs/cgroup/kube/pod1/box", "268435456", "200000000", 100 * MIB, 20 * MIB);
	put_group("/sys/fs/cgroup/kube/pod1", "max", "max", 150 * MIB, 20 * MIB);
	put_group("/sys/fs/cgroup/kube", "209715200", "max", 180 * MIB, 30 * MIB);
	struct cgroup_place *place = cgroup_place_open(root, "0::/kube/pod1/box\n");
	REQUIRE(place);
	cgroup_place_read(place, &p, &commit);
	const struct limit_point *box = find(&p, LIMIT_CGROUP2, "/sys/fs/cgroup/kube/pod1/box");
	const struct limit_point *kube = find(&p, LIMIT_CGROUP2, "/sys/fs/cgroup/kube");
	const struct limit_point *high = find(&p, LIMIT_CGROUP2_HIGH, "/sys/fs/cgroup/kube/pod1/box");
	const struct limit_point *host = find(&p, LIMIT_HOST, "MemAvailable");
	REQUIRE(box && kube && high && host);
	CHECK_EQ(p.n, 5); /* the pod without a limit and the root have no point */
	CHECK_EQ(high->failures, 5);
	CHECK_EQ(limit_headroom(box), 256 * MIB - 100 * MIB + 20 * MIB);
	CHECK_EQ(limit_headroom(kube), 200 * MIB - 180 * MIB + 30 * MIB);
	CHECK_EQ(limit_headroom(high), 200000000 - 100 * MIB + 20 * MIB);
	CHECK_EQ(box->failures, 7);
	CHECK_EQ(box->oom_kills, 1);
	CHECK_EQ(box->swap, 3 * MIB);
	CHECK_EQ(box->residue, 2 * MIB);
	CHECK_EQ(box->stall_us, 1234);
	CHECK_EQ(box->full_stall_us, 567);
	CHECK_EQ(limit_headroom(host), (4194304ull + 524288) << 10);
	CHECK_EQ(host->oom_kills, 4);
	CHECK_EQ(host->stall_us, 99);
	/* Kept descriptors see the change. */
	put_file("/sys/fs/cgroup/kube/memory.current", "%llu\n", 190 * MIB);
	p.n = 0;
	cgroup_place_read(place, &p, &commit);
	kube = find(&p, LIMIT_CGROUP2, "/sys/fs/cgroup/kube");
	REQUIRE(kube);
	CHECK_EQ(kube->usage, 190 * MIB);
	/* An ancestor that had no limit is asked again at the eighth read. */
	put_file("/sys/fs/cgroup/kube/pod1/memory.max", "%llu\n", 160 * MIB);
	for (int read = 3; read <= 9; read++) {
		p.n = 0;
		cgroup_place_read(place, &p, &commit);
		CHECK_EQ(find(&p, LIMIT_CGROUP2, "/sys/fs/cgroup/kube/pod1") != NULL, read == 9);
	}
	cgroup_place_close(place);
}

/* A group whose files are written one by one, for what a kernel may leave out. */
static void put_in(const char *folder, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	put_file(path, "%s", text);
}

/* high only, swap with a limit, and files that this kernel does not have: no
 * memory.events, no memory.pressure, a statistic without "kernel". */
static void test_v2_sparse(void)
{
	static const char slice[] = "/sys/fs/cgroup/app.slice", one[] = "/sys/fs/cgroup/app.slice/one.service";
	struct limit_points p = { .n = 0 };
	struct limit_commit commit;

	put_in(one, "memory.current", "52428800\n");
	put_in(one, "memory.max", "max\n");
	put_in(one, "memory.high", "104857600\n");
	put_in(one, "memory.swap.current", "4194304\n");
	put_in(one, "memory.swap.max", "16777216\n");
	put_in(one, "memory.swap.events", "high 0\nmax 9\nfail 2\n");
	put_in(one, "memory.stat", "anon 41943040\nfile 8388608\n");
	put_in(slice, "memory.current", "73400320\n");
	put_in(slice, "memory.max", "83886080\n");
	struct cgroup_place *place = cgroup_place_open(root, "0::/app.slice/one.service\n");
	REQUIRE(place);
	CHECK(!cgroup_place_hidden(place));
	cgroup_place_read(place, &p, &commit);
	const struct limit_point *own = find(&p, LIMIT_CGROUP2, one), *above = find(&p, LIMIT_CGROUP2, slice);
	const struct limit_point *high = find(&p, LIMIT_CGROUP2_HIGH, one), *swap = find(&p, LIMIT_CGROUP2_SWAP, one);
	REQUIRE(own && above && high && swap);
	CHECK_EQ(own->limit, LIMIT_UNLIMITED); /* kept for its counters */
	CHECK_EQ(own->oom_kills, LIMIT_NONE);
	CHECK_EQ(own->residue, LIMIT_NONE);
	CHECK_EQ(own->stall_us, LIMIT_NONE);
	CHECK_EQ(own->swap, 4 * MIB);
	CHECK_EQ(limit_headroom(high), 50 * MIB);
	CHECK_EQ(high->failures, LIMIT_NONE);
	CHECK_EQ(limit_headroom(swap), 12 * MIB);
	CHECK_EQ(swap->failures, 9);
	/* Nothing but the two: all of it counts, no page is known to be dropped. */
	CHECK_EQ(limit_headroom(above), 10 * MIB);
	CHECK_EQ(above->reclaimable, 0);
	CHECK(!find(&p, LIMIT_CGROUP2_HIGH, slice) && !find(&p, LIMIT_CGROUP2_SWAP, slice));
	cgroup_place_close(place);
}

/* In a cgroup namespace the path is "/", and of a process outside "/..": the
 * mount's own folder is the last that can be seen. */
static void test_v2_namespace(void)
{
	static const char *const text[] = { "0::/\n", "0::/../other\n" };

	put_file("/proc/self/mountinfo", "30 25 0:26 /kube/pod1/box /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
	put_group("/sys/fs/cgroup", "268435456", "max", 100 * MIB, 20 * MIB);
	for (int i = 0; i < 2; i++) {
		struct limit_points p = { .n = 0 };
		struct limit_commit commit;
		struct cgroup_place *place = cgroup_place_open(root, text[i]);

		REQUIRE(place);
		CHECK(cgroup_place_hidden(place));
		cgroup_place_read(place, &p, &commit);
		const struct limit_point *own = find(&p, LIMIT_CGROUP2, "/sys/fs/cgroup");
		REQUIRE(own);
		CHECK_EQ(limit_headroom(own), 176 * MIB);
		cgroup_place_close(place);
	}
	put_file("/sys/fs/cgroup/memory.current", "");
}

/* Five deep, the least room in the middle; a controller that is not enabled
 * below the fourth has no files there. */
static void test_v2_deep(void)
{
	struct limit_points p = { .n = 0 };
	struct limit_commit commit;
	const struct limit_point *least = NULL;

	put_file("/proc/self/mountinfo", "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	put_group("/sys/fs/cgroup/a", "1073741824", "max", 500 * MIB, 0);
	put_group("/sys/fs/cgroup/a/b", "536870912", "max", 480 * MIB, 16 * MIB);
	put_group("/sys/fs/cgroup/a/b/c", "max", "max", 300 * MIB, 0);
	put_group("/sys/fs/cgroup/a/b/c/d", "402653184", "max", 300 * MIB, 0);
	put_in("/sys/fs/cgroup/a/b/c/d/e", "cgroup.procs", "1\n");
	struct cgroup_place *place = cgroup_place_open(root, "0::/a/b/c/d/e\n");
	REQUIRE(place);
	cgroup_place_read(place, &p, &commit);
	for (size_t i = 0; i < p.n; i++) {
		if (p.at[i].kind == LIMIT_CGROUP2 && (!least || limit_headroom(&p.at[i]) < limit_headroom(least)))
			least = &p.at[i];
	}
	REQUIRE(least);
	CHECK_STR(least->path, "/sys/fs/cgroup/a/b");
	CHECK_EQ(limit_headroom(least), 48 * MIB);
	CHECK(find(&p, LIMIT_CGROUP2, "/sys/fs/cgroup/a/b/c/d") && find(&p, LIMIT_CGROUP2, "/sys/fs/cgroup/a"));
	CHECK(!find(&p, LIMIT_CGROUP2, "/sys/fs/cgroup/a/b/c"));
	cgroup_place_close(place);
}

static void test_commit(void)
{
	for (unsigned mode = 0; mode < 3; mode++) {
		static const char *const path[] = { "vm.overcommit_memory=0", "vm.overcommit_memory=1",
			"vm.overcommit_memory=2" };
		struct limit_points p = { .n = 0 };
		struct limit_commit commit;

		put_host(path[mode] + strlen(path[mode]) - 1);
		put_file("/proc/sys/vm/admin_reserve_kbytes", "8192\n");
		put_file("/proc/sys/vm/user_reserve_kbytes", "131072\n");
		struct cgroup_place *place = cgroup_place_open(root, "0::/\n");
		REQUIRE(place);
		cgroup_place_read(place, &p, &commit);
		const struct limit_point *told = find(&p, LIMIT_COMMITTED, path[mode]);
		CHECK_EQ(told != NULL, mode < 2); /* in mode 2 it is a limit of the process */
		if (told)
			CHECK_EQ(limit_headroom(told), 1000000ull << 10);
		CHECK_EQ(commit.mode, mode);
		CHECK_EQ(commit.limit - commit.committed, 1000000ull << 10);
		if (mode == 2) {
			CHECK_EQ(commit.admin_reserve, 8 * MIB);
			CHECK_EQ(commit.user_reserve, 128 * MIB);
		}
		cgroup_place_close(place);
	}
}

/* A container with v1: the mount shows one folder of the hierarchy. */
static void test_v1_hidden(void)
{
	struct limit_points p = { .n = 0 };
	struct limit_commit commit;

	put_host("1");
	put_file("/proc/self/mountinfo", "31 25 0:27 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
	put_file("/sys/fs/cgroup/memory/memory.usage_in_bytes", "%llu\n", 60 * MIB);
	put_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "%llu\n", 64 * MIB);
	put_file("/sys/fs/cgroup/memory/memory.memsw.usage_in_bytes", "%llu\n", 61 * MIB);
	put_file("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "%llu\n", 128 * MIB);
	put_file("/sys/fs/cgroup/memory/memory.failcnt", "17\n");
	put_file("/sys/fs/cgroup/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
	put_file("/sys/fs/cgroup/memory/memory.stat", "cache 1\nrss 1\ntotal_cache 4194304\ntotal_rss 50331648\n"
		"total_inactive_file 1048576\ntotal_active_file 2097152\n");
	struct cgroup_place *place = cgroup_place_open(root, "5:cpu:/docker/abc\n4:memory:/docker/abc\n0::/\n");
	REQUIRE(place);
	CHECK(cgroup_place_hidden(place));
	cgroup_place_read(place, &p, &commit);
	const struct limit_point *own = find(&p, LIMIT_CGROUP1, "/sys/fs/cgroup/memory");
	const struct limit_point *both = find(&p, LIMIT_CGROUP1_SWAP, "/sys/fs/cgroup/memory");
	REQUIRE(own && both);
	CHECK_EQ(limit_headroom(own), 7 * MIB);
	CHECK_EQ(own->failures, 17);
	CHECK_EQ(own->oom_kills, 3);
	CHECK_EQ(own->residue, 8 * MIB);
	CHECK_EQ(own->swap, MIB);
	CHECK_EQ(limit_headroom(both), 70 * MIB);
	cgroup_place_close(place);
}

/* As the tick does: the sizes come from status. */
static bool read_it(struct limit_process *p, uint64_t now_ns, const struct limit_commit *commit,
	struct limit_points *ret)
{
	struct mms_mm mm = { .total = 0 };

	CHECK_EQ(mm_read_status(p->folder_fd, "status", &mm), 0);
	return limit_process_read(p, now_ns, &mm, commit, ret);
}

/* What is left to commit: less what is kept back for the administrator, unless
 * it is one, and a 32nd of its own size. */
static void check_commit(struct limit_process *p, const char *capabilities, uint64_t user_reserve, uint64_t kept)
{
	struct limit_commit commit = { 2, 1000 * MIB, 600 * MIB, 8 * MIB, user_reserve };
	struct limit_points points = { .n = 0 };

	put_file("/proc/7/status", "Name:\tx\nVmSize:\t  327680 kB\nThreads:\t1\nCapEff:\t%s\n", capabilities);
	p->doubted = true;
	CHECK(read_it(p, 3, &commit, &points));
	const struct limit_point *left = find(&points, LIMIT_COMMIT, "vm.overcommit_memory=2");
	REQUIRE(left);
	CHECK_EQ(limit_headroom(left), 400 * MIB - kept);
}

/* The end of the address space: by the program's class and its personality. */
static void check_ceiling(struct limit_process *p, char class, const char *personality, uint64_t end)
{
	struct limit_commit commit = { 0, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE };
	struct limit_points points = { .n = 0 };

	put_file("/proc/7/exe", "\177ELF%c\1\1%9s", class, "");
	put_file("/proc/7/personality", "%s\n", personality);
	p->task_size = 0;
	CHECK(read_it(p, 2, &commit, &points));
	const struct limit_point *space = find(&points, LIMIT_TASK_SIZE, "address space");
	REQUIRE(space);
	CHECK_EQ(space->limit, end);
}

/* Areas are counted when something may have changed their number, and seldom
 * when nothing did. */
static void check_areas(struct limit_process *p, uint64_t now_ns, uint64_t calls, uint64_t areas)
{
	struct limit_commit none = { 0, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE };
	struct limit_points points = { .n = 0 };

	p->n_calls = calls;
	CHECK(read_it(p, now_ns, &none, &points));
	const struct limit_point *maps = find(&points, LIMIT_MAP_COUNT, "vm.max_map_count");
	REQUIRE(maps);
	CHECK_EQ(maps->usage, areas);
}

static void put_limit(uint64_t bytes)
{
	put_file("/proc/7/limits", "Limit                     Soft Limit           Hard Limit           Units     \n"
		"Max address space         %-21llu%-21s%s     \n", (unsigned long long)bytes, "unlimited", "bytes");
}

static void check_limit(struct limit_process *p, uint64_t now_ns, uint64_t bytes)
{
	struct limit_commit none = { 0, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE };
	struct limit_points points = { .n = 0 };

	CHECK(read_it(p, now_ns, &none, &points));
	const struct limit_point *as = find(&points, LIMIT_AS, "RLIMIT_AS");
	REQUIRE(as);
	CHECK_EQ(as->limit, bytes);
}

/* What a process may have is read again soon while it is young, after ten
 * seconds, at once when little is left or something was refused; what it uses
 * is always of now. */
static void test_age(int folder_fd)
{
	static const uint64_t second = 1000000000;
	struct limit_process p;

	limit_process_init(&p, folder_fd);
	put_file("/proc/7/status", "Name:\tx\nVmSize:\t  100000 kB\nThreads:\t1\n");
	put_limit(4096 * MIB);
	check_limit(&p, second, 4096 * MIB);
	put_limit(2048 * MIB);
	check_limit(&p, 2 * second, 2048 * MIB); /* young */
	check_limit(&p, 100 * second, 2048 * MIB);
	put_limit(1024 * MIB);
	check_limit(&p, 109 * second, 2048 * MIB);
	check_limit(&p, 110 * second, 1024 * MIB); /* old */
	put_limit(800 * MIB);
	check_limit(&p, 111 * second, 1024 * MIB);
	p.doubted = true;
	check_limit(&p, 111 * second + 1, 800 * MIB);
	put_limit(900 * MIB);
	put_file("/proc/7/status", "Name:\tx\nVmSize:\t  620000 kB\nThreads:\t1\n");
	check_limit(&p, 112 * second, 900 * MIB); /* near */
	limit_process_done(&p);
}

static void test_process(void)
{
	struct limit_points points = { .n = 0 };
	struct limit_commit none = { 0, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE };
	struct limit_process p;

	put_file("/proc/7/status", "Name:\tx\nVmSize:\t  300000 kB\nVmLck:\t 8 kB\nVmRSS:\t 9000 kB\nRssAnon:\t 5000 kB\n"
		"VmData:\t  200000 kB\nVmStk:\t 132 kB\nVmPTE:\t 64 kB\nVmSwap:\t 10 kB\nThreads:\t3\n");
	put_file("/proc/7/limits", "Limit                     Soft Limit           Hard Limit           Units     \n"
		"Max data size             unlimited            unlimited            bytes     \n"
		"Max stack size            8388608              unlimited            bytes     \n"
		"Max locked memory         8388608              8388608              bytes     \n"
		"Max address space         409600000            unlimited            bytes     \n");
	put_file("/proc/7/maps", "1000-2000 r--p 0 0:0 0\n2000-3000 rw-p 0 0:0 0\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n");
	put_file("/proc/sys/vm/max_map_count", "65530\n");
	char folder[128];
	snprintf(folder, sizeof folder, "%s/proc/7", root);
	int fd = open(folder, O_PATH | O_DIRECTORY);
	REQUIRE(fd >= 0);
	limit_process_init(&p, fd);
	CHECK(read_it(&p, 1, &none, &points));
	const struct limit_point *as = find(&points, LIMIT_AS, "RLIMIT_AS");
	const struct limit_point *maps = find(&points, LIMIT_MAP_COUNT, "vm.max_map_count");
	const struct limit_point *stack = find(&points, LIMIT_STACK, "RLIMIT_STACK");
	REQUIRE(as && maps && stack);
	CHECK(!find(&points, LIMIT_DATA, "RLIMIT_DATA"));
	CHECK_EQ(limit_headroom(as), 409600000 - (300000 << 10));
	CHECK_EQ(maps->usage, 2); /* [vsyscall] is no area of the process */
	CHECK_EQ(limit_headroom(stack), 8388608 - (132 << 10));
	put_file("/proc/7/maps", "1000-2000 r--p 0 0:0 0\n2000-3000 rw-p 0 0:0 0\n4000-5000 rw-p 0 0:0 0\n");
	check_areas(&p, 1000000000, 1, 2); /* soon after the last count */
	check_areas(&p, 3000000000, 0, 2); /* nothing was told, and no size changed */
	check_areas(&p, 3000000000, 1, 3);
	put_file("/proc/7/maps", "1000-2000 r--p 0 0:0 0\n");
	check_areas(&p, 6000000000, 1, 3);
	check_areas(&p, 13000000000, 1, 1);
	check_ceiling(&p, 2, "00000000", 0x7ffffffff000);
	check_ceiling(&p, 1, "00000000", 0xffffe000);
	check_ceiling(&p, 1, "08000000", 0xc0000000);
	check_commit(&p, "0000000000000000", 128 * MIB, 8 * MIB + 10 * MIB);
	check_commit(&p, "000001ffffffffff", 128 * MIB, 10 * MIB);
	check_commit(&p, "000001ffffdfffff", 4 * MIB, 8 * MIB + 4 * MIB);
	limit_process_done(&p);
	test_age(fd);
	close(fd);
}

static uint64_t left_of(const struct limit_points *p, enum limit_kind kind, const char *path)
{
	char full[256];

	snprintf(full, sizeof full, "%s%s", *path == '/' ? root : "", path);
	for (size_t i = 0; i < p->n; i++) {
		if (p->at[i].kind == kind && !strcmp(p->at[i].path, full))
			return (uint64_t)limit_headroom(&p->at[i]);
	}
	return LIMIT_NONE;
}

/* Threads: of two cgroups of v1, one of v2, the machine, and the user, whose
 * processes are 7 and 8; 9 is another's. */
static void test_tasks(void)
{
	struct limit_points p = { .n = 0 };
	char folder[128];

	put_file("/proc/loadavg", "0.20 0.18 0.12 3/180 11206\n");
	put_file("/proc/sys/kernel/threads-max", "1000\n");
	put_file("/sys/fs/cgroup/pids/a/pids.max", "60\n");
	put_file("/sys/fs/cgroup/pids/a/pids.current", "50\n");
	put_file("/sys/fs/cgroup/pids/a/b/pids.max", "max\n");
	put_file("/sys/fs/cgroup/pids/a/b/pids.current", "40\n");
	put_file("/sys/fs/cgroup/pids/a/b/c/pids.max", "64\n");
	put_file("/sys/fs/cgroup/pids/a/b/c/pids.current", "30\n");
	put_file("/sys/fs/cgroup/x/pids.max", "8\n");
	put_file("/sys/fs/cgroup/x/pids.current", "8\n");
	tasks_read(root, "8:pids:/a/b/c\n4:memory:/\n0::/x\n", &p);
	CHECK_EQ(p.n, 4);
	CHECK_EQ(left_of(&p, LIMIT_PIDS, "/sys/fs/cgroup/pids/a"), 10);
	CHECK_EQ(left_of(&p, LIMIT_PIDS, "/sys/fs/cgroup/pids/a/b/c"), 34);
	CHECK_EQ(left_of(&p, LIMIT_PIDS, "/sys/fs/cgroup/x"), 0);
	CHECK_EQ(left_of(&p, LIMIT_THREADS, "kernel.threads-max"), 820);
	put_file("/proc/7/status", "Name:\tx\nUid:\t1000\t1000\nThreads:\t3\nCapEff:\t0000000000000000\n");
	put_file("/proc/8/status", "Name:\ty\nUid:\t1000\t1000\nThreads:\t4\n");
	put_file("/proc/9/status", "Name:\tz\nUid:\t1001\t1001\nThreads:\t5\n");
	put_file("/proc/7/limits", "Max processes             40                   40                   processes \n");
	snprintf(folder, sizeof folder, "%s/proc/7", root);
	int fd = open(folder, O_PATH | O_DIRECTORY);
	REQUIRE(fd >= 0);
	p.n = 0;
	tasks_read_user(root, fd, &p);
	CHECK_EQ(left_of(&p, LIMIT_NPROC, "RLIMIT_NPROC"), 33);
	put_file("/proc/7/status", "Name:\tx\nUid:\t1000\t1000\nThreads:\t3\nCapEff:\t0000000001000000\n");
	p.n = 0;
	tasks_read_user(root, fd, &p);
	CHECK_EQ(p.n, 0); /* CAP_SYS_RESOURCE: not held to it */
	close(fd);
}

/* A pool of 10 pages of 2 MiB, 3 of them beyond what was set and at most 5 such:
 * 6 are in use, and of the 4 that are idle one is promised. */
static void test_hugetlb(void)
{
	struct limit_points p = { .n = 0 };

	hugetlb_read(root, 21, &p);
	CHECK_EQ(p.n, 0);
	put_file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "10\n");
	put_file("/sys/kernel/mm/hugepages/hugepages-2048kB/surplus_hugepages", "3\n");
	put_file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages", "5\n");
	put_file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "4\n");
	put_file("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "1\n");
	hugetlb_read(root, 21, &p);
	REQUIRE(p.n == 1);
	CHECK_STR(p.at[0].path, "/sys/kernel/mm/hugepages/hugepages-2048kB");
	CHECK_EQ(limit_headroom(&p.at[0]), 5 << 21);
	CHECK_EQ(p.at[0].limit, 12 << 21);
	hugetlb_read(root, 30, &p);
	CHECK_EQ(p.n, 1); /* no such pool */
	put_file("/proc/meminfo", "HugePages_Total:      10\nHugepagesize:       2048 kB\n");
	p.n = 0;
	hugetlb_read(root, MMS_HUGE_DEFAULT, &p);
	REQUIRE(p.n == 1);
	CHECK_EQ(limit_headroom(&p.at[0]), 5 << 21);
}

int main(void)
{
	char command[64];

	REQUIRE(mkdtemp(root));
	test_v2();
	test_v2_sparse();
	test_v2_deep();
	test_v2_namespace();
	test_commit();
	test_v1_hidden();
	test_process();
	test_tasks();
	test_hugetlb();
	snprintf(command, sizeof command, "rm -rf %s", root);
	CHECK_EQ(system(command), 0);
	return check_done();
}
