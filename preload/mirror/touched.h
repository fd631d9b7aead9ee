/*
 * touched.h - how much of an area the program has used, before it goes away.
 */
#ifndef MIRROR_TOUCHED_H
#define MIRROR_TOUCHED_H

#include <stddef.h>
#include <stdint.h>

/* Pages of [start, start + length) that the program has used: present or
 * swapped.  -EINVAL: not private anonymous memory, or not known; other
 * -errno: cannot be asked. */
int touched_pages(uintptr_t start, size_t length, uint64_t *ret_pages);

#endif
