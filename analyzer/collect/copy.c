/*
 * copy.c - the memory of a process that waits to be read.
 *
 * /proc/PID/maps says what is writable, pagemap what of it is in memory, mem
 * gives the bytes: an untouched page is neither read nor brought in.  Called by
 * reader.c, judge.c and snapshot.c, in threads of their own, while the process
 * stands still, so all of it is done at once.  roots.c finds the roots.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "collect/cgroups.h"
#include "collect/copy_private.h"
#include "collect/own_areas.h"
#include "mirror/mm.h"
#include "mirror/origin.h"
#include "mirror/page_scan.h"
#include "mirror/proc_maps.h"

#define MAPS_TEXT (64u << 10)
#define SMALL_COPY (4ull << 20) /* the files of the groups are not read for this */

void *copy_room(struct copy *c, void *list, size_t n, size_t *room, size_t size)
{
	void *at;

	memcpy(&at, list, sizeof(at));
	if (n < *room)
		return at;
	size_t more = *room * 2 + 256;
	void *grown = reallocarray(at, more, size);
	if (!grown) {
		c->no_memory = true;
		return NULL;
	}
	memcpy(list, &grown, sizeof(grown));
	*room = more;
	return grown;
}

void copy_word(struct copy *c, uint64_t word)
{
	if (copy_room(c, &c->words, c->n_words, &c->words_room, sizeof(*c->words)))
		c->words[c->n_words++] = word;
}

bool copy_is_loader(const struct copy *c, uint64_t pc)
{
	for (size_t i = 0; i < c->n_loader; i++)
		if (pc >= c->loader[i].start && pc < c->loader[i].end)
			return true;
	return false;
}

/* ---- what there is ---- */

struct lines {
	struct copy *c;
	struct origin_walk origin;
	bool in_libc; /* the area before was libc's, or its .bss */
	uint64_t guard_end; /* of the area before, if nobody may touch it; else 0 */
};

static bool name_has(const struct proc_map *m, const char *text)
{
	return m->name_length && memmem(m->name, m->name_length, text, strlen(text)) != NULL;
}

/* Reading from a device may do anything. */
static bool is_device(const struct proc_map *m)
{
	return m->name_length > 5 && memcmp(m->name, "/dev/", 5) == 0 && !name_has(m, "/dev/shm/") &&
		!name_has(m, "/dev/zero");
}

static bool one_line(void *arg, const struct proc_map *m)
{
	struct lines *l = arg;
	struct copy *c = l->c;
	enum vma_origin origin = origin_next(&l->origin, m);
	bool guarded = l->guard_end == m->start;

	l->guard_end = m->prot & (PROT_READ | PROT_WRITE | PROT_EXEC) ? 0 : m->end;
	if (origin == VMA_PROFILER && m->prot & PROT_WRITE && !m->shared && c->n_data < COPY_DATA_MAX)
		c->data[c->n_data++] = (struct copy_span){ m->start, m->end };

	if (m->inode)
		l->in_libc = name_has(m, "/libc.so.") || name_has(m, "/libc-2.");
	else if (origin != VMA_LIBRARY)
		l->in_libc = false;
	if (name_has(m, "/ld-linux") && m->prot & PROT_EXEC && c->n_loader < 4)
		c->loader[c->n_loader++] = (struct copy_span){ m->start, m->end };
	if (!(m->prot & PROT_WRITE) || origin == VMA_PROFILER || origin == VMA_SPECIAL || is_device(m))
		return true;
	if (!copy_room(c, &c->areas, c->n_areas, &c->areas_room, sizeof(*c->areas)))
		return false;
	c->areas[c->n_areas++] = (struct copy_area){ m->start, m->end,
		origin == VMA_BRK ? COPY_BRK : origin == VMA_STACK ? COPY_STACK : l->in_libc ? COPY_LIBC : COPY_OTHER,
		m->inode == 0, guarded, 0 };
	return true;
}

int copy_own(int proc_fd, const struct copy_span *data, size_t n_data, struct copy_span *ret)
{
	struct mms_own_table t;
	uint64_t at = 0;
	int n = 0;

	for (size_t i = 0; i < n_data && !at; i++)
		at = own_areas_find(proc_fd, data[i].start);
	if (!at || !own_areas_read(proc_fd, at, &t))
		return 0;
	for (uint32_t i = 0; i < MMS_OWN_AREAS; i++)
		if (t.area[i].end > t.area[i].start)
			ret[n++] = (struct copy_span){ t.area[i].start, t.area[i].end };
	return n;
}

int copy_list(struct copy *c, int proc_fd)
{
	struct lines l = { .c = c };
	struct mms_mm mm = { .start_code = 0 };
	int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (mm_read_stat(proc_fd, "stat", &mm) == 0)
		l.origin.exe = mm.start_code;
	char *text = malloc(MAPS_TEXT);
	int r = text ? proc_maps_walk(fd, text, MAPS_TEXT, one_line, &l) : -ENOMEM;
	free(text);
	close(fd);
	c->n_own = (size_t)copy_own(proc_fd, c->data, c->n_data, c->own);
	return r < 0 ? r : c->no_memory ? -ENOMEM : c->n_areas == 0 ? -ESRCH : 0;
}

