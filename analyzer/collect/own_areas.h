/*
 * own_areas.h - what of a process's address space is the library's, read from
 * outside: no record tells of it, and to the kernel it is anonymous memory.
 */
#ifndef COLLECT_OWN_AREAS_H
#define COLLECT_OWN_AREAS_H

#include <stdbool.h>
#include <stdint.h>

#include <mmscope/session.h>

/* The address of the table in the library's data, which begins at `data`;
 * 0: not there, or not to be read. */
uint64_t own_areas_find(int proc_fd, uint64_t data);
bool own_areas_read(int proc_fd, uint64_t at, struct mms_own_table *ret);
/* The first part of the library's at or above `at`, cut off before it. */
bool own_areas_next(const struct mms_own_table *t, uint64_t at, uint64_t *ret_start, uint64_t *ret_end);

#endif
