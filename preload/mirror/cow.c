/*
 * cow.c - see cow.h.
 *
 *	fork --- register private writable areas --- protect their pages ---
 *	     ... the program writes; the kernel takes the mark off ...
 *	     --- tell: protected areas, pages without the mark are written
 *
 * Protecting takes 40 to 60 ns a page.  Where it would take more than 5 ms,
 * only the pieces of 2 MiB whose number, hashed, lies below a bound are
 * protected: always the same ones, so that a later fork knows them too.
 */
#include "mirror/cow.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/aside.h"
#include "base/own.h"
#include "base/sys.h"
#include "mirror/cow_bits.h"
#include "mirror/cow_rung.h"
#include "mirror/cow_scan.h"
#include "mirror/mirror.h"
#include "mirror/origin.h"
#include "mirror/page_runs.h"
#include "mirror/page_scan.h"
#include "mirror/proc_maps.h"

#define BUDGET_NS 5000000u
#define NS_PAGE_FIRST 50u  /* what a page costs, until it was measured */
#define NS_PAGE_MAX 72u
#define CHUNK (2ul << 20)
#define SHARE_ALL MMS_COW_SHARE_ALL
/* Who made an area is looked for in so many areas of the mirror (40 ns each), and in
 * so many more of all areas of a fork: the kernel joins any number of small ones. */
#define STEPS_AREA 16u
#define STEPS_FORK 16384u

struct scratch {
	char text[16384];
	uint8_t runs[16384]; /* whole pages: the soft-dirty bits are tried on one */
	struct page_region region[512];
	uint64_t entry[4096];
};

static struct {
	atomic_flag busy;
	int uffd;            /* 0: none; ours is never that */
	int pid;             /* whose it is */
	bool soft_dirty;     /* the bits were cleared when the newest fork was watched */
	struct cow_rungs rungs;
	bool rungs_known;
	uint32_t ns_page;    /* measured; 0: not yet */
	struct scratch *scratch;
} cow = { .busy = ATOMIC_FLAG_INIT };

static uint64_t faults_of(long who)
{
	struct rusage u = { .ru_minflt = 0 };

	mms_syscall3(SYS_getrusage, who, (long)&u, 0);
	return (uint64_t)u.ru_minflt;
}

uint64_t cow_faults(void) { return faults_of(RUSAGE_SELF); }
uint64_t cow_faults_of_thread(void) { return faults_of(RUSAGE_THREAD); }

/* The tenth field of /proc/PID/stat; the second may hold anything. */
uint64_t cow_faults_of(int pid)
{
	char path[40] = "/proc/", text[512];
	uint64_t value = 0;
	long at = 0;

	mms_append_number(path, sizeof(path), (uint64_t)pid);
	mms_append(path, sizeof(path), "/stat");
	int fd = mms_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	long n = mms_read(fd, text, sizeof(text));
	mms_close(fd);
	for (long i = 0; i < n; i++)
		at = text[i] == ')' ? i : at;
	for (int field = 2; field < 10 && at < n; at++)
		field += text[at] == ' ';
	for (; at > 0 && at < n && text[at] >= '0' && text[at] <= '9'; at++)
		value = value * 10 + (uint64_t)(text[at] - '0');
	return value;
}

