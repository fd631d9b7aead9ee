/*
 * emit.h - from a wrapper to the ring.
 *
 * Law of this folder: no lock, no allocation, no libc call that may allocate
 * or be interposed, errno untouched; everything may be interrupted by a
 * signal handler that comes back in here, and by fork.
 *
 * A wrapper does:   if (!capture_on()) return next.malloc(n);
 *                   p = next.malloc(n);
 *                   emit_heap(MMS_OP_MALLOC, p, n, capture_stack(fp));
 */
#ifndef CAPTURE_EMIT_H
#define CAPTURE_EMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/record.h>
#include <mmscope/session.h>

#include "base/ours.h"

/* What is recorded now, read by every wrapper: the session's own word, so that
 * the collector's change of it is seen by the next call, or a word of ours that
 * stays MMS_RECORDING_OFF: before a session is joined, and for good when this
 * process's recording ends (dead collector, failed self check). */
OURS extern const _Atomic uint32_t *capture_word;
static inline uint32_t capture_state(void)
{
	return atomic_load_explicit(__atomic_load_n(&capture_word, __ATOMIC_RELAXED), memory_order_relaxed);
}
static inline bool capture_on(void)
{
	return __builtin_expect(capture_state() != MMS_RECORDING_OFF, 1);
}
void capture_stop(void);

/* Called once in the lazy stage of the start, with the mapped session: makes
 * the MADV_WIPEONFORK page, claims the process slot (begin = START, EXEC or
 * SPAWN, decided from the environment mark and parent), enables recording.
 * Raw system calls only.  0 or -errno (then recording stays off). */
int capture_start(const struct mms_session *session);

/* In a child of fork: makes the child's own identity now instead of at its
 * first event (called from the fork wrappers and the atfork handler). Idempotent. */
void capture_forked(void);

/* This process's page faults are counted: those of its records are taken where
 * the kernel does not count them (Linux 5.14). */
void capture_touch_ahead(void);

/* Id of the calling stack (0: none).  fp = __builtin_frame_address(0) of the wrapper. */
uint32_t capture_stack(void *const *fp);

/* One heap event, one 16-byte record (or two slots where it does not fit). */
void emit_heap(enum mms_op op, const void *ptr, size_t size, uint32_t stack);

/* One long record: head + payload + up to two strings.  Total is cut to what
 * a block can hold (strings are shortened, the lengths in the payload are the
 * caller's duty: at most 4096 + 1024 bytes). */
void emit_long(enum mms_long type, uint32_t stack, const void *payload, size_t payload_bytes,
	const void *s1, size_t n1, const void *s2, size_t n2);

/* A record that was to be made and could not be: counted with those that found
 * no room. */
void capture_lost(void);

/* This process's slot; NULL when not recording. */
struct mms_process *capture_process(void);
const struct mms_session *capture_session(void);
uint64_t capture_stamp(void); /* full clock, enum mms_clock of the session */

/* From now on stacks are to be read in this module context (record.h).  Kept
 * here too, not in the slot alone: a child of fork begins with its parent's
 * context, and the parent's slot may be given back by then. */
void capture_set_context(uint32_t context);

/* tid of the thread with this pthread_t; 0: it is not known. */
uint32_t capture_tid_of(uintptr_t thread);

/* The calling thread is about to end: its block is given back soon. Events
 * after it are still recorded. */
void capture_thread_end(void);

#endif
