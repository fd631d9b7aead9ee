/*
 * site_id.h - the stable id of a stack, its title, and whose it is.
 *
 * The id is a 64-bit hash of function names, base names of modules and base
 * names of source files of all frames: no addresses, lines, directories,
 * compiler suffixes (.constprop, .cold, ...) or version numbers of libraries.
 * So it survives a rebuild, and an edit that only moves lines.  A frame that
 * has no name (a stripped library) counts with its offset in the file: all
 * places of that library would be one otherwise.  Left out are
 * the allocator's own frames at the inner end, libmmscope's everywhere (whoever
 * puts the frames together leaves them out) and, at the outer end, what
 * libc and the loader run before main or a thread's function: they depend on
 * the system, not on the program.
 */
#ifndef SYMBOL_SITE_ID_H
#define SYMBOL_SITE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct site_frame {
	const char *function; /* NULL: not known */
	const char *file;     /* or NULL */
	const char *module;   /* path or NULL */
	uint64_t offset;      /* in the module's file; used when there is no name */
	const char *kind;     /* of the module: exe, library, loader, mmscope, ...; or NULL */
};

/* What of one frame goes into ids; computed once per frame. */
struct site_part {
	uint64_t hash;
	bool allocator; /* mmscope's or a plain wrapper of malloc */
	bool system;    /* libc, loader, _start */
	uint8_t owner;  /* enum site_owner */
};
enum site_owner { SITE_TARGET, SITE_LOADER, SITE_LIBC, SITE_LIBSTDCXX, SITE_MMSCOPE };
const char *site_owner_word(enum site_owner owner);

struct site_part site_part(const struct site_frame *frame);
/* Frames innermost first. */
uint64_t site_hash(const struct site_part *parts, size_t n);
/* The loader's and mmscope's own where the innermost frame that is not the
 * allocator's lies there; libc's and the C++ library's where in addition no
 * frame of the stack is the target's: what strdup or a std::string allocates
 * for the target is the target's. */
enum site_owner site_owner(const struct site_part *parts, size_t n);
/* First frame that is not the allocator's; 0 when all are. */
size_t site_first(const struct site_part *parts, size_t n);

#endif
