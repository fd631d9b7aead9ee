/*
 * resolve.h - what an address in a file is: functions, lines, inlined frames.
 *
 * Works on files, never on processes: the recording knows path, build id and
 * bias of every module, and the process is gone.  Reads no database; the rows
 * are made by store/frames.c.
 */
#ifndef SYMBOL_RESOLVE_H
#define SYMBOL_RESOLVE_H

#include "pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbol_options {
	const char *const *debug_dirs; /* further roots of debug files, NULL-ended; or NULL */
	bool debuginfod;               /* may ask the servers in DEBUGINFOD_URLS */
};

/* How much a file told, from little to much; names of module.symbols. */
enum symbol_level {
	SYMBOL_MISSING, /* no such file, or another build of it */
	SYMBOL_NONE,
	SYMBOL_DYNAMIC, /* exported functions only */
	SYMBOL_TABLE,   /* all functions */
	SYMBOL_FULL,    /* functions, lines, inlined frames */
};
const char *symbol_level_word(enum symbol_level level);

struct symbol_frame {
	const char *function; /* demangled; NULL: not known */
	const char *file;
	int line; /* 0: not known */
};

/* One address to be looked up.  Addresses are those in the file (runtime
 * address minus bias); a return address is looked up one byte before. */
struct symbol_want {
	uint64_t address;            /* in: what to look up */
	struct symbol_frame *frames; /* out: innermost inlined function first, the
	                              * real function last */
	size_t n_frames;             /* out: 0: nothing known */
};

struct symbol_module {
	const char *path;
	const uint8_t *build_id;
	size_t build_id_length; /* 0: the recorded file had none */
};

/* Looks up all addresses of one file at once; wants must be sorted by address.
 * Results live in the pool.  0 or -ENOMEM; a file that is not there or damaged
 * is a level, not an error. */
int symbol_resolve(const struct symbol_module *module, const struct symbol_options *options,
	struct pool *pool, struct symbol_want *wants, size_t n_wants, enum symbol_level *ret_level);

#endif
