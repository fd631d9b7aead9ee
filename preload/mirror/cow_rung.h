/*
 * cow_rung.h - what this machine offers to tell which pages are written.
 *
 * No allocation, no lock; raw system calls.
 */
#ifndef MIRROR_COW_RUNG_H
#define MIRROR_COW_RUNG_H

/* A userfaultfd in asynchronous write-protect mode, close-on-exec and above
 * 1000; or -errno. */
int rung_open_uffd(void);

/* Write-protects all pages of this process for the soft-dirty bits.  0 or -errno. */
int rung_clear_soft_dirty(void);

/* Does the kernel keep these bits?  Tried on a page of private memory that is
 * nobody's, and whose bytes are lost: a kernel without them accepts being told
 * to clear them.  Such a kernel is not told.
 * 0; -EOPNOTSUPP: it keeps none; -EILSEQ: they do not follow the writes; -errno. */
int rung_try_soft_dirty(volatile unsigned char *page);

#endif
