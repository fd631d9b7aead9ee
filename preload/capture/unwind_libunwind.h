/*
 * unwind_libunwind.h - the other engine: unw_backtrace of libunwind.
 *
 * Only when the user asks for it.  It opens two descriptors in the target,
 * takes locks, makes system calls and allocates per thread (UNWIND in the
 * documentation); it is there to compare with.
 */
#ifndef CAPTURE_UNWIND_LIBUNWIND_H
#define CAPTURE_UNWIND_LIBUNWIND_H

#include <stddef.h>

#include "capture/unwind.h"

/* dlopen; from a constructor only.  0, or -ENOENT: it is not installed. */
int libunwind_open(void);

/* As unwind_walk.  Inside guard_enter: it may allocate. */
size_t libunwind_walk(void *const *fp, unwind_frame *frames, size_t max);

#endif
