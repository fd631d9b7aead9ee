/*
 * doorbell.h - the call that tells the collector of a process.
 *
 * Whoever claims a process slot rings: the join of a new image and the first
 * event after any kind of fork (capture/).  From then on the collector holds
 * a pidfd, so that the exit status is known however short the life was.
 */
#ifndef BASE_DOORBELL_H
#define BASE_DOORBELL_H

#include <stdbool.h>
#include <stdint.h>

#include <mmscope/session.h>

/* 14 us.  Never waits, keeps errno; nothing happens after doorbell_silence(). */
void doorbell_ring(const struct mms_session *s, uint32_t slot, uint32_t begin, uint64_t number);

/* For good, inherited by forked children: a system call filter was switched
 * on, and a filter that kills would make us the cause of death. */
void doorbell_silence(void);
bool doorbell_is_silent(void);

/* It is not rung any more; all other system calls go on.  For an image that
 * was executed under a filter: what libc itself calls is allowed there. */
void doorbell_mute(void);

#endif
