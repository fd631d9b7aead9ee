/*
 * debug_file.h - where the debugging information of a file is.
 */
#ifndef SYMBOL_DEBUG_FILE_H
#define SYMBOL_DEBUG_FILE_H

#include "elf_image.h"
#include "resolve.h"

/* Opens the separate debug file of `image` (which lies at `path`): by build id
 * or .gnu_debuglink under the debug directories, or from a debuginfod server
 * when the options say so.  Only a file that provably belongs to the image is
 * taken.  False: there is none. */
bool debug_file_open(const char *path, const struct elf_image *image, const uint8_t *build_id,
	size_t build_id_length, const struct symbol_options *options, struct elf_image *ret);

/* The same for a file that is not here: by its build id alone. */
bool debug_file_find(const uint8_t *build_id, size_t length, const struct symbol_options *options,
	struct elf_image *ret);

#endif
