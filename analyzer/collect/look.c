/*
 * look.c - looks at address spaces from outside, at ticks.
 *
 * The kernel's list of areas and /proc/PID/pagemap, by the same code that the
 * target uses for itself.  A question holds the target's mmap_lock, and a
 * thread of the target that maps or unmaps waits for the answer: longest when
 * the kernel takes the processor from us in the middle of it.  Therefore
 *
 *	tick  list | slice slice | 1 ms | slice slice slice | 1 ms | ... | rows
 *
 * a slice is as many bytes as are answered within 0.1 ms (measured, up to 4 GiB,
 * and 64 MiB of what is there), and after 0.25 ms of them (0.05 without CAP_SYS_NICE, hurry.c) the
 * collector empties the rings and sleeps: who sleeps often is seldom
 * interrupted.  When all looks of a tick are over,
 * there is none for 250 times what they took by the clock: 0.4 % of a processor
 * at most, however many processes there are and however large, and less where
 * others want it.
 *
 * Called by ticks.c, collect.c and spaces.c, in one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "collect/hurry.h"
#include "collect/own_areas.h"
#include "collect/space.h"
#include "mirror/mm.h"
#include "mirror/origin.h"
#include "mirror/proc_maps.h"

#define BUDGET 250u
#define STEP_EVERY_NS 1000000u
#define SLICE_NS 100000u
#define SLICE_MIN (1ul << 20)
#define AGAIN_NS 500000000u /* between two looks at one process, at least */

static _Alignas(8) char room[65536]; /* lines, then runs of pages */

