/*
 * deaths.h - how processes end that nobody will tell us of, read while they end.
 *
 * Before Linux 6.15 the kernel tells how a process ended only until its parent
 * has waited for it.  The first thread's robust mutex is marked earlier, before
 * the kernel takes the memory down: a thread of ours sleeps on these marks.
 *
 *	signal . exit code set . mutex marked, we wake . memory freed . zombie . reaped
 *	                                       |--------- /proc/PID/stat ------|
 *
 * Only ends by a signal are believed: a first thread that left alone is shown
 * with a code of its own.  Called by watch.c, in the main thread.
 */
#ifndef COLLECT_DEATHS_H
#define COLLECT_DEATHS_H

#include <stdint.h>

#define DEATHS_MAX 127u /* at once: futex_waitv takes 128 */

struct deaths;

/* 0; -ENOSYS before Linux 5.16; -errno. */
int deaths_open(struct deaths **ret);
void deaths_close(struct deaths *d);

/* word: of the mutex that this thread holds; stat_fd: /proc/PID/stat, which is
 * taken.  A place for the calls below; 0: there are too many. */
uint32_t deaths_watch(struct deaths *d, uint32_t *word, uint32_t tid, int stat_fd);

/* What is known by now, as from wait(); -1: nothing.  Gives the place back. */
int deaths_take(struct deaths *d, uint32_t place);

#endif
