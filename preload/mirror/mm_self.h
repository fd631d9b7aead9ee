/*
 * mm_self.h - mm.h for the process that asks, which may have other threads:
 * their descriptors are not touched.  Target only.
 */
#ifndef MIRROR_MM_SELF_H
#define MIRROR_MM_SELF_H

#include <stdbool.h>
#include <stdint.h>

#include <mmscope/record.h>

/* What /proc/self/status says and, if asked, /proc/self/stat; what cannot be
 * read is left alone. */
void mm_read_self(struct mms_mm *mm, bool stat);

/* VmHWM of this process in bytes; 0: not known.  forked: it has executed nothing
 * since it was forked, so getrusage says the same and is one call; of a process
 * that has, the kernel counts the earlier images as well. */
uint64_t mm_hiwater(bool forked);

#endif
