/*
 * debts.h - memory that was promised and can be called in without a further
 * call, as far as /proc/PID/maps and pagemap tell.
 */
#ifndef COLLECT_DEBTS_H
#define COLLECT_DEBTS_H

#include <stdbool.h>
#include <stdint.h>

struct debts {
	uint64_t stack;        /* thread stacks: mapped and not touched */
	uint64_t shared_small; /* anonymous pages of 4 KiB shared with another process */
	uint64_t shared_huge;  /* the same in huge pages */
	uint64_t n_stacks;
	uint64_t cost_ns;
};

/* folder_fd: /proc/PID.  shared: also look for shared pages, 40 ns a present
 * page; stacks alone cost as much as the text of maps.  False: not allowed,
 * or the process is gone. */
bool debts_look(int folder_fd, bool shared, struct debts *ret);

#endif
