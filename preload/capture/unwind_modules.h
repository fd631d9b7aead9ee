/*
 * unwind_modules.h - which module a code address lies in, and where the
 * unwind data of that module is.
 */
#ifndef CAPTURE_UNWIND_MODULES_H
#define CAPTURE_UNWIND_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/unwind_cfi.h"

/* False: pc lies in no module.  ret->hdr is NULL when the module has no
 * .eh_frame_hdr. */
bool modules_find(uint64_t pc, struct cfi_module *ret);

/* Uses the list of dl_iterate_phdr even where _dl_find_object exists (tests). */
void modules_force_list(bool force);

/* Where the dynamic loader itself is mapped. */
bool modules_loader(uintptr_t *ret_low, size_t *ret_bytes);

/* How often the loader has unloaded something; takes the loader's list lock,
 * which whoever is called from inside dlclose holds already. */
uint64_t modules_unloads(void);

#endif
