/*
 * unwind_full.h - the walk that follows all registers.
 *
 * Uses no cache and no rule table, so it is also what the audit compares
 * with.  It goes through signal frames and through code whose frame is found
 * by an expression or by another register than rsp and rbp.
 */
#ifndef CAPTURE_UNWIND_FULL_H
#define CAPTURE_UNWIND_FULL_H

#include <stddef.h>
#include <stdint.h>

#include "capture/unwind.h"
#include "capture/unwind_reach.h"

/* As unwind_walk: frames[0] is the return address of the wrapper whose frame
 * pointer is fp.  Takes the registers where it stands and leaves our own
 * frames by our own unwind data. */
size_t full_walk(struct reach *reach, void *const *fp, unwind_frame *frames, size_t max);

#endif
