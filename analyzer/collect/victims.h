/*
 * victims.h - whom the kernel would kill when a limit is hit.
 */
#ifndef COLLECT_VICTIMS_H
#define COLLECT_VICTIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VICTIMS_MAX 5

struct victim {
	int pid, adjustment;
	char name[16];
	uint64_t badness; /* bytes */
};

/* Ranks the processes of a cgroup folder and below it; folder NULL: all of the
 * machine.  limit: bytes that the adjustment is a share of.  Returns how many
 * of `ret` were filled, the first is the victim.  Those with an adjustment of
 * -1000 are never killed and left out. */
size_t victims_rank(const char *folder, uint64_t limit, struct victim ret[VICTIMS_MAX]);

#endif
