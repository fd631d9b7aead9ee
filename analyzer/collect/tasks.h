/*
 * tasks.h - limits on the number of threads and processes: how many more there
 * may be, and who said no to one more.  Counting those of a user reads all of
 * /proc, so that is done when a thread or a fork was refused, and not before.
 *
 * Sources: setrlimit(2), Documentation/admin-guide/cgroup-v1/pids.rst,
 * cgroup-v2.rst, copy_process in kernel/fork.c.
 */
#ifndef COLLECT_TASKS_H
#define COLLECT_TASKS_H

#include "collect/limit.h"

/* root: "" for this machine, or a recorded directory tree.  Both append what there
 * is.  Of the cgroups and of the machine; cgroup: the text of /proc/PID/cgroup.
 * Paths live until the next call. */
void tasks_read(const char *root, const char *cgroup, struct limit_points *ret);
/* Of the user; folder_fd: /proc/PID. */
void tasks_read_user(const char *root, int folder_fd, struct limit_points *ret);

#endif
