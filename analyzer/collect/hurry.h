/*
 * hurry.h - not to lose the processor in the middle of a question about another
 * process: while the kernel answers it holds that process's mmap_lock, and its
 * threads that map or unmap wait, for as long as others are served before us
 * (31 ms were seen with two busy threads a processor).
 *
 * From begin to end, a fraction of a millisecond, nobody goes first where we
 * may ask for that (CAP_SYS_NICE).  Who may not asks for short turns (Linux
 * 6.12), which come round sooner, and begins each with a sleep.  Called by the
 * collector's main thread.
 */
#ifndef COLLECT_HURRY_H
#define COLLECT_HURRY_H

#include <stdint.h>

struct hurry { /* struct sched_attr of the kernel: how it was; size 0: nothing to bring back */
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

void hurry_begin(struct hurry *before);
void hurry_end(struct hurry *before);
/* For how long questions may follow each other then, without a rest. */
uint64_t hurry_ns(void);
/* Between two questions of many: lets the target's threads go first, and those
 * that wait for the lock, who would lose it to the next question. */
void hurry_rest(struct hurry *before);

#endif
