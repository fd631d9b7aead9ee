/*
 * debug_child.h - reading DWARF where a crash does no harm.
 */
#ifndef SYMBOL_DEBUG_CHILD_H
#define SYMBOL_DEBUG_CHILD_H

#include "elf_image.h"
#include "resolve.h"

/* As debug_info_read, in a child process.  A child that crashes, or takes more
 * than a minute of CPU, is as if the image had no DWARF. */
int debug_child_resolve(const struct elf_image *image, struct pool *pool, struct symbol_want *wants,
	size_t n_wants, bool *ret_any);

#endif
