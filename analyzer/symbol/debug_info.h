/*
 * debug_info.h - functions, lines and inlined frames from debugging information.
 */
#ifndef SYMBOL_DEBUG_INFO_H
#define SYMBOL_DEBUG_INFO_H

#include "elf_image.h"
#include "resolve.h"

/* Fills the frames of those wants (sorted by address) that the image's DWARF
 * knows.  *ret_any: the image has DWARF at all.  0 or -ENOMEM.  Damaged
 * information may crash it (libdw): see debug_child.h. */
int debug_info_read(const struct elf_image *image, struct pool *pool, struct symbol_want *wants,
	size_t n_wants, bool *ret_any);
/* True when there is something to read. */
bool debug_info_exists(const struct elf_image *image);

#endif
