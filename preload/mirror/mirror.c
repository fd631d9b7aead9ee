/*
 * mirror.c - see mirror.h for the law of the lock.
 *
 * A look is two passes: the lines of /proc/self/maps bring the tree into
 * line, then the tree is told, with the states of its pages.
 *
 *	kernel   [   rw   ][ r ]        [  rw  ]
 *	tree     [ rw ]    [ rw]  [ rw ][  rw  ]
 *	               ^     ^      ^
 *	               new   prot   gone           each is one difference
 *
 * May not call back into the wrappers, allocates by heap_alloc alone.
 * Called by wrap/space.c.
 */
#include "mirror.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/aside.h"
#include "base/heap.h"
#include "base/own.h"
#include "base/sys.h"
#include "mirror/mm_self.h"
#include "mirror/origin.h"
#include "mirror/page_runs.h"
#include "mirror/page_scan.h"
#include "mirror/proc_maps.h"

#define MIRROR_TASK_SIZE 0x7ffffffff000ul /* x86-64, four levels */
#define SPINS 2000          /* about 10 us */
#define FAILURES_MAX 64     /* in a row: from then on one try, no spinning */
#define LOOK_TRIES 50       /* a look may let others run before it gives up */

static struct {
	_Atomic uintptr_t owner;    /* thread pointer of who is inside; 0: nobody */
	_Atomic uint32_t n_failures; /* to get in, in a row */
	_Atomic uint64_t missed;
	/* The rest belongs to the owner. */
	bool started;
	int broken;                 /* -errno: why there is no tree for good; else 0 */
	struct vma_tree tree;
	uint64_t checks, differences, left;
	uint64_t hidden[MMS_HIDDEN_CLASSES];
	_Alignas(8) char text[PAGE_SCAN_ROOM]; /* of /proc/self/maps; then runs of pages */
	uint8_t runs[4096];
} mirror;

/* ---- the lock ---- */

static uintptr_t myself(void)
{
	return (uintptr_t)__builtin_thread_pointer();
}

static bool enter(void)
{
	int spins = atomic_load_explicit(&mirror.n_failures, memory_order_relaxed) > FAILURES_MAX ? 1 : SPINS;

	for (int i = 0; i < spins; i++) {
		uintptr_t nobody = 0;
		if (atomic_compare_exchange_strong(&mirror.owner, &nobody, myself())) {
			atomic_store_explicit(&mirror.n_failures, 0, memory_order_relaxed);
			return true;
		}
		if (nobody == myself()) /* we are a signal handler */
			break;
		__builtin_ia32_pause();
	}
	atomic_fetch_add(&mirror.n_failures, 1);
	return false;
}

/* For a call: who does not get in has missed it. */
static bool enter_call(void)
{
	bool in = enter();

	if (!in)
		atomic_fetch_add(&mirror.missed, 1);
	return in;
}

static void leave(void)
{
	atomic_store(&mirror.owner, 0);
}

void mirror_forked(void)
{
	uintptr_t owner = atomic_load(&mirror.owner);

	if (owner && owner != myself()) { /* in the middle of a change, by a thread that is not here */
		memset(&mirror.tree, 0, sizeof(mirror.tree));
		mirror.started = false;
		mirror.broken = 0;
		atomic_store(&mirror.owner, 0);
	}
	mirror.checks = mirror.differences = mirror.left = 0;
	memset(mirror.hidden, 0, sizeof(mirror.hidden));
	atomic_store(&mirror.missed, 0);
	atomic_store(&mirror.n_failures, 0);
}

/* ---- the kernel's lines ---- */

struct walk {
	struct origin_walk origin;
	uintptr_t at;             /* end of the line before */
	uintptr_t from, to;       /* made by the very call that woke us: not hidden */
	bool first;               /* there was no tree: what exec made is not hidden */
	uint32_t n_lines;
	uintptr_t heap_end, map_top;
	uint64_t left;            /* pages that the tree has otherwise, after it was changed */
	int error;
};

static void count(const struct walk *w, enum vma_origin origin, uintptr_t start, uintptr_t end, unsigned prot)
{
	if (start >= w->from && end <= w->to)
		return;
	if (w->first && origin_by_exec(origin))
		return;
	mirror.differences++;
	mirror.hidden[origin_hidden(origin, start, prot)]++;
}

static void try(struct walk *w, int r)
{
	if (r < 0 && !w->error)
		w->error = r;
}