static uint64_t cpu_ns(void)
{
	struct timespec t = { 0, 0 };

	mms_clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* resident - shared of /proc/self/statm: anonymous pages. */
static void read_private_pages(void *ret)
{
	char text[128];
	uint64_t value[3] = { 0, 0, 0 };
	int fd = mms_openat(AT_FDCWD, "/proc/self/statm", O_RDONLY | O_CLOEXEC, 0), field = 0;

	if (fd < 0)
		return;
	long n = mms_read(fd, text, sizeof(text));
	mms_close(fd);
	for (long i = 0; i < n && field < 3; i++) {
		if (text[i] >= '0' && text[i] <= '9')
			value[field] = value[field] * 10 + (uint64_t)(text[i] - '0');
		else
			field++;
	}
	*(uint64_t *)ret = value[1] > value[2] ? value[1] - value[2] : 0;
}

uint64_t cow_private_pages(void)
{
	uint64_t n = 0;

	aside(read_private_pages, &n);
	return n;
}

/* VmPTE of /proc/self/status. */
static uint64_t page_table_bytes(char *text, size_t room)
{
	static const char word[] = "VmPTE:";
	uint64_t value = 0;
	int fd = mms_openat(AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	long n = mms_read(fd, text, room), at = 0;
	mms_close(fd);
	while (at + (long)sizeof(word) < n && memcmp(text + at, word, sizeof(word) - 1) != 0)
		at++;
	for (at += (long)sizeof(word) - 1; at < n && text[at] != '\n'; at++)
		if (text[at] >= '0' && text[at] <= '9')
			value = value * 10 + (uint64_t)(text[at] - '0');
	return value << 10;
}

/* ---- the descriptor ---- */

static bool is_ours(void)
{
	static const char word[] = "anon_inode:[userfaultfd]";
	char path[48] = "/proc/self/fd/", link[32];

	if (!cow.uffd || cow.pid != mms_getpid())
		return false;
	mms_append_number(path, sizeof(path), (uint64_t)cow.uffd);
	long n = mms_readlinkat(AT_FDCWD, path, link, sizeof(link));
	return n == (long)sizeof(word) - 1 && memcmp(link, word, sizeof(word) - 1) == 0;
}

static int open_uffd(void)
{
	int fd = rung_open_uffd();

	if (fd < 0)
		return fd;
	cow.uffd = fd;
	cow.pid = mms_getpid();
	return 0;
}

/* ---- one walk over the areas ---- */

enum way {
	WAY_PROTECT, /* userfaultfd */
	WAY_AREAS,   /* no page is looked at */
	WAY_BITS,    /* a bit of pagemap */
};

struct walk {
	const struct cow_sink *sink;
	struct mms_cow_arm *arm; /* NULL: only telling */
	enum way way;
	enum cow_bit bit; /* WAY_BITS */
	int pid; /* whose areas; 0: our own */
	struct cow_scan scan;
	struct cow_bits bits;
	struct cow_bits alone; /* of pages that are not protected: those that nobody shares */
	struct page_runs runs;
	struct origin_walk origin;
	struct mms_cow_area area;
	uint32_t share;
	uint64_t not_asked; /* private pages in memory that are ours, or cannot be written */
	bool not_counted;   /* of these it is not known how many there are */
	size_t steps;       /* areas of the mirror that may still be passed over */
	bool begun;
	int error;
};

static void add_run(struct walk *w, uint64_t first, uint64_t n, unsigned state)
{
	if (!w->begun)
		page_runs_begin(&w->runs, first);
	w->begun = true;
	page_runs_add(&w->runs, first, n, (enum mms_page_state)state);
}

/* What mremap moved here is not protected either, and not new while it is shared. */
static void one_fresh(void *arg, uint64_t first, uint64_t n, unsigned categories)
{
	if (categories & (IS_WRITTEN | IS_SWAPPED))
		add_run(arg, first, n, MMS_COW_FRESH);
}

static void one_run(void *arg, uint64_t first, uint64_t n, unsigned categories)
{
	struct walk *w = arg;
	bool huge = categories & IS_HUGE, written = categories & IS_WRITTEN;

	if (w->scan.fresh && !(categories & IS_WPALLOWED)) {
		int r = cow_bits_range(&w->alone, first << 12, (first + n) << 12);
		w->error = r < 0 ? r : w->error;
		return;
	}
	add_run(w, first, n, huge ? (written ? MMS_COW_WRITTEN_HUGE : MMS_COW_CLEAN_HUGE)
				  : (written ? MMS_COW_WRITTEN : MMS_COW_CLEAN));
	w->area.armed += n;
	if (w->arm && categories & IS_PRESENT)
		w->arm->resident += n;
	w->area.huge += huge ? (uint32_t)n : 0;
}

static int scan_range(struct walk *w, uintptr_t start, uintptr_t end)
{
	return w->way == WAY_BITS ? cow_bits_range(&w->bits, start, end) : cow_scan_range(&w->scan, start, end);
}

/* A part of an area that is not ours. */
static void scan_part(struct walk *w, uintptr_t start, uintptr_t end)
{
	int r = 0;

	if (w->way == WAY_AREAS)
		return;
	if (w->arm)
		w->arm->chunks += (uint32_t)((end - 1) / CHUNK - start / CHUNK + 1);
	if (w->share >= SHARE_ALL)
		r = scan_range(w, start, end);
	for (uintptr_t at = start, to; w->share < SHARE_ALL && at < end && r == 0; at = to) {
		uintptr_t chunk = at / CHUNK;

		to = (chunk + 1) * CHUNK < end ? (chunk + 1) * CHUNK : end;
		if (!mms_cow_is_chosen(chunk, w->share))
			continue;
		w->arm->chunks_armed++;
		r = scan_range(w, at, to);
	}
	if (r < 0)
		w->error = r;
}

static int register_area(const struct walk *w)
{
	if (w->way != WAY_PROTECT)
		return 0;
	struct uffd_register r = { .start = w->area.start, .length = w->area.end - w->area.start,
		.mode = UFFD_MODE_WP };

	return (int)mms_ioctl(cow.uffd, UFFD_REGISTER_IOCTL, &r);
}

/* What is asked page by page takes 2 ms a GiB, also where nothing is there. */
static int begin_area(const struct walk *w)
{
	if (w->way == WAY_BITS && w->area.end - w->area.start > PAGE_SCAN_PREAD_MAX)
		return -EOVERFLOW;
	return w->arm ? register_area(w) : 0;
}

static void one_part(struct walk *w, const struct proc_map *m)
{
	struct vma v;

	w->area.armed = w->area.huge = 0;
	w->area.error = begin_area(w);
	w->scan.of_file = m->inode != 0;
	if (w->area.error == 0)
		scan_part(w, w->area.start, w->area.end);
	if (!w->arm)
		return;
	w->arm->pages += w->area.armed;
	w->arm->refused += w->area.error != 0;
	bool looked = w->way != WAY_AREAS;
	if (!w->sink->area || (looked && w->area.armed == 0 && w->area.error == 0))
		return;
	size_t steps = w->steps + STEPS_AREA;
	if (mirror_find_most(w->area.start, w->area.end, &steps, &v)) {
		w->area.stack = v.stack;
		w->area.origin = v.origin;
	}
	w->steps = steps < w->steps ? steps : w->steps;
	w->sink->area(w->sink->arg, &w->area, m->name);
}

/* A share of the pages is protected: how many are there in all?  The process
 * says it of all its private memory, and what is not asked about goes off. */
static void count_not_asked(struct walk *w, const struct proc_map *m, uintptr_t start, uintptr_t end)
{
	if (!w->arm || w->share >= SHARE_ALL)
		return;
	w->scan.of_file = m->inode != 0;
	if (cow_scan_present(&w->scan, start, end, &w->not_asked) < 0)
		w->not_counted = true;
}

static bool one_line(void *arg, const struct proc_map *m)
{
	struct walk *w = arg;
	uintptr_t own_start = 0, own_end = 0;

	w->area = (struct mms_cow_area){ .prot = m->prot, .origin = (uint8_t)origin_next(&w->origin, m),
		.name_length = (uint16_t)(m->name_length < 1024 ? m->name_length : 1024) };
	if (w->arm && w->sink->area)
		w->arm->areas++;
	if (m->shared || m->start >> 47)
		return true;
	if (!(m->prot & 2 /* PROT_WRITE */)) {
		if (m->prot && !m->inode && m->name_length == 0)
			count_not_asked(w, m, m->start, m->end);
		return true;
	}
	for (uintptr_t at = m->start; at < m->end && w->error == 0; at = own_end) {
		bool found = own_next(at, &own_start, &own_end) && own_start < m->end;

		if (!found)
			own_start = own_end = m->end;
		w->area.start = at;
		w->area.end = own_start;
		if (at < own_start)
			one_part(w, m);
		if (own_start < own_end && own_end > at)
			count_not_asked(w, m, own_start, own_end < m->end ? own_end : m->end);
		if (own_end <= at)
			own_end = m->end;
	}
	return w->error == 0;
}

static int open_proc(int pid, const char *name)
{
	char path[40] = "/proc/";

	if (pid)
		mms_append_number(path, sizeof(path), (uint64_t)pid);
	else
		mms_append(path, sizeof(path), "self");
	mms_append(path, sizeof(path), name);
	return mms_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

static int walk_areas(struct walk *w)
{
	struct scratch *s = cow.scratch;
	int maps = open_proc(w->pid, "/maps");

	if (maps < 0)
		return maps;
	w->scan = (struct cow_scan){ .protect = w->arm != NULL, .fresh = !w->arm && w->way == WAY_PROTECT, .region = s->region,
		.n_regions = sizeof(s->region) / sizeof(s->region[0]), .run = one_run, .arg = w };
	w->steps = STEPS_FORK;
	w->scan.pagemap_fd = open_proc(w->pid, "/pagemap");
	w->bits = (struct cow_bits){ .pagemap_fd = w->scan.pagemap_fd, .bit = w->bit, .entry = s->entry,
		.n_entries = sizeof(s->entry) / sizeof(s->entry[0]), .region = s->region,
		.n_regions = sizeof(s->region) / sizeof(s->region[0]), .run = one_run, .arg = w };
	w->alone = (struct cow_bits){ .pagemap_fd = w->scan.pagemap_fd, .bit = COW_BIT_ALONE, .no_zero = true, .entry = s->entry,
		.n_entries = sizeof(s->entry) / sizeof(s->entry[0]), .run = one_fresh, .arg = w };
	int r = w->scan.pagemap_fd;
	if (r >= 0) {
		w->runs.buffer = s->runs;
		w->runs.room = sizeof(s->runs);
		w->runs.full = w->sink->pages;
		w->runs.arg = w->sink->arg;
		w->origin.exe = getauxval(AT_PHDR);
		w->origin.loader = getauxval(AT_BASE);
		/* Who tells no areas, and counts nothing beside them, wants those that can be written. */
		r = (w->sink->area || w->share < SHARE_ALL ? proc_maps_read : proc_maps_writable)(maps, s->text,
			sizeof(s->text), one_line, w);
		mms_close(w->scan.pagemap_fd);
		if (w->begun) {
			page_runs_end(&w->runs);
			w->sink->pages(w->sink->arg, w->runs.first, s->runs, w->runs.used);
		}
	}
	mms_close(maps);
	return r < 0 ? r : w->error;
}

/* ---- the calls ---- */

#define TRIES 100 /* with 0.1 ms between: a walk takes 5 ms at most */

static bool enter(void)
{
	const struct timespec little = { 0, 100000 };

	for (int i = 0; atomic_flag_test_and_set_explicit(&cow.busy, memory_order_acquire); i++) {
		if (i == TRIES)
			return false;
		mms_syscall3(SYS_nanosleep, (long)&little, 0, 0);
	}
	if (!cow.scratch) {
		long at = own_map(sizeof(struct scratch), 3 /* read, write */, 0);
		if (!mms_is_error(at))
			cow.scratch = (struct scratch *)at;
	}
	if (cow.scratch)
		return true;
	atomic_flag_clear_explicit(&cow.busy, memory_order_release);
	return false;
}

static void leave(void)
{
	atomic_flag_clear_explicit(&cow.busy, memory_order_release);
}

static int told(const struct cow_sink *sink, int r)
{
	if (sink->end)
		sink->end(sink->arg, r);
	leave();
	return r;
}

uint32_t cow_share(uint64_t n_pages)
{
	uint64_t ns = n_pages * (cow.ns_page ? cow.ns_page : NS_PAGE_FIRST);

	return ns <= BUDGET_NS ? SHARE_ALL : (uint32_t)((uint64_t)BUDGET_NS * SHARE_ALL / ns) | 1u;
}

/* What a page costs is known from walks that had enough of them. */
static void learn_cost(uint64_t n_pages, uint64_t ns)
{
	if (n_pages < 4096)
		return;
	uint64_t one = ns / n_pages;
	one = one < 20 ? 20 : one > NS_PAGE_MAX ? NS_PAGE_MAX : one;
	cow.ns_page = (uint32_t)one;
}

void cow_rungs(struct cow_rungs *ret)
{
	if (!cow.rungs_known && enter()) {
		int fd = rung_open_uffd();
		if (fd >= 0)
			mms_close(fd);
		cow.rungs.no_uffd = fd < 0 ? fd : 0;
		cow.rungs.no_soft_dirty = fd < 0 ? rung_try_soft_dirty(cow.scratch->runs) : 0;
		cow.rungs_known = true;
		leave();
	}
	*ret = cow.rungs;
}

/* Pages of this process, and what was found besides. */
static int arm(struct walk *w, bool clear)
{
	struct mms_cow_arm *ret = w->arm;
	uint64_t begin = cpu_ns();

	ret->share = w->share;
	ret->page_tables = ret->side == MMS_COW_CHILD ? page_table_bytes(cow.scratch->text, sizeof(cow.scratch->text)) : 0;
	ret->anonymous = w->share < SHARE_ALL ? cow_private_pages() : 0;
	int r = w->way != WAY_PROTECT || is_ours() ? 0 : open_uffd();
	if (r == 0) {
		r = walk_areas(w);
		if (r == 0 && clear)
			r = rung_clear_soft_dirty();
		ret->anonymous -= !w->not_counted && ret->anonymous > w->not_asked ? w->not_asked : ret->anonymous;
		ret->cost_ns = cpu_ns() - begin;
		learn_cost(ret->pages, ret->cost_ns);
		if (w->share >= SHARE_ALL)
			ret->chunks_armed = ret->chunks;
	}
	return r;
}

int cow_protect(const struct cow_sink *sink, uint32_t share, struct mms_cow_arm *ret)
{
	struct walk w = { .sink = sink, .arm = ret, .share = share };

	if (!enter())
		return -EBUSY;
	return told(sink, arm(&w, false));
}

int cow_protect_soft_dirty(const struct cow_sink *sink, uint32_t share, struct mms_cow_arm *ret)
{
	struct walk w = { .sink = sink, .arm = ret, .share = share, .way = WAY_BITS, .bit = COW_BIT_SOFT_DIRTY };

	if (!enter())
		return -EBUSY;
	int r = arm(&w, true);
	cow.soft_dirty = r == 0;
	return told(sink, r);
}

int cow_tell_there(const struct cow_sink *sink, uint32_t share, struct mms_cow_arm *ret)
{
	struct walk w = { .sink = sink, .arm = ret, .share = share, .way = WAY_BITS };

	if (!enter())
		return -EBUSY;
	return told(sink, arm(&w, false));
}

int cow_tell(const struct cow_sink *sink)
{
	struct walk w = { .sink = sink, .share = SHARE_ALL, .way = cow.soft_dirty ? WAY_BITS : WAY_PROTECT,
		.bit = COW_BIT_SOFT_DIRTY };
	int r = -EBADF;

	if (!cow_is_watching())
		return r; /* most children: no mapping for nothing */
	if (!enter())
		return -EBUSY;
	if (!cow.soft_dirty && !is_ours()) {
		leave();
		return r;
	}
	return told(sink, walk_areas(&w));
}

static int walk_in(struct walk *w)
{
	if (!enter())
		return -EBUSY;
	return told(w->sink, walk_areas(w));
}

int cow_tell_areas(const struct cow_sink *sink, int witness, struct mms_cow_arm *ret)
{
	struct walk w = { .sink = sink, .arm = ret, .way = WAY_AREAS, .pid = witness };

	return walk_in(&w);
}

int cow_tell_alone(const struct cow_sink *sink)
{
	struct walk w = { .sink = sink, .share = SHARE_ALL, .way = WAY_BITS, .bit = COW_BIT_ALONE };

	return walk_in(&w);
}

bool cow_is_watching(void)
{
	return cow.uffd != 0 || cow.soft_dirty;
}

void cow_end(void)
{
	if (!enter())
		return;
	if (is_ours())
		mms_close(cow.uffd);
	cow.uffd = 0;
	cow.soft_dirty = false;
	leave();
}

void cow_forked(bool may_ask)
{
	if (cow.uffd && may_ask) {
		cow.pid = mms_getpid();
		if (is_ours())
			mms_close(cow.uffd);
	}
	cow.uffd = 0;
	cow.soft_dirty = false;
	leave();
}
