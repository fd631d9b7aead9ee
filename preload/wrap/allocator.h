/*
 * allocator.h - how the program's allocator keeps its free memory.
 */
#ifndef WRAP_ALLOCATOR_H
#define WRAP_ALLOCATOR_H

#include <stdint.h>

/* At the end of the process: asks the allocator and tells the answer, or why
 * there is none.  anonymous_bytes: in memory; of little nothing is asked, and
 * of very much the question would take too long. */
void allocator_tell(uint64_t anonymous_bytes);

#endif
