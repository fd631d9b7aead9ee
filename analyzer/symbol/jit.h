/*
 * jit.h - functions made at run time, from /tmp/perf-PID.map.
 */
#ifndef SYMBOL_JIT_H
#define SYMBOL_JIT_H

#include <stddef.h>
#include <stdint.h>

struct jit_map;

/* Reads the map of the process; -errno when there is none, or when it belongs
 * to another user. */
int jit_open(uint32_t pid, struct jit_map **ret);
/* Reads a map from memory: for jit_open and for tests. */
int jit_parse(const char *text, size_t size, struct jit_map **ret);
void jit_close(struct jit_map *map); /* accepts NULL */

/* Name of the function at the address, the one written last when several
 * were; NULL when there is none.  Lives as long as the map. */
const char *jit_find(const struct jit_map *map, uint64_t address);
/* Range that the functions of the map span. */
void jit_range(const struct jit_map *map, uint64_t *ret_start, uint64_t *ret_end);

#endif
