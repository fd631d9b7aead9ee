/*
 * tasks.h - limits on the number of threads and processes: who said no to one
 * more.  Counting those of a user reads all of /proc, so they are looked at
 * when a thread or a fork was refused, and not before.
 *
 * Sources: setrlimit(2), Documentation/admin-guide/cgroup-v1/pids.rst,
 * cgroup-v2.rst, copy_process in kernel/fork.c.
 */
#ifndef COLLECT_TASKS_H
#define COLLECT_TASKS_H

#include "collect/limit.h"

/* folder_fd: /proc/PID; cgroup: its text of /proc/PID/cgroup.  Appends what
 * there is; paths live until the next call. */
void tasks_read(int folder_fd, const char *cgroup, struct limit_points *ret);

#endif
