/*
 * stacks.h - the interned stacks of a session: one table for all processes.
 *
 * A node is (parent, pc): a stack is the chain from its innermost node to a
 * root node, whose pc field holds the module context (record.h) in which all
 * pcs of the chain are to be read.  The root makes equal addresses of
 * different images different stacks.  Nodes are written once and never
 * change; ids are stable for the session; id 0 is "no stack".
 *
 * Under the root of MMS_CONTEXT_COMMON the pcs are canonical (files.h), so that
 * the same program, executed again, adds no stacks.
 *
 * Node (16 bytes):  w0 = pc:48 | flags:16     w1 = parent:24 | hash:40
 * `hash` is the high part of the cumulative 64-bit hash of the chain, root
 * first (mms_stack_hash), so a whole known stack is found by one look-up.
 *
 * Index: segments of 16-slot buckets.  A slot is a node id with 8 bits of the
 * node's hash above it (mms_index_slot), so that a bucket is read without
 * touching sixteen nodes.  Segment 0 lies in cell 0 (4,096 slots); segment k
 * (1..4) has 4^k cells of 16,384 slots; the bucket is chosen by the low bits
 * of the full hash.
 * A bucket fills from its first slot and is never emptied.  A look-up reads the
 * bucket of segment 0; when it is full and has no match, that of segment 1;
 * and so on.  An insert writes its node first and then takes the first empty
 * slot by CAS (release); a loser looks at what the winner wrote.
 * The collector keeps the next segment and the next node cell ready ahead.
 */
#ifndef MMSCOPE_STACKS_H
#define MMSCOPE_STACKS_H

#include "session.h"

#define MMS_NODES_PER_CELL (MMS_CELL_SIZE / 16u) /* 4096 */
#define MMS_INDEX_SLOTS_PER_CELL (MMS_CELL_SIZE / 4u)
#define MMS_INDEX_BUCKET 16u
#define MMS_INDEX_SEGMENTS 5u
#define MMS_STACK_MAX_DEPTH 8192u

struct mms_node {
	_Atomic uint64_t w0;
	_Atomic uint64_t w1;
};
_Static_assert(sizeof(struct mms_node) == 16, "stack node");

enum mms_node_flag {
	MMS_NODE_ROOT = 1,      /* pc = module context, parent = 0 */
	MMS_NODE_GUESSED = 2,   /* the step TO this frame (from its callee) was a guess */
	MMS_NODE_TRUNCATED = 4, /* outermost frame of a stack that was cut or gave up */
	MMS_NODE_EXACT_PC = 8,  /* interrupted pc (signal frame): look it up without -1 */
};

static inline struct mms_node *mms_node(const struct mms_session *s, uint32_t id)
{
	uint32_t dir = id / MMS_NODES_PER_CELL;
	if (dir >= atomic_load_explicit(&s->header->n_node_cells, memory_order_acquire))
		return NULL;
	uint32_t cell = s->cell0->node_cell[dir];
	if (cell >= s->n_cells_mapped)
		return NULL;
	return (struct mms_node *)(void *)mms_cell(s, cell) + id % MMS_NODES_PER_CELL;
}

#define MMS_NODE_PC_MASK 0xffffffffffffull
static inline uint64_t mms_node_pc(uint64_t w0) { return w0 & MMS_NODE_PC_MASK; }
static inline uint32_t mms_node_flags(uint64_t w0) { return (uint32_t)(w0 >> 48); }
static inline uint32_t mms_node_parent(uint64_t w1) { return (uint32_t)(w1 >> 40); }
static inline uint64_t mms_node_hash(uint64_t w1) { return w1 & 0xffffffffffull; }

/* The words of a node, and its slot in the index; `hash` is the full hash. */
static inline uint64_t mms_node_w1(uint32_t parent, uint64_t hash)
{
	return (uint64_t)parent << 40 | hash >> 24;
}
static inline uint32_t mms_index_slot(uint32_t id, uint64_t hash)
{
	return id | (uint32_t)(hash >> 56) << 24;
}

/* Cumulative hash: start with mms_stack_hash(0, context), then one call per
 * frame from the outermost inward.  `key` is the frame's w0. */
static inline uint64_t mms_stack_hash(uint64_t hash, uint64_t key)
{
	uint64_t h = (hash ^ key) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

#endif
