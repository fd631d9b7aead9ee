/*
 * mm.h - the accounting of one address space, as the kernel keeps it in its
 * mm_struct and prints it in /proc/PID/status and /proc/PID/stat.
 *
 * No allocation, no libc call; raw system calls.  Used by the target for
 * itself and by the collector for others.
 */
#ifndef MIRROR_MM_H
#define MIRROR_MM_H

#include <stddef.h>
#include <stdint.h>

#include <mmscope/record.h>

/* Both fill what they find and leave the rest of *mm alone; the caller clears
 * it first.  proc: descriptor of /proc/PID, or AT_FDCWD with name
 * "/proc/self/status".  0 or -errno. */
int mm_read_status(int proc, const char *name, struct mms_mm *mm);
int mm_read_stat(int proc, const char *name, struct mms_mm *mm);

/* The same from a text that was read already (status). */
void mm_parse_status(const char *text, size_t length, struct mms_mm *mm);

#endif
