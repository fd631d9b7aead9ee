/*
 * mirror.h - the address space of this process, as the kernel has it.
 *
 * A tree of areas (vma_tree.h) that the wrapped calls keep, brought into line
 * with /proc/self/maps at every look: libc's own calls pass no wrapper.
 *
 * It starts at the first call that changes the address space, or at the first
 * look: a process that does neither pays nothing.
 *
 * THE LAW.  One lock, tried and never waited for longer than a few
 * microseconds: who does not get it counts a missed call, and the next look
 * puts it right.  It is never held over a fork by the thread that forks; a
 * child that finds it held by another thread forgets the tree and reads it
 * anew.  A signal handler that finds its own thread inside misses its call.
 *
 * Makes system calls (open, read, ioctl): the caller sees to it that no
 * system call filter is in force.
 */
#ifndef MIRROR_MIRROR_H
#define MIRROR_MIRROR_H

#include <mmscope/record.h>

#include "mirror/vma_tree.h"

/* Calls that succeeded; lengths in bytes, rounded up to pages here. */
void mirror_map(const struct vma *area);
void mirror_unmap(uintptr_t start, size_t length);
void mirror_protect(uintptr_t start, size_t length, unsigned prot);
void mirror_flags(uintptr_t start, size_t length, unsigned set, unsigned clear);
void mirror_move(uintptr_t old, size_t old_length, const struct vma *area, bool keep);
void mirror_brk(uintptr_t old, uintptr_t end, uint32_t stack, uint64_t stamp);

/* In the child of a fork, before anything else of this file. */
void mirror_forked(void);

/* The area that holds the address, copied; false: not known. */
bool mirror_find(uintptr_t address, struct vma *ret);
/* The area that has most of [start, end), copied: the kernel joins neighbours that
 * look alike, whoever made them.  *steps: as in vma_tree_find_longest().  False: none
 * is known. */
bool mirror_find_most(uintptr_t start, uintptr_t end, size_t *steps, struct vma *ret);

/* Who is told what a look sees.  May not call back in here. */
struct mirror_sink {
	void *arg;
	/* States of pages (pages.h) from page `first` on. */
	void (*pages)(void *arg, uint64_t first, const uint8_t *bytes, size_t n);
	/* name: name_length bytes; states: states_bytes, from states_from on. */
	void (*area)(void *arg, const struct mms_area *area, const char *name, const uint8_t *states);
};

/* Compares with the kernel, looks at the pages of all areas, tells them, and
 * fills in *ret (look, flags and cost are the caller's).  0; -EBUSY: the lock
 * was not to be had; -ENOMEM; -errno of /proc/self/maps. */
int mirror_look(const struct mirror_sink *sink, struct mms_space *ret);

#endif
