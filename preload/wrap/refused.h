/*
 * refused.h - memory, or a thread, that was not given.
 */
#ifndef WRAP_REFUSED_H
#define WRAP_REFUSED_H

#include <stdint.h>

#include <mmscope/record.h>

/* Tells it, with what this process may have and what it has: a collector that
 * looks later finds less, or nobody.  Keeps errno; asks the kernel at most once in
 * 10 ms. */
void refused_tell(const struct mms_heap_fail *fail, uint32_t stack);

#endif
