/*
 * origin.h - why an area exists, judged by its line in /proc/PID/maps and the
 * line before it.  Used in the target and by the collector.
 */
#ifndef MIRROR_ORIGIN_H
#define MIRROR_ORIGIN_H

#include <mmscope/record.h>

#include "mirror/proc_maps.h"
#include "mirror/vma_tree.h"

struct origin_walk {
	uintptr_t exe, loader; /* an address in each; 0: not known */
	/* Kept from line to line; zero before the first. */
	uint64_t exe_inode, loader_inode;
	uint32_t exe_device, loader_device;
	uintptr_t end, start; /* of the line before */
	uint8_t prot, origin;
	bool anonymous, shared;
};

/* Judges the next line, in the order of addresses. */
enum vma_origin origin_next(struct origin_walk *w, const struct proc_map *map);

/* The class of an area of this origin that appeared without a call of ours. */
enum mms_hidden origin_hidden(enum vma_origin origin, uintptr_t start, unsigned prot);

/* Was it there when the program was executed? */
bool origin_by_exec(enum vma_origin origin);

#endif
