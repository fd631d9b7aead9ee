/*
 * mappings.h - areas that were mapped by a wrapped call and never unmapped.
 *
 * The wrapped calls of each process are replayed in order: mmap and shmat
 * add, munmap and shmdt take away (parts too), mremap moves, MAP_FIXED
 * replaces.  A forked child starts with its parent's areas, which stay the
 * parent's in the answer; a new image starts with none.  What libc maps for
 * itself passes no wrapper and is not here (GOOD_GUEST 20).
 */
#ifndef REPORT_MAPPINGS_H
#define REPORT_MAPPINGS_H

#include "report/answer.h"

struct mapping {
	const struct answer_process *process;
	const struct capture_stack *stack;
	char id[32]; /* stable id of the stack; "" when it has none */
	int64_t stack_id;
	uint64_t areas, bytes;
	int64_t touched_bytes; /* -1: the pages of these areas were not looked at */
};

struct mappings {
	struct mapping *mapping; /* by process, then bytes */
	size_t n, capacity;
	uint64_t areas, bytes;
};

void mappings_load(struct mappings *m, struct answer *a, int64_t pid);
void mappings_done(struct mappings *m);

#endif
