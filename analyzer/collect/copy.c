/*
 * copy.c - the memory of a process that waits to be read.
 *
 * /proc/PID/maps says what is writable, pagemap what of it is in memory, mem
 * gives the bytes: an untouched page is neither read nor brought in.  Called by
 * judge.c while the process stands still, so all of it is done at once.
 * roots.c finds the roots.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collect/copy_private.h"
#include "mirror/mm.h"
#include "mirror/origin.h"
#include "mirror/page_scan.h"
#include "mirror/proc_maps.h"

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
		m->inode == 0 };
	return true;
}

static int list_areas(struct copy *c, int proc_fd)
{
	static char text[65536];
	struct lines l = { .c = c };
	struct mms_mm mm = { .start_code = 0 };
	int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (mm_read_stat(proc_fd, "stat", &mm) == 0)
		l.origin.exe = mm.start_code;
	int r = proc_maps_walk(fd, text, sizeof(text), one_line, &l);
	close(fd);
	return r < 0 ? r : c->no_memory ? -ENOMEM : c->n_areas == 0 ? -ESRCH : 0;
}

static void one_run(void *arg, uint64_t first, uint64_t n, unsigned states)
{
	struct copy *c = arg;
	struct reach_memory *last = c->n_pieces ? &c->pieces[c->n_pieces - 1] : NULL;

	if (states & PAGE_IS_ZERO || !(states & (PAGE_IS_PRESENT | PAGE_IS_SWAPPED)))
		return;
	c->size += n << 12;
	if (last && last->start + last->size == first << 12) {
		last->size += n << 12;
		return;
	}
	if (copy_room(c, &c->pieces, c->n_pieces, &c->pieces_room, sizeof(*c->pieces)))
		c->pieces[c->n_pieces++] = (struct reach_memory){ first << 12, n << 12, NULL };
}

static int list_pieces(struct copy *c, int proc_fd)
{
	struct page_scan scan = { .run = one_run, .run_arg = c };
	int r = 0;

	scan.pagemap_fd = openat(proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	if (scan.pagemap_fd < 0)
		return -errno;
	for (size_t i = 0; i < c->n_areas && r == 0; i++)
		r = page_scan_range(&scan, NULL, c->areas[i].start, c->areas[i].end, PAGE_WANT_STATES, false);
	close(scan.pagemap_fd);
	return r < 0 ? r : c->no_memory ? -ENOMEM : 0;
}

/* ---- the bytes ---- */

static uint64_t host_available(void)
{
	char line[128];
	unsigned long long kib = 0;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

/* A page that went away meanwhile, or that nobody may read, is left out. */
static void read_piece(struct reach_memory *m, uint8_t *to, int fd)
{
	uint64_t have = 0;

	while (have < m->size) {
		ssize_t n = pread(fd, to + have, m->size - have, (off_t)(m->start + have));

		if (n <= 0)
			break;
		have += (uint64_t)n;
	}
	m->bytes = to;
	m->size = have;
}

int copy_read(struct copy *c, int proc_fd)
{
	int r = list_areas(c, proc_fd);

	if (r == 0)
		r = list_pieces(c, proc_fd);
	if (r < 0)
		return r;
	if (c->size > host_available() / 2)
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

		read_piece(&c->pieces[i], c->bytes + at, fd);
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
	free(c->holes);
	free(c->roots);
	free(c->words);
}
