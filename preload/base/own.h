/*
 * own.h - the areas of the address space that are ours and not the target's.
 *
 * Every anonymous mapping of the preload is made here, so that the mirror can
 * tell them from the target's: the kernel joins them with neighbours that
 * look alike.  At most OWN_AREAS are remembered; what comes later is counted
 * as the target's (the private heap maps in steps that double).
 */
#ifndef BASE_OWN_H
#define BASE_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OWN_AREAS 96u

/* As mmap with MAP_PRIVATE | MAP_ANONYMOUS | flags: the address, or -errno. */
long own_map(size_t bytes, int prot, int flags);
int own_unmap(void *at, size_t bytes);

/* What was mapped by other means (the session file). */
void own_note(const void *at, size_t bytes);

/* The first of our areas that ends above the address, cut to it; false: none. */
bool own_next(uintptr_t address, uintptr_t *ret_start, uintptr_t *ret_end);

#endif
