/*
 * own_areas.c - see own_areas.h.  Called by copy.c and look.c.
 */
#include "collect/own_areas.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define LIBRARY_DATA_MAX (256u << 10)

static ssize_t read_memory(int proc_fd, uint64_t at, void *ret, size_t bytes)
{
	int fd = openat(proc_fd, "mem", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, ret, bytes, (off_t)at);

	if (fd >= 0)
		close(fd);
	return n;
}

/* The library's data is small; the table stands in it. */
uint64_t own_areas_find(int proc_fd, uint64_t data)
{
	uint64_t *words = malloc(LIBRARY_DATA_MAX), found = 0;
	ssize_t n = words ? read_memory(proc_fd, data, words, LIBRARY_DATA_MAX) : -1;

	for (size_t i = 0; (i + 1) * 8 + sizeof(struct mms_own_table) <= (n > 0 ? (size_t)n : 0) && !found; i++)
		if (words[i] == MMS_OWN_MAGIC_0 && words[i + 1] == MMS_OWN_MAGIC_1)
			found = data + i * 8;
	free(words);
	return found;
}

bool own_areas_read(int proc_fd, uint64_t at, struct mms_own_table *ret)
{
	return read_memory(proc_fd, at, ret, sizeof(*ret)) == (ssize_t)sizeof(*ret) && ret->magic[0] == MMS_OWN_MAGIC_0;
}

static bool next_entry(const struct mms_own_table *t, uint64_t at, uint64_t *ret_start, uint64_t *ret_end)
{
	bool found = false;

	for (uint32_t i = 0; i < MMS_OWN_AREAS; i++) {
		uint64_t a = t->area[i].start, b = t->area[i].end;
		if (b <= at || a >= b || (found && a >= *ret_start))
			continue;
		*ret_start = a > at ? a : at;
		*ret_end = b;
		found = true;
	}
	return found;
}

/* Entries that touch are one area to the kernel. */
bool own_areas_next(const struct mms_own_table *t, uint64_t at, uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t start = 0, end = 0;

	if (!next_entry(t, at, ret_start, ret_end))
		return false;
	while (next_entry(t, *ret_end, &start, &end) && start == *ret_end)
		*ret_end = end;
	return true;
}
