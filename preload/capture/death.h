/*
 * death.h - the kernel's notice of a thread's death.
 *
 * The thread holds a robust mutex in the session file for its whole life;
 * when it ends, in whatever way, the kernel sets FUTEX_OWNER_DIED in the
 * mutex's first word.
 */
#ifndef CAPTURE_DEATH_H
#define CAPTURE_DEATH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Makes the calling thread the holder of m.  All signals are blocked.  False:
 * not possible (a child of raw clone has no robust list) or not now. */
bool death_register(pthread_mutex_t *m, uint32_t tid);

/* The holder of m is dead. */
bool death_is_marked(const pthread_mutex_t *m);

#endif
