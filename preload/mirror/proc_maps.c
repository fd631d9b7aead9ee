/*
 * proc_maps.c - see proc_maps.h.
 *
 * Called by the mirror at sync points and by the collector.  May not
 * allocate, may not use stdio: it runs inside the target.
 */
#include "proc_maps.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "base/sys.h"

/* From include/uapi/linux/fs.h of Linux 6.11; Debian 12's headers are older. */
struct procmap_query_arg {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start, vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	uint32_t vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define QUERY_IOCTL 0xc0686611ul /* _IOWR('f', 17, struct procmap_query), 104 bytes */
#define QUERY_COVERING_OR_NEXT 0x10
#define QUERY_READABLE 1
#define QUERY_WRITABLE 2
#define QUERY_EXECUTABLE 4
#define QUERY_SHARED 8

_Static_assert(sizeof(struct procmap_query_arg) == 104, "procmap_query");

#define NAME_MOST 4096      /* the kernel takes no larger buffer (PATH_MAX) */
#define KERNEL_START (1ul << 63)

struct text {
	const char *at, *end;
};

static bool hex(struct text *t, uint64_t *ret)
{
	uint64_t value = 0;
	int digits = 0;

	for (; t->at < t->end; t->at++, digits++) {
		unsigned c = (unsigned char)*t->at;
		unsigned digit = c - '0' <= 9 ? c - '0' : (c | 32) - 'a' <= 5 ? (c | 32) - 'a' + 10 : 16;

		if (digit == 16)
			break;
		value = value << 4 | digit;
	}
	*ret = value;
	return digits > 0 && digits <= 16;
}

static bool decimal(struct text *t, uint64_t *ret)
{
	uint64_t value = 0;
	int digits = 0;

	for (; t->at < t->end && (unsigned char)(*t->at - '0') <= 9; t->at++, digits++)
		value = value * 10 + (unsigned char)(*t->at - '0');
	*ret = value;
	return digits > 0 && digits <= 20;
}

static bool skip(struct text *t, char c)
{
	if (t->at >= t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

static bool permissions(struct text *t, struct proc_map *map)
{
	if (t->end - t->at < 4)
		return false;
	const char *p = t->at;

	map->prot = (uint8_t)((p[0] == 'r' ? PROT_READ : 0) | (p[1] == 'w' ? PROT_WRITE : 0) |
		(p[2] == 'x' ? PROT_EXEC : 0));
	map->shared = p[3] == 's';
	t->at += 4;
	return p[3] == 's' || p[3] == 'p';
}

bool proc_maps_parse(const char *line, size_t length, struct proc_map *ret)
{
	struct text t = { line, line + length };
	uint64_t start, end, major, minor;
	struct proc_map map;

	if (!hex(&t, &start) || !skip(&t, '-') || !hex(&t, &end) || !skip(&t, ' ') ||
		!permissions(&t, &map) || !skip(&t, ' ') || !hex(&t, &map.offset) || !skip(&t, ' ') ||
		!hex(&t, &major) || !skip(&t, ':') || !hex(&t, &minor) || !skip(&t, ' ') ||
		!decimal(&t, &map.inode) || start >= end)
		return false;
	while (t.at < t.end && *t.at == ' ')
		t.at++;
	map.start = start;
	map.end = end;
	map.device = (uint32_t)(major << 20 | minor);
	map.name = t.at;
	map.name_length = (size_t)(t.end - t.at);
	*ret = map;
	return true;
}

/* Hands out the whole lines of [buffer, buffer + used); returns how many
 * bytes they were, or -1 when fn said stop. */
static ssize_t lines(const char *buffer, size_t used, bool (*fn)(void *, const struct proc_map *), void *arg)
{
	size_t done = 0;

	for (;;) {
		const char *newline = memchr(buffer + done, '\n', used - done);
		struct proc_map map;

		if (newline == NULL)
			return (ssize_t)done;
		size_t length = (size_t)(newline - (buffer + done));
		bool is_area = proc_maps_parse(buffer + done, length, &map) && map.start < KERNEL_START;
		if (is_area && !fn(arg, &map))
			return -1;
		done += length + 1;
	}
}

int proc_maps_read(int fd, char *buffer, size_t size, bool (*fn)(void *arg, const struct proc_map *map),
	void *arg)
{
	size_t used = 0;
	uint64_t position = 0;

	for (;;) {
		long n = mms_pread(fd, buffer + used, size - used, position);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		if (n == 0)
			return 0;
		position += (uint64_t)n;
		used += (size_t)n;
		ssize_t done = lines(buffer, used, fn, arg);
		if (done < 0)
			return 0;
		if (done == 0 && used == size)
			return -ENOBUFS;
		used -= (size_t)done;
		memmove(buffer, buffer + done, used);
	}
}

static int query(int fd, uint64_t flags, uintptr_t address, char *name_buffer, size_t name_size, struct proc_map *ret)
{
	struct procmap_query_arg q = { .size = sizeof q, .query_flags = QUERY_COVERING_OR_NEXT | flags,
		.query_addr = address, .vma_name_size = (uint32_t)name_size,
		.vma_name_addr = (uint64_t)(uintptr_t)name_buffer };
	long r = mms_ioctl(fd, QUERY_IOCTL, &q);

	if (r < 0)
		return (int)r;
	*ret = (struct proc_map){ .start = q.vma_start, .end = q.vma_end, .offset = q.vma_offset,
		.inode = q.inode, .device = q.dev_major << 20 | q.dev_minor,
		.prot = (uint8_t)((q.vma_flags & QUERY_READABLE ? PROT_READ : 0) |
			(q.vma_flags & QUERY_WRITABLE ? PROT_WRITE : 0) |
			(q.vma_flags & QUERY_EXECUTABLE ? PROT_EXEC : 0)),
		.shared = (q.vma_flags & QUERY_SHARED) != 0, .name = name_buffer ? name_buffer : "",
		.name_length = q.vma_name_size ? q.vma_name_size - 1 : 0 };
	return 0;
}

int proc_maps_query(int fd, uintptr_t address, char *name_buffer, size_t name_size, struct proc_map *ret)
{
	return query(fd, 0, address, name_buffer, name_size, ret);
}

/* The next area at or above `at`; a name that is too long is left out. */
static int next_area(int fd, uintptr_t at, char *name, size_t size, struct proc_map *ret)
{
	int r = proc_maps_query(fd, at, name, size < NAME_MOST ? size : NAME_MOST, ret);

	return r == -ENAMETOOLONG ? proc_maps_query(fd, at, NULL, 0, ret) : r;
}

static int walk(int fd, uint64_t flags, char *buffer, size_t size, bool (*fn)(void *arg, const struct proc_map *map), void *arg)
{
	struct proc_map map;
	uintptr_t at = 0;
	int r;

	while ((r = flags ? query(fd, flags, at, NULL, 0, &map) : next_area(fd, at, buffer, size, &map)) == 0) {
		if (!fn(arg, &map))
			return 0;
		at = map.end;
	}
	if (r == -ENOENT)
		return 0;
	return at == 0 ? proc_maps_read(fd, buffer, size, fn, arg) : r;
}

int proc_maps_walk(int fd, char *buffer, size_t size, bool (*fn)(void *arg, const struct proc_map *map), void *arg)
{
	return walk(fd, 0, buffer, size, fn, arg);
}

int proc_maps_writable(int fd, char *buffer, size_t size, bool (*fn)(void *arg, const struct proc_map *map), void *arg)
{
	return walk(fd, QUERY_WRITABLE, buffer, size, fn, arg);
}
