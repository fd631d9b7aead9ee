/*
 * packed.h - a file whose debugging information is compressed, unpacked as far
 * as it is read.
 */
#ifndef SYMBOL_PACKED_H
#define SYMBOL_PACKED_H

#include "elf_image.h"

/* An image of the file's DWARF in which no section is compressed.  False: the
 * file is not of that kind, and is read as it is.  Once in a process, which ends
 * with it: SIGSEGV is ours from here on. */
bool packed_open(const struct elf_image *image, struct elf_image *ret);

#endif
