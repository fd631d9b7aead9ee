/*
 * enter.h - the first thing a wrapper asks.
 *
 *	if (!capture_on() && !preload_enter())
 *		return next.malloc(n);
 *
 * preload_enter() runs the first stage of the start in the first wrapped
 * call of the process, whoever makes it, and returns true when recording is
 * on afterwards.  It never waits: a thread that comes while another one is
 * starting, and a call made from inside the start, get false and are passed
 * through.  errno is kept.
 *
 * guard_enter()/guard_leave() bracket our own work that calls functions
 * which may allocate (dlsym, dl_iterate_phdr callbacks, setenv, libunwind):
 * wrappers that find guard_inside() pass through and count the call
 * (mms_process.n_nested).  Not for emit: that may be interrupted by a signal
 * handler whose own allocations are the target's and are recorded.
 * The failure without it: libunwind's first walk mallocs, is walked, mallocs...
 */
#ifndef BASE_ENTER_H
#define BASE_ENTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ours.h"

/* Before the definition of each wrapper: all else is hidden. */
#define WRAPPER __attribute__((visibility("default")))

enum preload_state {
	PRELOAD_COLD = 0,     /* nobody has called us yet */
	PRELOAD_STARTING = 1, /* somebody is in the first stage */
	PRELOAD_READY = 2,    /* next is filled; recording, or passive for ever */
};
OURS extern _Atomic uint32_t preload_state; /* init.c alone writes */
bool preload_start(void);              /* init.c */

static inline bool preload_enter(void)
{
	if (__builtin_expect(atomic_load_explicit(&preload_state, memory_order_acquire) == PRELOAD_READY, 1))
		return false;
	return preload_start();
}

extern __thread uint32_t guard_depth __attribute__((tls_model("initial-exec")));
static inline void guard_enter(void) { guard_depth++; }
static inline void guard_leave(void) { guard_depth--; }
static inline bool guard_inside(void) { return __builtin_expect(guard_depth != 0, 0); }

#endif
