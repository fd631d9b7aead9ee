/*
 * hugetlb.h - pools of huge pages (hugetlbfs), of which a mapping with MAP_HUGETLB
 * reserves its pages before anything else is asked.
 *
 * Sources: Documentation/admin-guide/mm/hugetlbpage.rst, mmap(2),
 * hugetlb_acct_memory in mm/hugetlb.c.
 */
#ifndef COLLECT_HUGETLB_H
#define COLLECT_HUGETLB_H

#include "collect/limit.h"

/* Appends the pool of pages of 2^shift bytes, or of the kernel's default size
 * (MMS_HUGE_DEFAULT), when there is one.  limit: pages that are there and that the
 * kernel may add; usage: those in use or promised; bytes.  root: "" for this
 * machine, or a recorded directory tree.  The path lives until the next call for
 * another size. */
void hugetlb_read(const char *root, unsigned shift, struct limit_points *ret);

#endif