static void note_run(struct copy *c, uint64_t first, uint64_t n, uint64_t states)
{
	enum mms_page_state state = states & PAGE_IS_SWAPPED ? MMS_PAGE_SWAPPED : states & PAGE_IS_ZERO ? MMS_PAGE_ZERO
		: states & PAGE_IS_HUGE ? MMS_PAGE_HUGE : MMS_PAGE_PRESENT;

	if (copy_room(c, &c->runs, c->n_runs, &c->runs_room, sizeof(*c->runs)))
		c->runs[c->n_runs++] = (struct copy_run){ first, n, state };
}

static void one_run(struct copy *c, uint64_t first, uint64_t n, uint64_t states)
{
	struct reach_memory *last = c->n_pieces ? &c->pieces[c->n_pieces - 1] : NULL;

	note_run(c, first, n, states);
	if (states & PAGE_IS_ZERO)
		return;
	c->size += n << 12;
	c->areas[c->scanned].resident += n << 12;
	if (last && last->start + last->size == first << 12) {
		last->size += n << 12;
		return;
	}
	if (copy_room(c, &c->pieces, c->n_pieces, &c->pieces_room, sizeof(*c->pieces)))
		c->pieces[c->n_pieces++] = (struct reach_memory){ first << 12, n << 12, NULL };
}

static void take_runs(void *arg, const struct page_told *run, size_t n)
{
	for (size_t i = 0; i < n; i++)
		one_run(arg, run[i].first, run[i].n, run[i].states);
}

static int list_pieces(struct copy *c, int proc_fd)
{
	struct page_scan scan = { .runs = take_runs, .runs_arg = c };
	int r = 0;

	scan.pagemap_fd = openat(proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	if (scan.pagemap_fd < 0)
		return -errno;
	for (c->scanned = 0; c->scanned < c->n_areas && r == 0; c->scanned++)
		r = page_scan_range(&scan, NULL, c->areas[c->scanned].start, c->areas[c->scanned].end, PAGE_WANT_STATES,
			false);
	close(scan.pagemap_fd);
	return r < 0 ? r : c->no_memory ? -ENOMEM : 0;
}

/* ---- the bytes ---- */

/* The collector's own groups: its copy is charged there, and as a rule they are
 * the target's as well. */
uint64_t copy_headroom(void)
{
	char text[4096];
	struct limit_points points = { .n = 0 };
	struct limit_commit commit;
	uint64_t least = UINT64_MAX;
	int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	struct cgroup_place *place = cgroup_place_open("", limit_text(fd, text, sizeof(text)));

	if (fd >= 0)
		close(fd);
	if (place)
		cgroup_place_read(place, &points, &commit);
	for (size_t i = 0; i < points.n; i++) {
		const struct limit_point *p = &points.at[i];
		int64_t left = limit_headroom(p);

		if (p->kind == LIMIT_HOST)
			left /= 2;
		if (left < (int64_t)least)
			least = left > 0 ? (uint64_t)left : 0;
	}
	cgroup_place_close(place);
	return least;
}

/* A page that went away meanwhile, or that nobody may read, is left out. */
static void read_piece(struct reach_memory *m, uint8_t *to, pid_t pid, int fd)
{
	const struct iovec local = { to, m->size }, remote = { (void *)(uintptr_t)m->start, m->size };
	ssize_t n = pid > 0 ? process_vm_readv(pid, &local, 1, &remote, 1, 0) : -1;
	uint64_t have = n > 0 ? (uint64_t)n : 0;

	while (have < m->size) {
		n = pread(fd, to + have, m->size - have, (off_t)(m->start + have));
		if (n <= 0)
			break;
		have += (uint64_t)n;
	}
	m->bytes = to;
	m->size = have;
}

int copy_read(struct copy *c, int proc_fd, pid_t pid)
{
	int r = c->n_areas ? 0 : copy_list(c, proc_fd);

	if (r == 0)
		r = list_pieces(c, proc_fd);
	if (r < 0)
		return r;
	if (c->size > SMALL_COPY && c->size > copy_headroom())
		return -EFBIG;
	int fd = openat(proc_fd, "mem", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	void *bytes = mmap(NULL, c->size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	madvise(bytes, c->size, MADV_HUGEPAGE);
	c->bytes = bytes;
	uint64_t at = 0, wanted = c->size, got = 0;
	for (size_t i = 0; i < c->n_pieces; i++) {
		uint64_t size = c->pieces[i].size;

		read_piece(&c->pieces[i], c->bytes + at, pid, fd);
		at += size;
		got += c->pieces[i].size;
	}
	close(fd);
	return wanted && !got ? -EPERM : 0;
}

void copy_done(struct copy *c)
{
	if (c->bytes)
		munmap(c->bytes, c->size + 4096);
	free(c->areas);
	free(c->pieces);
	free(c->runs);
	free(c->holes);
	free(c->roots);
	free(c->words);
}
