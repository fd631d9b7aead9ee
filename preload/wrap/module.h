/*
 * module.h - which modules are loaded, told to the collector.
 *
 * A wrapper that has its frame pointer at hand calls module_note(fp) first:
 * the loader allocates through us when it loads, and frees through us after
 * it has unmapped, so an allocation made BY the loader is the sign that the
 * list may have changed.  One compare in ordinary running.
 */
#ifndef WRAP_MODULE_H
#define WRAP_MODULE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ours.h"

struct module_watch {
	uintptr_t loader;      /* ld.so's own text; written with the first list */
	size_t loader_bytes;
	_Atomic uint32_t stir; /* 1: the loader has been at work */
};
OURS extern struct module_watch module_watch;

/* Compares the loader's counters with what was told, tells what is new; when
 * something was unloaded: a new module context, all rules forgotten.  The
 * constructor calls it for the first list.  False: not now. */
bool module_check(void);

/* The loader frees what belonged to a module that is gone: the rules for its
 * addresses must not outlive this call. */
void module_loader_called(bool is_free);

static inline void module_note(void *const *fp, bool is_free)
{
	uintptr_t pc = (uintptr_t)fp[1];
	if (__builtin_expect(pc - module_watch.loader < module_watch.loader_bytes, 0))
		module_loader_called(is_free);
	else if (__builtin_expect(atomic_load_explicit(&module_watch.stir, memory_order_relaxed) != 0, 0))
		module_check();
}

#endif
