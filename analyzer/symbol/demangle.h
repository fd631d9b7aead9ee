/*
 * demangle.h - names of the linker as names of the language.
 */
#ifndef SYMBOL_DEMANGLE_H
#define SYMBOL_DEMANGLE_H

#include "pool.h"

#define SYMBOL_NAME_MAX 1024u /* bytes; longer names are cut and end in "..." */

/* The readable form of a linker name (C++, Rust); a name of another language
 * comes back as it is, without a symbol version ("@GLIBC_2.2.5").  NULL: out
 * of memory. */
char *symbol_demangle(struct pool *pool, const char *name);

#endif
