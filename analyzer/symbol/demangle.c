/*
 * demangle.c - C++ and Rust names; the one home of libiberty.
 *
 * Called by resolve.c and debug_info.c.  Names come from files that anybody may
 * have written: the demangler's own limit of recursion stays on, and the
 * result is bounded, since a template name can expand to megabytes.
 */
#include "demangle.h"

#include <stdlib.h>
#include <string.h>

#include <libiberty/demangle.h>

static char *bounded(struct pool *pool, const char *name, size_t length)
{
	char *text;

	if (length <= SYMBOL_NAME_MAX)
		return pool_text_n(pool, name, length);
	text = pool_text_n(pool, name, SYMBOL_NAME_MAX);
	if (text)
		memcpy(text + SYMBOL_NAME_MAX - 3, "...", 3);
	return text;
}

char *symbol_demangle(struct pool *pool, const char *name)
{
	char *plain, *result;
	size_t length;

	/* glibc's second names of its own functions, for calls inside it */
	if (!strncmp(name, "__GI_", 5) && name[5])
		name += 5;
	if (name[0] == '_' && (name[1] == 'Z' || name[1] == 'R') && strlen(name) < 16384) {
		plain = cplus_demangle(name, DMGL_PARAMS | DMGL_ANSI | DMGL_AUTO);
		if (plain) {
			result = bounded(pool, plain, strlen(plain));
			free(plain);
			return result;
		}
	}
	length = strcspn(name, "@");
	return bounded(pool, name, length ? length : strlen(name));
}