/* What the tree has in a hole of the kernel's. */
static void clear_hole(struct walk *w, uintptr_t start, uintptr_t end)
{
	struct vma *a;
	uintptr_t at = start;

	if (start >= end || !vma_tree_find_intersection(&mirror.tree, start, end))
		return;
	while (at < end && (a = vma_tree_find_intersection(&mirror.tree, at, end)) != NULL) {
		count(w, a->origin, a->start > at ? a->start : at, a->end < end ? a->end : end, a->prot);
		at = a->end;
	}
	try(w, vma_tree_unmap(&mirror.tree, start, end));
	for (at = start; (a = vma_tree_find_intersection(&mirror.tree, at, end)) != NULL; at = a->end)
		w->left += (a->end - a->start) >> 12;
}

/* Pages of the line that the tree still does not have, or not so. */
static uint64_t unlike(const struct proc_map *m)
{
	uint64_t bytes = 0;

	for (uintptr_t at = m->start; at < m->end;) {
		const struct vma *a = vma_tree_find_intersection(&mirror.tree, at, m->end);
		uintptr_t start = !a ? m->end : a->start > at ? a->start : at;
		uintptr_t end = a && a->end < m->end ? a->end : m->end;
		bool agrees = a && a->prot == m->prot && !(a->flags & VMA_SHARED) == !m->shared && a->inode == m->inode;

		bytes += (agrees ? start : end) - at;
		at = end;
	}
	return bytes >> 12;
}

static void add_new(struct walk *w, const struct proc_map *m, enum vma_origin origin, uintptr_t start,
	uintptr_t end)
{
	struct vma v = { .start = start, .end = end, .inode = m->inode, .device = m->device, .prot = m->prot,
		.origin = (uint8_t)origin, .flags = m->shared ? VMA_SHARED : 0,
		.name = vma_tree_name(&mirror.tree, m->name, m->name_length),
		.pgoff = m->inode ? (m->offset + (start - m->start)) >> 12 : start >> 12 };

	count(w, origin, start, end, m->prot);
	try(w, vma_tree_map(&mirror.tree, &v));
}

/* What the kernel knows and a wrapper does not: the file behind a descriptor. */
static bool lacks(const struct vma *a, const struct proc_map *m)
{
	return (m->inode && a->inode != m->inode) || (m->name_length && !a->name);
}

static void adjust(struct walk *w, const struct proc_map *m, enum vma_origin origin, const struct vma *a,
	uintptr_t start, uintptr_t end)
{
	bool shared = a->flags & VMA_SHARED;
	bool differs = a->prot != m->prot || shared != m->shared;
	bool ours = origin == VMA_PROFILER && a->origin != VMA_PROFILER;
	struct vma v = *a;

	if (!differs && !ours && !lacks(a, m))
		return;
	if (differs)
		count(w, a->origin, start, end, m->prot);
	v.start = start;
	v.end = end;
	v.prot = m->prot;
	v.flags = (uint16_t)((v.flags & ~VMA_SHARED) | (m->shared ? VMA_SHARED : 0));
	v.inode = m->inode;
	v.device = m->device;
	if (m->name_length)
		v.name = vma_tree_name(&mirror.tree, m->name, m->name_length);
	if (m->inode)
		v.pgoff = (m->offset + (start - m->start)) >> 12;
	if (ours || origin == VMA_SHMEM)
		v.origin = (uint8_t)origin;
	try(w, vma_tree_map(&mirror.tree, &v));
}

/* From `at` on one part of the line that the tree and the table of our own
 * areas agree about; returns its end. */
static uintptr_t one_part(struct walk *w, const struct proc_map *m, enum vma_origin origin, uintptr_t at)
{
	uintptr_t end = m->end, own_start, own_end;
	struct vma *a;

	if (own_next(at, &own_start, &own_end) && own_start < end) {
		if (own_start <= at)
			origin = VMA_PROFILER;
		end = own_start <= at ? (own_end < end ? own_end : end) : own_start;
	}
	a = vma_tree_find_intersection(&mirror.tree, at, end);
	if (a == NULL || a->start > at) {
		end = a ? a->start : end;
		add_new(w, m, origin, at, end);
	} else {
		end = a->end < end ? a->end : end;
		adjust(w, m, origin, a, at, end);
	}
	return end;
}

static bool one_line(void *arg, const struct proc_map *m)
{
	struct walk *w = arg;
	enum vma_origin origin = origin_next(&w->origin, m);

	clear_hole(w, w->at, m->start);
	for (uintptr_t at = m->start; at < m->end && !w->error;)
		at = one_part(w, m, origin, at);
	w->at = m->end;
	w->n_lines++;
	w->left += unlike(m);
	if (origin == VMA_BRK)
		w->heap_end = m->end;
	if (origin != VMA_STACK && origin != VMA_SPECIAL)
		w->map_top = m->end;
	return !w->error;
}

static void read_lines(void *arg)
{
	struct walk *w = arg;
	int fd = mms_openat(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0) {
		w->error = fd;
		return;
	}
	int r = proc_maps_walk(fd, mirror.text, sizeof(mirror.text), one_line, w);
	mms_close(fd);
	try(w, r);
}

