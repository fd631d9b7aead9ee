/*
 * exit_status.h - how a process that is not our child ended.
 */
#ifndef COLLECT_EXIT_STATUS_H
#define COLLECT_EXIT_STATUS_H

#include <stdbool.h>

/* Asks the kernel about a process that has ended.  pidfd: opened while it
 * lived (or by SO_PEERPIDFD); proc_fd: /proc/PID, O_PATH.  Either may be -1.
 * 0 and a status as from wait(); -EAGAIN: a zombie that may not be looked at,
 * ask again when its parent has reaped it; -ENODATA: the kernel does not
 * know any more. */
int exit_status(int pidfd, int proc_fd, int *ret_wait_status);

/* The kernel knows it for ever: Linux 6.15. */
bool exit_status_is_kept(void);

/* The code that /proc/PID/stat shows just now, of a process that is ending or a
 * zombie; 0 where it may not be seen; -errno. */
int exit_status_shown(int stat_fd);

/* The pid as this process sees it; -errno. */
int pidfd_pid(int pidfd);

#endif
