/*
 * touched.c - see touched.h.  Needs no tree: asks mincore where that is cheap and
 * enough, else pagemap.  May not allocate; called by wrap/space.c.
 */
#include "mirror/touched.h"

#include <sys/sysinfo.h>

#include "base/aside.h"
#include "base/sys.h"
#include "mirror/page_scan.h"

#define MINCORE_MAX (256ul << 20) /* above this, sparse memory is cheaper to ask by pagemap */

static void add_runs(void *arg, const struct page_told *run, size_t n)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < n; i++)
		pages += run[i].n;
	*(uint64_t *)arg += pages;
}

struct touched {
	uintptr_t start, end;
	uint64_t n;
	int result;
};

static void read_touched(void *arg)
{
	struct touched *t = arg;
	struct page_scan scan = { .self = true, .runs = add_runs, .runs_arg = &t->n };

	scan.pagemap_fd = mms_openat(AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
	if (scan.pagemap_fd < 0) {
		t->result = scan.pagemap_fd;
		return;
	}
	t->result = page_scan_range(&scan, NULL, t->start, t->end, PAGE_WANT_STATES, true);
	mms_close(scan.pagemap_fd);
}

static int touched_by_pagemap(uintptr_t start, uintptr_t end, uint64_t *ret)
{
	struct touched t = { .start = start, .end = end };

	aside(read_touched, &t);
	*ret = t.n;
	return t.result;
}

/* mincore does not tell a page in swap from one that was never used. */
static bool swap_is_used(void)
{
	struct sysinfo i = { .totalswap = 0 };

	return mms_syscall3(SYS_sysinfo, (long)&i, 0, 0) < 0 || i.freeswap != i.totalswap;
}

int touched_pages(uintptr_t start, size_t length, uint64_t *ret_pages)
{
	uintptr_t end = (start + length + 4095) & ~(uintptr_t)4095;
	uint64_t n = 0;

	start &= ~(uintptr_t)4095;
	struct page_scan scan = { .pagemap_fd = -1, .self = true, .runs = add_runs, .runs_arg = &n };
	int r = end - start > MINCORE_MAX || swap_is_used()
		? touched_by_pagemap(start, end, &n)
		: page_scan_range(&scan, NULL, start, end, PAGE_WANT_PRESENT, true);
	if (r == 0)
		*ret_pages = n;
	return r;
}
