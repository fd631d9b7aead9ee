/*
 * blocks.h - the blocks of a process at one moment, as reach_classify wants them.
 */
#ifndef COLLECT_BLOCKS_H
#define COLLECT_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collect/copy.h"
#include "model/model.h"
#include "model/reach.h"
#include "store/writer.h"

struct birth {
	uint64_t address, t_ns;
	uint32_t stack; /* 0: not known, or the parent's block */
};

struct blocks {
	struct reach_block *block; /* by address, not overlapping */
	struct birth *birth;       /* beside block */
	size_t n, room;
	struct copy *copy;
	const struct model *model;
	const struct stack_source *stacks;
	bool no_memory;
};

/* The live blocks of the process, its parent's that it still has included.
 * Those of the loader become roots of the copy, and what an allocator mapped
 * becomes a hole.  owners: who mapped what; NULL: not known.  0 or -ENOMEM;
 * blocks_done either way. */
int blocks_list(struct blocks *b, const struct model *m, const struct model_process *p, struct copy *c,
	const struct stack_source *stacks, struct vma_tree *owners);
void blocks_done(struct blocks *b);

#endif
