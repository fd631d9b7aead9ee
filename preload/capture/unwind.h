/*
 * unwind.h - the stack of the caller, at every malloc.
 *
 * Engines: `own` (rules read from .eh_frame, no lock, no system call, no
 * allocation, signal-safe) and `libunwind` (only when chosen).
 *
 * The walk starts at a wrapper's own frame: the wrapper is compiled with a
 * frame pointer and passes __builtin_frame_address(0), so that fp[1] is the
 * return address into the caller, fp + 2 the caller's sp and fp[0] its rbp.
 */
#ifndef CAPTURE_UNWIND_H
#define CAPTURE_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One frame as it goes into the stack table: pc in bits 0..47, enum
 * mms_node_flag in 48..63 (stacks.h). */
typedef uint64_t unwind_frame;

struct unwind_thread; /* what an engine keeps per thread */

/* Chooses the engine; called in the lazy stage of the start for `own` (raw
 * system calls only), in the constructor for `libunwind` (dlopen).  Until it
 * is called the engine is `own`, without an audit.  Returns 0 or -errno, and
 * then the engine is `own`. */
int unwind_init(int engine, uint32_t audit_every);

/* Memory for one thread: size in bytes, and set-up of zeroed memory.  Bounds
 * 0, 0: called on the thread itself, which looks for its stack. */
size_t unwind_thread_bytes(void);
void unwind_thread_init(struct unwind_thread *t, uintptr_t stack_low, uintptr_t stack_high);

/* Fills frames[0] (innermost: the return address of the wrapper) .. n-1
 * (outermost) and returns n <= max.  t may be NULL (thread without state):
 * a plain walk.  Never fails: a walk that gives up sets MMS_NODE_TRUNCATED on
 * its last frame. */
size_t unwind_walk(struct unwind_thread *t, void *const *fp, unwind_frame *frames, size_t max);

/* The same walk, joined to a stack that this thread has walked before
 * (unwind_join.h): the whole stack with the cumulative hash of each frame,
 * frame[0] outermost, good until the thread's next walk.  n == 0: this stack
 * is not of that kind (signal frame, very deep, other engine), use
 * unwind_walk.  Not to be called
 * while another call for the same t is under way; when one has been left for
 * good, unwind_abandoned(t) comes first, and unwind_forget(t) when it turns
 * out to have been under way after all. */
struct join_frame;
struct joined {
	struct join_frame *frame;
	uint32_t n;
};
struct joined unwind_joined(struct unwind_thread *t, void *const *fp, uint32_t context);
void unwind_abandoned(struct unwind_thread *t);
void unwind_forget(struct unwind_thread *t);

/* Modules were unloaded: rules are dropped, remembered stacks forgotten.
 * Callable from any thread at any time.  It must be called before code runs
 * that was loaded where other code was: the loader frees its description of
 * an unloaded module through the interposed free(), which is the sign. */
void unwind_invalidate(void);

/* This process is about to fork.  quiet: it maps nothing (a filter may forbid it). */
void unwind_forking(bool quiet);

/* Counters since init.  Audits are counted in the process's slot as well. */
struct unwind_counters {
	uint64_t n_audited, n_audit_failed;
	uint64_t n_rules; /* learnt */
	uint64_t n_invalidated;
};
void unwind_counters(struct unwind_counters *ret);

#endif
