/*
 * look.c - a look at an address space from outside.
 *
 * /proc/PID/maps and /proc/PID/pagemap, by the same code that the target uses
 * for itself, in slices of 64 MiB: each holds the target's mmap_lock for 0.2 ms
 * at most.  Nobody empties the rings meanwhile, so what is larger than
 * LOOK_MAX is not looked at page by page.  Called by spaces.c at ticks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect/space.h"
#include "mirror/mm.h"
#include "mirror/origin.h"
#include "mirror/page_scan.h"
#include "mirror/proc_maps.h"

#define LOOK_MAX (16ull << 30) /* bytes in memory: 50 ms */

struct lines {
	struct space *sp;
	struct origin_walk origin;
	bool failed;
};

/* Who made it is known where a wrapped call did. */
static bool one_line(void *arg, const struct proc_map *m)
{
	struct lines *l = arg;
	enum vma_origin origin = origin_next(&l->origin, m);

	for (uintptr_t at = m->start, end; at < m->end; at = end) {
		struct vma *owner = vma_tree_find_intersection(&l->sp->owners, at, m->end);
		bool mine = owner && owner->start <= at;
		end = owner ? (mine ? owner->end : owner->start) : m->end;
		end = end < m->end ? end : m->end;
		struct mms_area a = { .start = at, .end = end, .inode = m->inode, .device = m->device,
			.pgoff = (m->inode ? m->offset + (at - m->start) : at) >> 12, .prot = m->prot,
			.flags = m->shared ? VMA_SHARED : 0, .origin = (uint8_t)origin };
		if (mine) {
			a.stack = owner->stack;
			a.born_stamp = owner->born_stamp;
			a.origin = origin == VMA_SHMEM ? VMA_SHMEM : owner->origin;
		}
		if (!space_add(l->sp, &a, m->name, m->name_length))
			l->failed = true;
	}
	return !l->failed;
}

static int read_maps(struct space *sp, int proc_fd)
{
	static char text[65536];
	struct lines l = { .sp = sp };
	int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	struct mms_mm mm = { .start_code = 0 };
	if (mm_read_stat(proc_fd, "stat", &mm) == 0)
		l.origin.exe = mm.start_code;
	int r = proc_maps_read(fd, text, sizeof(text), one_line, &l);
	close(fd);
	return r < 0 ? r : l.failed ? -ENOMEM : 0;
}

static void count_pages(struct space *sp, struct mms_area *a)
{
	const struct page_plane *plane = sp->coming_pages.plane;
	uint64_t first = a->start >> 12, n = (a->end - a->start) >> 12;

	a->known = 1;
	a->zero = (uint32_t)page_plane_count(&plane[PAGE_ZERO], first, n);
	a->present = (uint32_t)page_plane_count(&plane[PAGE_PRESENT], first, n) - a->zero;
	a->swapped = (uint32_t)page_plane_count(&plane[PAGE_SWAPPED], first, n);
	a->huge = (uint32_t)page_plane_count(&plane[PAGE_HUGE], first, n);
}

static int read_pages(struct space *sp, int proc_fd, struct store_scan *scan)
{
	struct page_scan ask = { .pagemap_fd = -1 };
	int r = 0;

	if (sp->rss_now > LOOK_MAX)
		return -EFBIG;
	ask.pagemap_fd = openat(proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	if (ask.pagemap_fd < 0)
		return -errno;
	for (size_t i = 0; i < sp->coming.n && r == 0; i++) {
		struct mms_area *a = &sp->coming.area[i].a;

		if (a->start >> 47) /* [vsyscall] is the kernel's own */
			continue;
		r = page_scan_range(&ask, &sp->coming_pages, a->start, a->end, PAGE_WANT_STATES, false);
		if (r == 0)
			count_pages(sp, a);
	}
	close(ask.pagemap_fd);
	for (int i = 0; i < 4; i++)
		scan->n_pages += ask.n_pages[i];
	return r;
}

int look_outside(struct space *sp, int proc_fd, struct store_scan *scan)
{
	int r;

	space_drop_coming(sp);
	r = read_maps(sp, proc_fd);
	if (r < 0)
		return r;
	if (sp->coming.n == 0)
		return -ESRCH; /* it is just ending */
	scan->error = -read_pages(sp, proc_fd, scan);
	return 0;
}
