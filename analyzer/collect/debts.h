/*
 * debts.h - memory that was promised and can be called in without a further
 * call, as far as /proc/PID/maps and pagemap tell.
 */
#ifndef COLLECT_DEBTS_H
#define COLLECT_DEBTS_H

#include <stdbool.h>
#include <stdint.h>

#include "mirror/vma_tree.h"

struct debts {
	uint64_t stack;        /* thread stacks: mapped and not touched */
	uint64_t shared_small; /* anonymous pages of 4 KiB shared with another process */
	uint64_t shared_huge;  /* the same in huge pages */
	uint64_t n_stacks;
	uint64_t cost_ns;
};

struct debts_ask {
	int folder_fd; /* /proc/PID */
	bool shared;   /* also look for shared pages, 40 ns a present page; stacks alone
	                * cost as much as the text of maps */
	uint64_t stack_most;      /* bytes of a thread's stack */
	struct vma_tree *owners;  /* what the program mapped itself: no part of a stack
	                           * of libc's, though the kernel may show one area; or NULL */
};

/* False: not allowed, or the process is gone. */
bool debts_look(const struct debts_ask *ask, struct debts *ret);

#endif