static int reconcile(struct walk *w)
{
	w->origin.exe = getauxval(AT_PHDR);
	w->origin.loader = getauxval(AT_BASE);
	w->first = !mirror.started;
	aside(read_lines, w);
	if (w->error < 0)
		return w->error;
	clear_hole(w, w->at, UINTPTR_MAX & ~4095ul);
	mirror.started = true;
	mirror.checks++;
	mirror.left = w->left;
	return 0;
}

/* ---- calls ---- */

/* The tree is there and may be changed. */
static bool ready(uintptr_t from, uintptr_t to)
{
	struct walk w = { .from = from, .to = to };

	if (!mirror.started && !mirror.broken)
		mirror.broken = reconcile(&w);
	return !mirror.broken;
}

static void done(int r)
{
	if (r == -ENOMEM)
		mirror.broken = r;
	leave();
}

static uintptr_t page_up(uintptr_t a)
{
	return (a + 4095) & ~(uintptr_t)4095;
}

void mirror_map(const struct vma *area)
{
	struct vma v = *area;

	v.end = page_up(v.end);
	if (enter_call())
		done(ready(v.start, v.end) ? vma_tree_map(&mirror.tree, &v) : 0);
}

void mirror_unmap(uintptr_t start, size_t length)
{
	if (enter_call())
		done(ready(0, 0) ? vma_tree_unmap(&mirror.tree, start, page_up(start + length)) : 0);
}

void mirror_protect(uintptr_t start, size_t length, unsigned prot)
{
	if (enter_call())
		done(ready(0, 0) ? vma_tree_protect(&mirror.tree, start, page_up(start + length), prot & 7) : 0);
}

void mirror_flags(uintptr_t start, size_t length, unsigned set, unsigned clear)
{
	uintptr_t end = length == SIZE_MAX ? UINTPTR_MAX & ~4095ul : page_up(start + length);

	if (enter_call())
		done(ready(0, 0) ? vma_tree_flags(&mirror.tree, start & ~4095ul, end, set, clear) : 0);
}

void mirror_move(uintptr_t old, size_t old_length, const struct vma *area, bool keep)
{
	uintptr_t end = page_up(area->end);

	if (!enter_call())
		return;
	int r = ready(area->start, end) ? vma_tree_move(&mirror.tree, old, page_up(old_length), area->start,
						  end - area->start, keep) : 0;
	done(r);
}

void mirror_brk(uintptr_t old, uintptr_t end, uint32_t stack, uint64_t stamp)
{
	if (!enter_call())
		return;
	int r = 0;
	if (ready(page_up(old), page_up(end))) {
		mirror.tree.brk_end = old;
		r = vma_tree_brk(&mirror.tree, end, stack, stamp);
	}
	done(r);
}

bool mirror_find_most(uintptr_t start, uintptr_t end, size_t *steps, struct vma *ret)
{
	const struct vma *a = NULL;

	if (!enter())
		return false;
	if (mirror.started && !mirror.broken)
		a = vma_tree_find_longest(&mirror.tree, start, end, steps);
	if (a)
		*ret = *a;
	leave();
	return a != NULL;
}

bool mirror_find(uintptr_t address, struct vma *ret)
{
	size_t steps = 1;

	return mirror_find_most(address, address + 1, &steps, ret);
}

/* ---- the look ---- */

/* Areas that lie within one slice are asked about in one call: most areas are
 * a few pages of a library, and a call costs as much as 50 pages. */
struct look {
	const struct mirror_sink *sink;
	const struct vma *v; /* being looked at; NULL: none left */
	struct mms_area area;
	struct page_runs runs;
	struct page_scan scan;
	struct mms_space *space;
};

static void begin_area(struct look *l, const struct vma *v)
{
	l->v = v;
	if (!v)
		return;
	l->area = (struct mms_area){ .start = v->start, .end = v->end, .pgoff = v->pgoff, .inode = v->inode,
		.device = v->device, .stack = v->stack, .flags = v->flags, .prot = v->prot,
		.origin = v->origin, .born_stamp = v->born_stamp };
	page_runs_begin(&l->runs, v->start >> 12);
}

/* Nothing more is known of the area: tells it, and goes to the next. */
static void end_area(struct look *l, bool known)
{
	const char *name = vma_tree_name_text(&mirror.tree, l->v->name);
	size_t length = strlen(name);

	page_runs_end(&l->runs);
	l->area.known = !known ? MMS_AREA_UNKNOWN : l->scan.no_ioctl ? MMS_AREA_PLAIN : MMS_AREA_KNOWN;
	l->area.name_length = (uint16_t)(length < 4096 ? length : 4096);
	l->area.states_from = l->runs.first;
	l->area.states_bytes = (uint32_t)l->runs.used;
	l->sink->area(l->sink->arg, &l->area, name, l->runs.buffer);
	l->space->n_areas++;
	begin_area(l, vma_tree_next(&mirror.tree, l->v->end));
}

