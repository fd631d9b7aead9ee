/*
 * test_page_traps.c - what the kernel's page interfaces say that is not so, one
 * test for each trap, and the two kinds of page that a test must ask the
 * kernel for: huge and swapped.
 *
 * Each test also shows the trap itself where this kernel has it, so that one
 * that never bites is noticed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "mirror/cow_scan.h"
#include "mirror/page_scan.h"

#define PAGE 4096ul
#define HUGE (2ul << 20)
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

static int pagemap_fd;
static struct page_shadow shadow;
static bool no_ioctl; /* no PAGEMAP_SCAN: before Linux 6.7 */

static uint8_t *map_anonymous(size_t bytes)
{
	uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

static uint64_t count(enum page_plane_kind plane, const void *p, size_t bytes)
{
	return page_plane_count(&shadow.plane[plane], (uintptr_t)p >> 12, bytes >> 12);
}

/* Asks with this descriptor; 0 or -errno. */
static int ask(int fd, const uint8_t *p, size_t bytes, unsigned want, bool anonymous)
{
	struct page_scan scan = { .pagemap_fd = fd, .self = true };
	int r = page_scan_range(&scan, &shadow, (uintptr_t)p, (uintptr_t)p + bytes, want, anonymous);

	no_ioctl |= scan.no_ioctl;
	return r;
}

/* A guard page reads as swapped. */
static void test_guard_is_not_swapped(void)
{
	uint8_t *p = map_anonymous(4 * PAGE);
	uint64_t entry;

	if (madvise(p + PAGE, 2 * PAGE, MADV_GUARD_INSTALL) != 0) {
		fprintf(stderr, "skipped: guard pages need Linux 6.13\n");
		return;
	}
	CHECK_EQ(pread(pagemap_fd, &entry, 8, (off_t)((uintptr_t)(p + PAGE) >> 12) * 8), 8);
	CHECK(entry >> 62 & 1); /* the trap */
	CHECK_EQ(ask(pagemap_fd, p, 4 * PAGE, PAGE_WANT_STATES, true), 0);
	CHECK_EQ(count(PAGE_SWAPPED, p, 4 * PAGE), 0);
	CHECK_EQ(count(PAGE_TOUCHED, p, 4 * PAGE), 0);
	munmap(p, 4 * PAGE);
}

/* mincore answers about the page cache, not about the mapping. */
static void test_mincore_of_a_file(void)
{
	enum { N = 64 };
	static uint8_t bytes[N * PAGE];
	unsigned char vec[N];
	char path[] = "/tmp/mmscope-traps-XXXXXX";
	int fd = mkstemp(path), cached = 0;

	REQUIRE(fd >= 0 && unlink(path) == 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
	uint8_t *p = mmap(NULL, sizeof bytes, PROT_READ, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED && mincore(p, sizeof bytes, vec) == 0);
	for (int i = 0; i < N; i++)
		cached += vec[i] & 1;
	CHECK_EQ(cached, N); /* the trap: nothing of it was touched here */
	CHECK_EQ(ask(pagemap_fd, p, sizeof bytes, PAGE_WANT_PRESENT, false), 0);
	CHECK_EQ(count(PAGE_PRESENT, p, sizeof bytes), 0);
	CHECK_EQ(ask(-1, p, sizeof bytes, PAGE_WANT_PRESENT, false), -EACCES);
	munmap(p, sizeof bytes);
	close(fd);
}

static void in_child(void (*work)(void))
{
	int status;
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		check_failed = 0;
		work();
		_exit(check_failed != 0);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

/* A descriptor of /proc/self/pagemap that a child inherits shows its parent. */
static void inherited(void)
{
	uint8_t *p = map_anonymous(8 * PAGE); /* the parent has nothing there */
	int fd = open("/proc/self/pagemap", O_RDONLY);

	REQUIRE(fd >= 0);
	memset(p, 1, 8 * PAGE);
	CHECK_EQ(ask(pagemap_fd, p, 8 * PAGE, PAGE_WANT_STATES, true), 0);
	CHECK_EQ(count(PAGE_PRESENT, p, 8 * PAGE), 0); /* the trap */
	CHECK_EQ(ask(fd, p, 8 * PAGE, PAGE_WANT_STATES, true), 0);
	CHECK_EQ(count(PAGE_PRESENT, p, 8 * PAGE), 8);
}

/* A page that was only read is present and takes no memory. */
static void test_zero_page(void)
{
	uint8_t *p = map_anonymous(8 * PAGE);

	for (int i = 0; i < 8; i++)
		(void)*(volatile uint8_t *)(p + i * PAGE);
	p[0] = 1;
	CHECK_EQ(ask(pagemap_fd, p, 8 * PAGE, PAGE_WANT_STATES, true), 0);
	CHECK_EQ(count(PAGE_PRESENT, p, 8 * PAGE), 8);
	CHECK_EQ(count(PAGE_ZERO, p, 8 * PAGE), no_ioctl ? 0 : 7); /* else not told */
	munmap(p, 8 * PAGE);
}

/* Where PR_SET_DUMPABLE is 0 nothing can be opened; what is open keeps working. */
static void undumpable(void)
{
	uint8_t *p = map_anonymous(8 * PAGE);
	int before = open("/proc/self/pagemap", O_RDONLY);

	memset(p, 1, 3 * PAGE);
	if ((geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) || prctl(PR_SET_DUMPABLE, 0) != 0) {
		fprintf(stderr, "skipped: cannot become nobody\n");
		return;
	}
	CHECK_EQ(open("/proc/self/pagemap", O_RDONLY), -1);
	CHECK_EQ(ask(-1, p, 8 * PAGE, PAGE_WANT_PRESENT, true), 0); /* mincore */
	CHECK_EQ(count(PAGE_PRESENT, p, 8 * PAGE), 3);
	CHECK_EQ(ask(before, p, 8 * PAGE, PAGE_WANT_STATES, true), 0);
	CHECK_EQ(count(PAGE_PRESENT, p, 8 * PAGE), 3);
}

/* A scan holds up every other thread's mmap: never more than one slice of pages
 * that are there a call. */
static void test_slices(void)
{
	size_t bytes = 2 * PAGE_SCAN_SLICE + PAGE;
	uint8_t *p = map_anonymous(bytes);
	struct page_scan scan = { .pagemap_fd = pagemap_fd, .self = true };
	uintptr_t next = 0;

	memset(p, 1, bytes);
	CHECK_EQ(page_scan_part(&scan, &shadow, (uintptr_t)p, (uintptr_t)p + bytes, PAGE_WANT_STATES, true, &next), 0);
	CHECK_EQ(next - (uintptr_t)p, PAGE_SCAN_SLICE);
	CHECK_EQ(count(PAGE_PRESENT, p, bytes), PAGE_SCAN_SLICE / PAGE);
	CHECK_EQ(page_scan_range(&scan, &shadow, next, (uintptr_t)p + bytes, PAGE_WANT_STATES, true), 0);
	CHECK_EQ(scan.n_slices, 3);
	CHECK_EQ(count(PAGE_PRESENT, p, bytes), bytes / PAGE);
	munmap(p, bytes);
}

#define TIB (1ul << 40)

static void add_told(void *arg, const struct page_told *run, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*(uint64_t *)arg += run[i].n * (run[i].states == PAGE_IS_PRESENT);
}

/* 16 TiB of which little is used: slices are of what is there, not of addresses. */
static void test_sparse(void)
{
	uint8_t *p = mmap(NULL, 16 * TIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t found = 0;
	struct page_scan scan = { .pagemap_fd = pagemap_fd, .self = true, .runs = add_told, .runs_arg = &found };

	if (p == MAP_FAILED) {
		fprintf(stderr, "skipped: 16 TiB cannot be reserved here: %s\n", strerror(errno));
		return;
	}
	madvise(p, 16 * TIB, MADV_NOHUGEPAGE);
	p[0] = p[16 * TIB - 1] = 1;
	memset(p + 5 * TIB + 3 * PAGE, 1, 100 * PAGE);
	for (size_t i = 0; i < 200; i++)
		p[11 * TIB + i * 3 * PAGE] = 1;
	int r = page_scan_range(&scan, NULL, (uintptr_t)p, (uintptr_t)p + 16 * TIB, PAGE_WANT_STATES, true);
	if (!scan.no_ioctl) {
		CHECK_EQ(r, 0);
		CHECK_EQ(found, 302);
		CHECK_EQ(scan.n_pages[PAGE_SCAN_IOCTL], 16 * TIB / PAGE);
		CHECK_EQ(scan.n_slices, 16 * TIB / PAGE_SCAN_SPARSE);
	}
	/* Page by page it would take half a minute: that is left out, a part is not. */
	scan = (struct page_scan){ .pagemap_fd = pagemap_fd, .self = true, .runs = add_told, .runs_arg = &found, .no_ioctl = true };
	CHECK_EQ(page_scan_range(&scan, NULL, (uintptr_t)p, (uintptr_t)p + 16 * TIB, PAGE_WANT_STATES, true), -EOVERFLOW);
	found = 0;
	CHECK_EQ(page_scan_range(&scan, NULL, (uintptr_t)p + 11 * TIB, (uintptr_t)p + 11 * TIB + PAGE_SCAN_SLICE * 3,
		PAGE_WANT_STATES, true), 0);
	CHECK_EQ(found, 200);
	munmap(p, 16 * TIB);
}

/* A huge page, and what is left of it after a part went. */
static void test_huge(void)
{
	uint8_t *whole = map_anonymous(2 * HUGE);
	uint8_t *p = (uint8_t *)(((uintptr_t)whole + HUGE - 1) & ~(HUGE - 1));

	madvise(p, HUGE, MADV_HUGEPAGE);
	p[0] = 1;
	CHECK_EQ(ask(pagemap_fd, p, HUGE, PAGE_WANT_STATES, true), 0);
	if (count(PAGE_HUGE, p, HUGE) == 0) {
		fprintf(stderr, "skipped: no huge page was given, or no PAGEMAP_SCAN\n");
	} else {
		CHECK_EQ(count(PAGE_HUGE, p, HUGE), 512);
		CHECK_EQ(count(PAGE_PRESENT, p, HUGE), 512);
		madvise(p + 5 * PAGE, PAGE, MADV_DONTNEED);
		CHECK_EQ(ask(pagemap_fd, p, HUGE, PAGE_WANT_STATES, true), 0);
		CHECK_EQ(count(PAGE_HUGE, p, HUGE), 0);
		CHECK_EQ(count(PAGE_PRESENT, p, HUGE), 511);
	}
	munmap(whole, 2 * HUGE);
}

/* A swap file of 1 MiB, written as mkswap does; false: not allowed here. */
static bool swap_begin(char *path)
{
	static uint8_t bytes[256 * PAGE];
	static const uint32_t head[] = { 1, 255, 0 }; /* version, last page, bad pages */
	int fd = mkstemp(path);

	REQUIRE(fd >= 0);
	memcpy(bytes + 1024, head, sizeof head);
	memcpy(bytes + PAGE - 10, "SWAPSPACE2", 10);
	bool written = write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes && fsync(fd) == 0;
	close(fd);
	return written && swapon(path, 0) == 0;
}

static void test_swapped(void)
{
	enum { N = 64 };
	char path[] = "/var/tmp/mmscope-swap-XXXXXX";
	uint8_t *p = map_anonymous(N * PAGE);
	uint64_t swapped[2], present[2];
	bool truth[N];
	int n_truth = 0;

	if (!swap_begin(path)) {
		fprintf(stderr, "skipped: no swap file is allowed here: %s\n", strerror(errno));
		unlink(path);
		return;
	}
	for (size_t i = 0; i < N * PAGE; i++)
		p[i] = (uint8_t)(i * 2654435761u >> 13);
	madvise(p, N / 2 * PAGE, MADV_PAGEOUT);
	for (int i = 0; i < N; i++) { /* bit 62, and these are neither guards nor registered */
		uint64_t entry = 0;
		REQUIRE(pread(pagemap_fd, &entry, 8, (off_t)((uintptr_t)(p + i * PAGE) >> 12) * 8) == 8);
		n_truth += truth[i] = entry >> 62 & 1;
	}
	for (int way = 0; way < 2; way++) {
		struct page_scan scan = { .pagemap_fd = pagemap_fd, .self = true, .no_ioctl = way };
		page_scan_range(&scan, &shadow, (uintptr_t)p, (uintptr_t)p + N * PAGE, PAGE_WANT_STATES, true);
		swapped[way] = count(PAGE_SWAPPED, p, N * PAGE);
		present[way] = count(PAGE_PRESENT, p, N * PAGE);
		for (int i = 0; i < N; i++)
			CHECK_EQ(page_plane_test(&shadow.plane[PAGE_SWAPPED], ((uintptr_t)p >> 12) + i), truth[i]);
	}
	CHECK_EQ(swapoff(path), 0); /* before anything may end the test */
	unlink(path);
	if (n_truth == 0)
		fprintf(stderr, "skipped: the kernel moved nothing out\n");
	for (int way = 0; way < 2; way++) {
		CHECK_EQ(swapped[way], n_truth);
		CHECK_EQ(present[way], N - n_truth);
	}
	for (size_t i = 0; i < N; i++) /* swapoff brings them back, but not from another file */
		(void)*(volatile uint8_t *)(p + i * PAGE);
	CHECK_EQ(ask(pagemap_fd, p, N * PAGE, PAGE_WANT_STATES, true), 0);
	CHECK_EQ(count(PAGE_PRESENT, p, N * PAGE), N);
	CHECK_EQ(count(PAGE_SWAPPED, p, N * PAGE), 0);
	munmap(p, N * PAGE);
}

/* --- write protection (mirror/cow_scan.h) ---------------------------------- */

static void add_pages(void *arg, uint64_t first, uint64_t n, unsigned categories)
{
	(void)first;
	if (categories & IS_WRITTEN)
		*(uint64_t *)arg += n;
}

/* A userfaultfd that protects these bytes; -1: not allowed here. */
static int watch(const uint8_t *p, size_t bytes)
{
	struct uffd_api api = { .api = UFFD_VERSION, .features = UFFD_WP_UNPOPULATED | UFFD_WP_ASYNC };
	struct uffd_register area = { .start = (uintptr_t)p, .length = bytes, .mode = UFFD_MODE_WP };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_ONLY);

	if (fd < 0 || ioctl(fd, UFFD_API_IOCTL, &api) < 0 || ioctl(fd, UFFD_REGISTER_IOCTL, &area) < 0) {
		fprintf(stderr, "skipped: no userfaultfd here: %s\n", strerror(errno));
		return -1;
	}
	return fd;
}

static uint64_t written(const uint8_t *p, size_t bytes, bool protect)
{
	struct page_region region[64];
	uint64_t n = 0;
	struct cow_scan scan = { .pagemap_fd = pagemap_fd, .protect = protect, .region = region, .n_regions = 64,
		.run = add_pages, .arg = &n };

	CHECK_EQ(cow_scan_range(&scan, (uintptr_t)p, (uintptr_t)p + bytes), 0);
	return n;
}

/* More pages than a call answers about, in 16 TiB of which little else is used. */
static void test_written_in_much(void)
{
	size_t bytes = PAGE_SCAN_SLICE * 2 + 5 * PAGE, n_written = 0;
	uint8_t *p = mmap(NULL, 16 * TIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		fprintf(stderr, "skipped: 16 TiB cannot be reserved here: %s\n", strerror(errno));
		return;
	}
	madvise(p, 16 * TIB, MADV_NOHUGEPAGE);
	memset(p + 7 * TIB, 1, bytes);
	p[16 * TIB - 1] = 1;
	int fd = watch(p, 16 * TIB);
	if (fd >= 0) {
		written(p, 16 * TIB, true);
		for (size_t at = 0; at < bytes; at += 1001 * PAGE, n_written++)
			p[7 * TIB + at] = 2;
		p[16 * TIB - 1] = 2;
		CHECK_EQ(written(p, 16 * TIB, false), n_written + 1);
		close(fd);
	}
	munmap(p, 16 * TIB);
}

/* Every page of an area that is not protected reads as written. */
static void test_not_registered(void)
{
	uint8_t *p = map_anonymous(16 * PAGE);
	struct page_region region[16];
	struct pm_scan_arg arg = { .size = sizeof arg, .start = (uintptr_t)p, .end = (uintptr_t)p + 16 * PAGE,
		.vec = (uintptr_t)region, .vec_len = 16, .category_mask = IS_WRITTEN, .return_mask = IS_WRITTEN };

	memset(p, 1, 8 * PAGE);
	int fd = watch(p, 4 * PAGE);
	if (fd >= 0) {
		written(p, 4 * PAGE, true);
		long n = ioctl(pagemap_fd, SCAN_IOCTL, &arg);
		CHECK(n > 0 && region[n - 1].end > (uintptr_t)(p + 4 * PAGE)); /* the trap */
		p[PAGE] = 2;
		CHECK_EQ(written(p, 16 * PAGE, false), 1);
		close(fd);
	}
	munmap(p, 16 * PAGE);
}

static uint64_t page_table_kib(void)
{
	char text[8192], *at;
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	close(fd);
	REQUIRE(n > 0);
	text[n] = 0;
	at = strstr(text, "VmPTE:");
	REQUIRE(at != NULL);
	return strtoull(at + 6, NULL, 10);
}

/* Protecting memory that is not there would fill it with markers: 2 MiB of
 * page tables for each GiB. */
static void test_markers(void)
{
	size_t bytes = 1ul << 30;
	uint8_t *p = map_anonymous(bytes);
	int fd = watch(p, bytes);

	if (fd >= 0) {
		uint64_t before = page_table_kib();
		p[0] = 1;
		CHECK_EQ(written(p, bytes, true), 1);
		CHECK_EQ(written(p, bytes, false), 0);
		CHECK(page_table_kib() - before < 64);
		close(fd);
	}
	munmap(p, bytes);
}

/* Traps of ADDRESS_SPACE that concern scanning have their number; T1 is in
 * test_page_scan.c, whose kinds of page are the rest of the table. */
static const struct {
	const char *name;
	void (*run)(void);
	bool child; /* it changes the process */
} tests[] = {
	{ "T3 a guard page reads as swapped", test_guard_is_not_swapped, false },
	{ "T4 mincore of a file is about the page cache", test_mincore_of_a_file, false },
	{ "T5 an inherited descriptor shows the parent", inherited, true },
	{ "T6 the zero page is present", test_zero_page, false },
	{ "T7 what is not protected reads as written", test_not_registered, false },
	{ "T9 protecting what is not there fills it with markers", test_markers, false },
	{ "T16 nothing can be opened once undumpable", undumpable, true },
	{ "T21 a scan holds up mmap: slices", test_slices, false },
	{ "16 TiB of which little is used", test_sparse, false },
	{ "what was written in much memory", test_written_in_much, false },
	{ "huge pages", test_huge, false },
	{ "swapped pages", test_swapped, false },
};

int main(void)
{
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY);
	REQUIRE(pagemap_fd >= 0);
	page_shadow_init(&shadow);
	for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
		unsigned long before = check_failed;

		if (tests[i].child)
			in_child(tests[i].run);
		else
			tests[i].run();
		printf("%s: %s\n", check_failed == before ? "ok" : "FAILED", tests[i].name);
		fflush(stdout);
	}
	page_shadow_done(&shadow);
	return check_done();
}
