/*
 * unwind_modules.h - which module a code address lies in, and where the
 * unwind data of that module is.
 */
#ifndef CAPTURE_UNWIND_MODULES_H
#define CAPTURE_UNWIND_MODULES_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/unwind_cfi.h"

/* False: pc lies in no module.  ret->hdr is NULL when the module has no
 * .eh_frame_hdr. */
bool modules_find(uint64_t pc, struct cfi_module *ret);

/* Uses the list of dl_iterate_phdr even where _dl_find_object exists (tests). */
void modules_force_list(bool force);

#endif