static void count_run(struct look *l, uint64_t first, uint64_t n, uint64_t states)
{
	enum mms_page_state state = MMS_PAGE_PRESENT;

	if (states & PAGE_IS_SWAPPED) {
		state = MMS_PAGE_SWAPPED;
		l->area.swapped += (uint32_t)n;
	} else if (states & PAGE_IS_ZERO) {
		state = MMS_PAGE_ZERO;
		l->area.zero += (uint32_t)n;
	} else {
		l->area.present += (uint32_t)n;
		if (states & PAGE_IS_HUGE) {
			state = MMS_PAGE_HUGE;
			l->area.huge += (uint32_t)n;
		}
	}
	page_runs_add(&l->runs, first, n, state);
}

/* The kernel joins runs that agree over the borders of areas. */
static void one_run(struct look *l, uint64_t first, uint64_t n, uint64_t states)
{
	while (n && l->v) {
		uint64_t end = l->v->end >> 12;
		if (end <= first) {
			end_area(l, true);
			continue;
		}
		uint64_t part = end - first < n ? end - first : n;
		count_run(l, first, part, states);
		first += part;
		n -= part;
	}
}

static void take_runs(void *arg, const struct page_told *run, size_t n)
{
	for (size_t i = 0; i < n; i++)
		one_run(arg, run[i].first, run[i].n, run[i].states);
}

static void buffer_full(void *arg, uint64_t first, const uint8_t *bytes, size_t n)
{
	struct look *l = arg;

	l->sink->pages(l->sink->arg, first, bytes, n);
}

/* The end of the areas that are asked about with this one. */
static uintptr_t group_end(const struct vma *v)
{
	uintptr_t start = v->start, end = v->end;

	while ((v = vma_tree_next(&mirror.tree, end)) != NULL && v->end - start <= PAGE_SCAN_SLICE &&
		v->end <= MIRROR_TASK_SIZE)
		end = v->end;
	return end;
}

static void look_at_group(struct look *l)
{
	uintptr_t end = group_end(l->v);
	int r = -EACCES;

	if (l->scan.pagemap_fd >= 0 && l->v->start < MIRROR_TASK_SIZE) {
		r = page_scan_range(&l->scan, NULL, l->v->start, end, PAGE_WANT_STATES, false);
		if (r < 0)
			l->space->scan_error = r;
	}
	while (l->v && l->v->start < end)
		end_area(l, r == 0);
}

static void look_at_all(const struct mirror_sink *sink, struct mms_space *ret)
{
	struct look l = { .sink = sink, .space = ret,
		.runs = { .buffer = mirror.runs, .room = sizeof(mirror.runs), .full = buffer_full } };

	l.runs.arg = &l;
	l.scan = (struct page_scan){ .self = true, .runs = take_runs, .runs_arg = &l, .room = mirror.text,
		.room_bytes = sizeof(mirror.text) };
	l.scan.pagemap_fd = mms_openat(AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
	if (l.scan.pagemap_fd < 0)
		ret->scan_error = l.scan.pagemap_fd;
	begin_area(&l, vma_tree_next(&mirror.tree, 0));
	while (l.v)
		look_at_group(&l);
	if (l.scan.pagemap_fd >= 0)
		mms_close(l.scan.pagemap_fd);
	for (int i = 0; i < 4; i++)
		ret->n_pages += l.scan.n_pages[i];
}

static void read_mm(const struct walk *w, struct mms_mm *mm)
{
	mm_read_self(mm, true);
	mm->brk = (uint64_t)mms_syscall3(SYS_brk, 0, 0, 0);
	mm->mmap_base = w->map_top;
	mm->task_size = MIRROR_TASK_SIZE;
	mm->map_count = w->n_lines;
}

int mirror_look(const struct mirror_sink *sink, struct mms_space *ret)
{
	struct walk w = { .from = 0 };
	int tries = 0;

	while (!enter()) {
		if (++tries == LOOK_TRIES || atomic_load(&mirror.owner) == myself())
			return -EBUSY;
		mms_sched_yield();
	}
	int r = mirror.broken ? mirror.broken : reconcile(&w);
	if (r == 0) {
		look_at_all(sink, ret);
		read_mm(&w, &ret->mm);
	}
	ret->checks = mirror.checks;
	ret->differences = mirror.differences;
	ret->left = mirror.left;
	ret->missed = atomic_load(&mirror.missed);
	memcpy(ret->hidden, mirror.hidden, sizeof(ret->hidden));
	if (r == -ENOMEM)
		mirror.broken = r;
	leave();
	return r;
}
