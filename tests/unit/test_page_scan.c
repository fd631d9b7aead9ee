/*
 * test_page_scan.c - what the kernel says of each kind of page, by each of the
 * three ways, and the traps of the interfaces.
 *
 * Truth is what this program did to the pages itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "mirror/page_scan.h"

#define PAGE 4096ul
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static int pagemap_fd;
static bool has_ioctl; /* PAGEMAP_SCAN: since Linux 6.7 */

static uint8_t *map(size_t bytes, int prot, int flags, int fd)
{
	void *p = mmap(NULL, bytes, prot, flags, fd, 0);

	REQUIRE(p != MAP_FAILED);
	return p;
}

static uint8_t *map_anonymous(size_t bytes)
{
	uint8_t *p = map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

static bool try_ioctl(void)
{
	struct page_scan scan = { .pagemap_fd = pagemap_fd, .self = true };
	struct page_shadow s;
	uint8_t *p = map_anonymous(PAGE);

	page_shadow_init(&s);
	REQUIRE(page_scan_range(&scan, &s, (uintptr_t)p, (uintptr_t)p + PAGE, PAGE_WANT_STATES, true) == 0);
	page_shadow_done(&s);
	munmap(p, PAGE);
	return !scan.no_ioctl;
}

static struct page_scan asking(bool no_ioctl)
{
	return (struct page_scan){ .pagemap_fd = pagemap_fd, .self = true, .no_ioctl = no_ioctl };
}

static uint64_t count(const struct page_shadow *s, enum page_plane_kind plane, const void *p, size_t bytes)
{
	return page_plane_count(&s->plane[plane], (uintptr_t)p >> 12, bytes >> 12);
}

/* What one page looks like by the states question. */
static void expect(const char *what, const uint8_t *p, bool present, bool zero, bool swapped, bool file)
{
	for (int no_ioctl = 0; no_ioctl < 2; no_ioctl++) {
		struct page_scan scan = asking(no_ioctl);
		struct page_shadow s;
		uint64_t page = (uintptr_t)p >> 12;

		page_shadow_init(&s);
		CHECK_EQ(page_scan_range(&scan, &s, (uintptr_t)p, (uintptr_t)p + PAGE,
				PAGE_WANT_STATES | PAGE_WANT_FILE, false), 0);
		if (page_plane_test(&s.plane[PAGE_PRESENT], page) != present ||
			page_plane_test(&s.plane[PAGE_SWAPPED], page) != swapped ||
			page_plane_test(&s.plane[PAGE_FILE], page) != file ||
			(!no_ioctl && has_ioctl && page_plane_test(&s.plane[PAGE_ZERO], page) != zero)) {
			fprintf(stderr, "%s (%s)\n", what, no_ioctl ? "pread" : "PAGEMAP_SCAN");
			CHECK(false);
		}
		page_shadow_done(&s);
	}
}

static void test_kinds(void)
{
	uint8_t *p = map_anonymous(16 * PAGE);

	expect("untouched", p, false, false, false, false);
	p[PAGE] = 1;
	expect("written", p + PAGE, true, false, false, false);
	(void)*(volatile uint8_t *)(p + 2 * PAGE);
	expect("read: the zero page", p + 2 * PAGE, true, true, false, false);
	p[3 * PAGE] = 1;
	madvise(p + 3 * PAGE, PAGE, MADV_DONTNEED);
	expect("dropped", p + 3 * PAGE, false, false, false, false);
	p[4 * PAGE] = 1;
	madvise(p + 4 * PAGE, PAGE, MADV_FREE);
	expect("lazily freed", p + 4 * PAGE, true, false, false, false);
	p[5 * PAGE] = 1;
	mprotect(p + 5 * PAGE, PAGE, PROT_NONE);
	expect("PROT_NONE after a write", p + 5 * PAGE, true, false, false, false);
	if (madvise(p + 7 * PAGE, PAGE, MADV_GUARD_INSTALL) == 0)
		expect("guard page", p + 7 * PAGE, false, false, false, false);
	else
		fprintf(stderr, "skipped: guard pages need Linux 6.13\n");

	uint8_t *shared = map(2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	expect("shared, untouched", shared, false, false, false, false);
	shared[0] = 1;
	expect("shared, written", shared, true, false, false, true);

	int fd = open("/proc/self/exe", O_RDONLY);
	uint8_t *file = map(2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	(void)*(volatile uint8_t *)file;
	expect("private file, read", file, true, false, false, true);
	file[0]++;
	expect("private file, written", file, true, false, false, false);
	close(fd);
}

/* Every 16th page of 1 GiB: more regions than the kernel's buffer of 512, so
 * its walk_end goes stale; a loop that trusts it counts up to 512 too many. */
static void test_stale_walk_end(void)
{
	size_t bytes = 1ul << 30;
	uint8_t *p = map_anonymous(bytes);
	struct page_scan scan = asking(false);
	struct page_shadow s;

	page_shadow_init(&s);
	for (size_t at = 0; at < bytes; at += 16 * PAGE)
		p[at] = 1;
	CHECK_EQ(page_scan_range(&scan, &s, (uintptr_t)p, (uintptr_t)p + bytes, PAGE_WANT_STATES, true), 0);
	CHECK_EQ(count(&s, PAGE_PRESENT, p, bytes), 16384);
	if (!scan.no_ioctl)
		CHECK_EQ(scan.n_slices, 1); /* no more pages than 64 MiB have */
	page_shadow_done(&s);
	munmap(p, bytes);
}

static uint64_t random_state = 7;

static unsigned rnd(unsigned n)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(random_state >> 33) % n;
}

/* Random touches and drops; at rest every way says what was done. */
static void test_random(unsigned n_operations)
{
	enum { N = 16384 };
	static uint8_t truth[N], ever[N];
	uint8_t *p = map_anonymous(N * PAGE);
	struct page_shadow s;

	page_shadow_init(&s);
	for (unsigned i = 0; i < n_operations; i++) {
		unsigned first = rnd(N), n = 1 + rnd(20);

		n = first + n > N ? N - first : n;
		if (rnd(3)) {
			for (unsigned j = 0; j < n; j++)
				p[(first + j) * PAGE] = truth[first + j] = 1;
		} else {
			madvise(p + first * PAGE, n * PAGE, MADV_DONTNEED);
			memset(truth + first, 0, n);
		}
		if (i % (n_operations / 20) != 0)
			continue;
		struct page_scan scan = asking(rnd(2));
		unsigned want = rnd(2) ? PAGE_WANT_PRESENT : PAGE_WANT_STATES;
		CHECK_EQ(page_scan_range(&scan, &s, (uintptr_t)p, (uintptr_t)p + N * PAGE, want, true), 0);
		for (unsigned j = 0; j < N; j++) {
			ever[j] |= truth[j];
			REQUIRE(page_plane_test(&s.plane[PAGE_PRESENT], ((uintptr_t)p >> 12) + j) == truth[j]);
			REQUIRE(page_plane_test(&s.plane[PAGE_TOUCHED], ((uintptr_t)p >> 12) + j) == ever[j]);
		}
	}
	page_shadow_done(&s);
}

/* Dense memory is asked by mincore, sparse by PAGEMAP_SCAN, files never by mincore. */
static void test_choice(void)
{
	enum { N = 1024 };
	uint8_t *p = map_anonymous(N * PAGE);
	uintptr_t start = (uintptr_t)p, end = start + N * PAGE;
	struct page_scan scan = asking(false);
	struct page_shadow s;
	enum page_scan_method best = has_ioctl ? PAGE_SCAN_IOCTL : PAGE_SCAN_PREAD;

	scan.no_ioctl = !has_ioctl;
	page_shadow_init(&s);
	memset(p, 1, N * PAGE);
	CHECK_EQ(page_scan_method(&scan, &s, start, end, PAGE_WANT_PRESENT, true), best);
	CHECK_EQ(page_scan_range(&scan, &s, start, end, PAGE_WANT_PRESENT, true), 0);
	CHECK_EQ(page_scan_method(&scan, &s, start, end, PAGE_WANT_PRESENT, true), PAGE_SCAN_MINCORE);
	CHECK_EQ(page_scan_method(&scan, &s, start, end, PAGE_WANT_PRESENT, false), best);
	CHECK_EQ(page_scan_range(&scan, &s, start, end, PAGE_WANT_PRESENT, true), 0);
	CHECK_EQ(count(&s, PAGE_PRESENT, p, N * PAGE), N);
	CHECK_EQ(scan.n_pages[PAGE_SCAN_MINCORE], N);
	scan.pagemap_fd = -1;
	CHECK_EQ(page_scan_range(&scan, &s, start, end, PAGE_WANT_PRESENT, false), -EACCES);
	munmap(p, PAGE);
	CHECK_EQ(page_scan_range(&scan, &s, start, end, PAGE_WANT_PRESENT, true), -ENOMEM);
	page_shadow_done(&s);
}

int main(int argc, char **argv)
{
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY);
	REQUIRE(pagemap_fd >= 0);
	has_ioctl = try_ioctl();
	test_kinds();
	test_stale_walk_end();
	test_choice();
	test_random(argc > 1 ? (unsigned)atoi(argv[1]) : 100000);
	return check_done();
}