struct lines {
	struct space *sp;
	struct hurry *hurry;
	uint64_t rested_ns;
	struct origin_walk origin;
	struct mms_own_table own; /* empty: not known */
	uint64_t library_data;
	uint32_t n;
	bool failed;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One part of a line, to where the next maker's begins. */
static uintptr_t part_end(const struct lines *l, const struct vma *owner, uintptr_t at, uintptr_t end, bool *ret_ours)
{
	uint64_t start, stop;

	*ret_ours = false;
	if (owner)
		end = owner->start > at ? owner->start : owner->end < end ? owner->end : end;
	if (own_areas_next(&l->own, at, &start, &stop) && start < end) {
		*ret_ours = start <= at;
		end = start > at ? start : stop < end ? stop : end;
	}
	return end;
}

/* Who made it is known where a wrapped call did, and of what is the library's. */
static bool one_line(void *arg, const struct proc_map *m)
{
	struct lines *l = arg;
	enum vma_origin origin = origin_next(&l->origin, m);

	l->n++;
	if (clock_ns(CLOCK_MONOTONIC) - l->rested_ns > hurry_ns()) {
		hurry_rest(l->hurry);
		l->rested_ns = clock_ns(CLOCK_MONOTONIC);
	}

	if (origin == VMA_PROFILER && m->prot & PROT_WRITE && !m->shared && !l->library_data)
		l->library_data = m->start;
	for (uintptr_t at = m->start, end; at < m->end; at = end) {
		struct vma *owner = vma_tree_find_intersection(&l->sp->owners, at, m->end);
		bool mine = owner && owner->start <= at, ours;
		end = part_end(l, owner, at, m->end, &ours);
		struct mms_area a = { .start = at, .end = end, .inode = m->inode, .device = m->device,
			.pgoff = (m->inode ? m->offset + (at - m->start) : at) >> 12, .prot = m->prot,
			.flags = m->shared ? VMA_SHARED : 0, .origin = (uint8_t)origin };
		if (mine) {
			a.stack = owner->stack;
			a.flags |= owner->flags & VMA_NORESERVE;
			a.origin = origin == VMA_SHMEM ? VMA_SHMEM : owner->origin;
		}
		if (ours)
			a.origin = VMA_PROFILER;
		if (!space_add(l->sp, &a, m->name, m->name_length))
			l->failed = true;
	}
	return !l->failed;
}

static bool find_own(struct space *sp, struct lines *l, int proc_fd)
{
	sp->own_sought = true;
	sp->own_at = l->library_data ? own_areas_find(proc_fd, l->library_data) : 0;
	return sp->own_at && own_areas_read(proc_fd, sp->own_at, &l->own);
}

static int read_maps(struct space *sp, int proc_fd)
{
	struct hurry before;
	struct lines l = { .sp = sp, .hurry = &before, .rested_ns = clock_ns(CLOCK_MONOTONIC) };
	int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	struct mms_mm mm = { .start_code = 0 };
	if (mm_read_stat(proc_fd, "stat", &mm) == 0)
		l.origin.exe = mm.start_code;
	if (sp->own_at)
		own_areas_read(proc_fd, sp->own_at, &l.own);
	hurry_begin(&before);
	int r = proc_maps_walk(fd, room, sizeof(room), one_line, &l);
	if (r == 0 && !sp->own_sought && find_own(sp, &l, proc_fd)) { /* once more, with that known */
		space_drop_coming(sp);
		l.origin = (struct origin_walk){ .exe = l.origin.exe };
		l.n = 0;
		r = proc_maps_walk(fd, room, sizeof(room), one_line, &l);
	}
	hurry_end(&before);
	close(fd);
	sp->n_lines = l.n;
	return r < 0 ? r : l.failed ? -ENOMEM : 0;
}

static void count_pages(struct space *sp, struct mms_area *a)
{
	const struct page_plane *plane = sp->coming_pages.plane;
	uint64_t first = a->start >> 12, n = (a->end - a->start) >> 12;

	a->known = sp->look.ask.no_ioctl ? MMS_AREA_PLAIN : MMS_AREA_KNOWN;
	a->zero = (uint32_t)page_plane_count(&plane[PAGE_ZERO], first, n);
	a->present = (uint32_t)page_plane_count(&plane[PAGE_PRESENT], first, n) - a->zero;
	a->swapped = (uint32_t)page_plane_count(&plane[PAGE_SWAPPED], first, n);
	a->huge = (uint32_t)page_plane_count(&plane[PAGE_HUGE], first, n);
}

/* ---- the list of looks that go on ---- */

static void look_append(struct spaces *s, struct space *sp)
{
	struct space **end = &s->looking;

	while (*end)
		end = &(*end)->look.next;
	*end = sp;
	sp->look.on = true;
}

static void look_remove(struct spaces *s, struct space *sp)
{
	struct space **at = &s->looking;

	while (*at && *at != sp)
		at = &(*at)->look.next;
	if (*at)
		*at = sp->look.next;
	if (sp->look.ask.pagemap_fd >= 0)
		close(sp->look.ask.pagemap_fd);
	sp->look = (struct look){ .ask.pagemap_fd = -1 };
}

void look_drop(struct spaces *s, struct space *sp)
{
	if (!sp->look.on)
		return;
	look_remove(s, sp);
	space_drop_coming(sp);
}

/* ---- one look ---- */

static int look_begin(struct spaces *s, struct space *sp, int proc_fd, uint64_t t_ns, const struct mms_mm *mm)
{
	space_drop_coming(sp);
	int r = read_maps(sp, proc_fd);
	if (r < 0 || sp->coming.n == 0) /* none: it is just ending */
		return r < 0 ? r : -ESRCH;
	int fd = openat(proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	sp->look = (struct look){ .scan = { .t_ns = t_ns, .look = MMS_LOOK_TICK, .error = fd < 0 ? errno : 0 },
		.ask = { .pagemap_fd = fd, .room = room, .room_bytes = sizeof(room) }, .mm = *mm };
	mm_read_stat(proc_fd, "stat", &sp->look.mm);
	look_append(s, sp);
	return 0;
}

/* Asks about the next bytes, at most `most`.  The bytes; 0: all is known; or
 * -errno. */
static int64_t look_slice(struct space *sp, uint64_t most)
{
	struct look *l = &sp->look;
	uint64_t done = 0;

	while (done < most && l->area < sp->coming.n) {
		const struct mms_area *a = &sp->coming.area[l->area].a;
		uint64_t start = l->at > a->start ? l->at : a->start;
		uint64_t end = a->end - start < most - done ? a->end : start + (most - done);
		uintptr_t next = end;

		int r = page_scan_part(&l->ask, &sp->coming_pages, start, end, PAGE_WANT_STATES, false, &next);
		if (r < 0)
			return r;
		done += next - start;
		l->at = next;
		l->area += next == a->end;
		if (next < end)
			break; /* there was much */
	}
	return (int64_t)done;
}

static void look_end(struct spaces *s, struct space *sp)
{
	struct look l = sp->look;

	for (size_t i = 0; i < l.area; i++)
		count_pages(sp, &sp->coming.area[i].a);
	for (int i = 0; i < 4; i++)
		l.scan.n_pages += l.ask.n_pages[i];
	l.mm.map_count = sp->n_lines;
	look_remove(s, sp);
	space_take(s, sp, &l.scan);
	if (*s->store)
		store_mm(*s->store, sp->number, l.scan.t_ns, &l.mm, true);
}

/* One slice of the look; its size is fitted to what it takes. */
static void look_on(struct spaces *s, struct space *sp)
{
	struct look *l = &sp->look;
	uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID), size = s->slice;
	int64_t n = l->scan.error ? 0 : look_slice(sp, size);
	uint64_t took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;

	if (took > SLICE_NS && s->slice > SLICE_MIN)
		s->slice /= 2;
	else if (took < SLICE_NS / 4 && s->slice < PAGE_SCAN_SPARSE)
		s->slice *= 2;
	l->scan.cost_ns += took;
	if (n < 0)
		l->scan.error = (int)-n;
	if (n == -ESRCH)
		look_drop(s, sp);
	else if (n <= 0)
		look_end(s, sp);
}

/* ---- when ---- */

static bool quiet(const struct space *sp, const struct store_tick *now)
{
	uint64_t d = sp->rss > (uint64_t)now->rss ? sp->rss - (uint64_t)now->rss : (uint64_t)now->rss - sp->rss;

	return sp->looked && sp->vm_size == (uint64_t)now->vm_size && d < 64 * 4096 &&
		(uint64_t)now->minflt - sp->minflt < 256;
}

/* All looks of one tick begin together; while they go on there is no other. */
static bool due(struct spaces *s, const struct space *sp, uint64_t now_ns)
{
	if (s->looking ? s->look_tick_ns != now_ns : now_ns < s->next_look_ns)
		return false;
	s->look_tick_ns = now_ns;
	return !sp->look.on && now_ns >= sp->next_look_ns;
}

void spaces_tick(struct spaces *s, const struct watch_process *p, const struct store_tick *now)
{
	struct space *sp = space_of(s, now->process);

	if (!sp || sp->final || p->proc_fd < 0 || !due(s, sp, now->t_ns) || quiet(sp, now))
		return;
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	int r = look_begin(s, sp, p->proc_fd, now->t_ns, &p->mm);
	uint64_t took = clock_ns(CLOCK_MONOTONIC) - begin;
	if (r == 0)
		sp->look.scan.cost_ns = took;
	s->look_took_ns += took;
	sp->next_look_ns = now->t_ns + AGAIN_NS;
	sp->rss = (uint64_t)now->rss;
	sp->vm_size = (uint64_t)now->vm_size;
	sp->minflt = (uint64_t)now->minflt;
}

void spaces_step(struct spaces *s, uint64_t now_ns)
{
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	struct hurry before;

	if (!s->look_took_ns || now_ns - s->stepped_ns < STEP_EVERY_NS)
		return;
	s->stepped_ns = now_ns;
	hurry_begin(&before);
	uint64_t from = clock_ns(CLOCK_MONOTONIC), now = from;
	while (s->looking && now - from < hurry_ns()) {
		look_on(s, s->looking);
		now = clock_ns(CLOCK_MONOTONIC);
	}
	hurry_end(&before);
	s->look_took_ns += clock_ns(CLOCK_MONOTONIC) - begin;
	if (s->looking)
		return;
	s->next_look_ns = now_ns + s->look_took_ns * BUDGET;
	s->look_took_ns = 0;
}
