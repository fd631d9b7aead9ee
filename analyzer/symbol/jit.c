/*
 * jit.c - perf maps: "START SIZE NAME" per line, hexadecimal, appended by the
 * runtime (node --perf-basic-prof, the JVM's agent, LuaJIT, .NET).
 *
 * A runtime that reuses memory appends the new function and leaves the old
 * line: of all lines that cover an address the last one counts.  The file is
 * written by the target: any line may be wrong, and one in /tmp that belongs
 * to another user is not read at all.
 *
 * Called by store/frames.c for addresses that lie in no module.
 */
#include "jit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JIT_MAX_BYTES (256u << 20)
#define JIT_LOOK_BACK 256 /* entries before the address that may still cover it */

struct jit_entry {
	uint64_t start, end;
	uint32_t line;
	const char *name;
};
struct jit_map {
	char *text;
	struct jit_entry *entries; /* by start, then line */
	size_t n, room;
};

static int by_start(const void *a, const void *b)
{
	const struct jit_entry *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

static int add(struct jit_map *map, struct jit_entry e)
{
	if (map->n == map->room) {
		size_t room = map->room * 2 + 256;
		struct jit_entry *grown = realloc(map->entries, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		map->entries = grown;
		map->room = room;
	}
	map->entries[map->n++] = e;
	return 0;
}

static bool parse_line(char *line, struct jit_entry *ret)
{
	char *p = line, *end;
	uint64_t size;

	errno = 0;
	ret->start = strtoull(p, &end, 16);
	if (end == p || *end != ' ')
		return false;
	p = end + 1;
	size = strtoull(p, &end, 16);
	if (end == p || *end != ' ' || !end[1] || !size || errno)
		return false;
	ret->end = ret->start + size;
	ret->name = end + 1;
	return ret->end > ret->start;
}

int jit_parse(const char *text, size_t size, struct jit_map **ret)
{
	struct jit_map *map = calloc(1, sizeof(*map));
	uint32_t line = 0;
	int error = 0;

	if (!map)
		return -ENOMEM;
	map->text = malloc(size + 1);
	if (!map->text) {
		free(map);
		return -ENOMEM;
	}
	memcpy(map->text, text, size);
	map->text[size] = '\0';
	for (char *p = map->text, *next; !error && p < map->text + size; p = next) {
		struct jit_entry e;
		char *end = strchr(p, '\n');

		next = end ? end + 1 : p + strlen(p) + 1;
		if (end)
			*end = '\0';
		e.line = line++;
		if (parse_line(p, &e))
			error = add(map, e);
	}
	if (error) {
		jit_close(map);
		return error;
	}
	if (map->n)
		qsort(map->entries, map->n, sizeof(*map->entries), by_start);
	*ret = map;
	return 0;
}

static int read_all(int fd, size_t size, char **ret)
{
	char *text = malloc(size + 1);
	size_t got = 0;
	ssize_t n = 1;

	if (!text)
		return -ENOMEM;
	while (got < size && (n = pread(fd, text + got, size - got, (off_t)got)) > 0)
		got += (size_t)n;
	if (n < 0) {
		free(text);
		return -errno;
	}
	*ret = text;
	return (int)got;
}

int jit_open(uint32_t pid, struct jit_map **ret)
{
	char path[64], *text = NULL;
	struct stat status;
	int fd, got;

	snprintf(path, sizeof(path), "/tmp/perf-%u.map", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || (geteuid() != 0 && status.st_uid != geteuid()) ||
		status.st_size > (off_t)JIT_MAX_BYTES) {
		close(fd);
		return -EPERM;
	}
	got = read_all(fd, (size_t)status.st_size, &text);
	close(fd);
	if (got < 0)
		return got;
	got = jit_parse(text, (size_t)got, ret);
	free(text);
	return got;
}

void jit_close(struct jit_map *map)
{
	if (!map)
		return;
	free(map->entries);
	free(map->text);
	free(map);
}

const char *jit_find(const struct jit_map *map, uint64_t address)
{
	const struct jit_entry *best = NULL;
	size_t low = 0, high = map->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (map->entries[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low, tries = 0; i-- > 0 && tries < JIT_LOOK_BACK; tries++) {
		const struct jit_entry *e = &map->entries[i];

		if (address < e->end && (!best || e->line > best->line))
			best = e;
	}
	return best ? best->name : NULL;
}

void jit_range(const struct jit_map *map, uint64_t *ret_start, uint64_t *ret_end)
{
	*ret_start = map->n ? map->entries[0].start : 0;
	*ret_end = 0;
	for (size_t i = 0; i < map->n; i++)
		*ret_end = map->entries[i].end > *ret_end ? map->entries[i].end : *ret_end;
}
