/*
 * test_cow_bits.c - pages told by a bit of pagemap: of this process, and of a
 * file that looks like a pagemap, for the bits that this kernel may not have.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "mirror/cow_bits.h"
#include "mirror/cow_rung.h"
#include "mirror/cow_scan.h"

#define PAGE 4096ul
#define PAGES 96
#define PRESENT (1ull << 63)
#define SWAPPED (1ull << 62)
#define IN_FILE (1ull << 61)
#define GUARD (1ull << 58)
#define SOFT (1ull << 55)

static char told[PAGES]; /* '-', or 'w' written, 'c' clean, 's' in swap */
static uint64_t base;    /* page number of told[0] */

static void one_run(void *arg, uint64_t first, uint64_t n, unsigned categories)
{
	(void)arg;
	for (uint64_t i = first - base; i < first - base + n; i++)
		told[i] = categories & IS_WRITTEN ? 'w' : categories & IS_SWAPPED ? 's' : 'c';
}

static struct cow_bits ask(int fd, enum cow_bit bit, uint64_t first, size_t n)
{
	static uint64_t entry[16]; /* more than one piece */
	static struct page_region region[3]; /* more than one call */
	struct cow_bits b = { .pagemap_fd = fd, .bit = bit, .entry = entry, .n_entries = 16, .region = region,
		.n_regions = 3, .run = one_run };

	memset(told, '-', sizeof(told));
	base = first;
	CHECK_EQ(cow_bits_range(&b, first * PAGE, (first + n) * PAGE), 0);
	return b;
}

static size_t count(char what)
{
	size_t n = 0;

	for (size_t i = 0; i < PAGES; i++)
		n += told[i] == what;
	return n;
}

/* A child keeps all pages; of those that we write then, we have our own. */
static void test_alone(void)
{
	volatile uint8_t *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY);

	REQUIRE(p != MAP_FAILED && fd >= 0);
	madvise((void *)(uintptr_t)p, PAGES * PAGE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < PAGES; i++)
		if (i % 4)
			p[i * PAGE] = 1;
		else if (i % 8)
			told[0] = (char)p[i * PAGE]; /* the zero page */
	struct cow_bits b = ask(fd, COW_BIT_ALONE, (uintptr_t)p / PAGE, PAGES);
	CHECK_EQ(count('w'), PAGES * 3 / 4);
	CHECK_EQ(count('c'), b.no_zero ? PAGES / 8 : 0);
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	ask(fd, COW_BIT_ALONE, (uintptr_t)p / PAGE, PAGES);
	CHECK_EQ(count('w'), 0);
	for (size_t i = 1; i < PAGES; i += 4)
		p[i * PAGE] = 2;
	ask(fd, COW_BIT_ALONE, (uintptr_t)p / PAGE, PAGES);
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(told[i] == 'w', i % 4 == 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fd);
}

static void test_made_up(void)
{
	static const uint64_t entry[] = { 0, PRESENT, PRESENT | SOFT, PRESENT | IN_FILE, PRESENT | IN_FILE | SOFT,
		SWAPPED, SWAPPED | SOFT, SWAPPED | GUARD, PRESENT | SOFT | 77, PRESENT | 1, PRESENT | 2 };
	char path[] = "/tmp/mmscope-bits-XXXXXX";
	int fd = mkstemp(path);

	REQUIRE(fd >= 0 && unlink(path) == 0);
	REQUIRE(pwrite(fd, entry, sizeof(entry), 1000 * 8) == (ssize_t)sizeof(entry));
	struct cow_bits b = ask(fd, COW_BIT_SOFT_DIRTY, 1000, sizeof(entry) / 8);
	CHECK(memcmp(told, "-cw--sw-wcc", sizeof(entry) / 8) == 0);
	CHECK(b.no_zero); /* a file answers no such question */
	CHECK_EQ(b.n_swapped, 2);
	b.n_swapped = 0;
	CHECK_EQ(cow_bits_range(&b, 2000 * PAGE, 2001 * PAGE), -ESRCH); /* nothing there: it is gone */
	close(fd);
}

/* The kernel says of an area whether its pages count as written ("sd"). */
static bool keeps_soft_dirty(uintptr_t start)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	unsigned long from = 0, to = 0;
	bool some = false;

	REQUIRE(f);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "%lx-%lx ", &from, &to);
		if (strncmp(line, "VmFlags:", 8) == 0 && start >= from && start < to)
			some = strstr(line, " sd") != NULL;
	}
	fclose(f);
	return some;
}

static void test_soft_dirty(void)
{
	unsigned char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	bool keeps = keeps_soft_dirty((uintptr_t)p);
	CHECK_EQ(rung_try_soft_dirty(p), keeps ? 0 : -EOPNOTSUPP);
}

/* 1 TiB of which little is there is passed over; page by page it would be 1 s, and
 * is left (/dev/null knows no PAGEMAP_SCAN). */
static void test_present(void)
{
	static struct page_region region[3];
	const size_t large = 1ul << 40, small = 8ul << 20;
	volatile uint8_t *p = mmap(NULL, large, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t at = (uintptr_t)p;
	struct cow_scan by_kernel = { .pagemap_fd = open("/proc/self/pagemap", O_RDONLY), .region = region, .n_regions = 3 };
	struct cow_scan by_page = by_kernel;
	uint64_t n = 0;

	REQUIRE(p != MAP_FAILED && by_kernel.pagemap_fd >= 0);
	by_page.pagemap_fd = open("/dev/null", O_RDONLY);
	madvise((void *)at, small, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < 40; i++)
		p[i * 7 * PAGE] = 1;
	p[large - PAGE] = 1;
	told[0] = (char)p[PAGE]; /* the zero page, which mincore takes for another */
	int r = cow_scan_present(&by_kernel, at, at + large, &n);
	if (r == -EOVERFLOW) {
		printf("skipped: PAGEMAP_SCAN (before Linux 6.7)\n");
	} else {
		CHECK_EQ(r, 0);
		CHECK_EQ(n, 41);
	}
	n = 0;
	CHECK_EQ(cow_scan_present(&by_page, at, at + large, &n), -EOVERFLOW);
	CHECK_EQ(n, 0);
	by_page.n_mincore = 0;
	CHECK_EQ(cow_scan_present(&by_page, at, at + small, &n), 0);
	CHECK_EQ(n, 41);
	CHECK_EQ(cow_scan_present(&by_page, at, at + (4ul << 30), &n), -EOVERFLOW);
	munmap((void *)at, large);
	close(by_kernel.pagemap_fd);
	close(by_page.pagemap_fd);
}

int main(void)
{
	test_alone();
	test_present();
	test_made_up();
	test_soft_dirty();
	return check_done();
}
