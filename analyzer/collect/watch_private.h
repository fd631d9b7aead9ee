/*
 * watch_private.h - what the files of watch share.
 *
 *   watch.c         bells and pidfds: who came, who went
 *   watch_missed.c  those that were not heard
 *   watch_apply.c   into the model
 */
#ifndef COLLECT_WATCH_PRIVATE_H
#define COLLECT_WATCH_PRIVATE_H

#include "collect/watch.h"

/* Closes what is open and sets it to -1. */
void watch_close_fd(int *fd);
/* Inode of a pidfd, the identity of a process; 0: the kernel gives none. */
uint64_t watch_pidfd_id(int pidfd);
/* Makes a process and watches its pidfd; takes the descriptors.  NULL: no
 * memory, and the descriptors are closed. */
struct watch_process *watch_process_new(struct watch *w, pid_t pid, int pidfd, int proc_fd, uint64_t now_ns);
/* The process that has this pid and, where that can be told, this identity. */
struct watch_process *watch_process_find(struct watch *w, pid_t pid, uint64_t id);
/* NULL: no such number was given out. */
struct watch_image *watch_image_at(struct watch *w, uint64_t number);
void watch_image_begins(struct watch *w, struct watch_process *p, uint64_t number, uint32_t slot,
	uint32_t begin, uint64_t now_ns);
void watch_image_gone(struct watch *w, uint64_t number, uint64_t now_ns);
/* The process has ended: so has its newest image. */
void watch_process_over(struct watch *w, struct watch_process *p);

/* One look at slots and fork records. */
void watch_missed(struct watch *w, uint64_t now_ns);

/* watch_missed.c: images that were looked for and are over by now. */
void watch_missed_over(struct watch *w, uint64_t now_ns);

#endif
