/*
 * process.h - what the wrappers of fork, exec and exit share, and what
 * init.c needs of them.
 */
#ifndef WRAP_PROCESS_H
#define WRAP_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include <mmscope/record.h>
#include <mmscope/session.h>

enum process_exit { PROCESS_EXIT = 0, PROCESS_UNDERSCORE = 1, PROCESS_QUICK = 2 }; /* mms_exit.how */

/* First stage: next is filled. */
void process_prepare(void);

/* Constructor: fork handlers for what no wrapper sees (daemon, forkpty). */
void process_register(void);

/* Stores how this process ends.  Nothing happens in a child that shares our
 * memory (vfork): its end is not ours. */
void process_last_word(int status, uint32_t how);

/* Before the last word: the address space as it is, and the high-water mark
 * into the slot. */
void process_look(enum mms_look look);

/* Stands still until the collector has read our memory; state: enum mms_reach,
 * what for.  At most 2 s until it begins (COMPARE: 10), 60 s until it is done. */
void process_be_read(struct mms_process *p, uint32_t state);

/* True when the caller is the process that its slot describes; false in a
 * vfork child, when nothing is recorded, and when it cannot be told because a
 * system call filter is in force. */
bool process_is_own(void);

/* A filter for system calls is about to be switched on. */
void process_filtered(bool strict);

#endif
