/*
 * stack_read.c - a stack as people see it: frames, innermost first.
 *
 * Called by the verbs through capture_stack().  The first call loads the three
 * tables (chains.c); stacks are made when asked for and kept, since lists ask
 * for the same stack again.  The allocator's own frames (operator new,
 * std::allocator) are left out: everybody knows that an allocation allocates;
 * libmmscope's everywhere: the program would not have them without it (a
 * thread is made through its pthread_create).
 */
#include "capture_private.h"

#include "mmscope/files.h"
#include "mmscope/stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct capture_stack empty;

static int load(struct capture *c)
{
	int error = chains_load(c->db, &c->chains);

	if (error) {
		db_failure(c->db, error == -ENOMEM ? SQLITE_NOMEM : sqlite3_errcode(c->db), c->error,
			sizeof(c->error));
		return error;
	}
	c->stacks = calloc(c->chains.n_nodes, sizeof(struct capture_stack *));
	if (!c->stacks)
		return -ENOMEM;
	c->has_chains = true;
	return 0;
}

/* Of a file that was never told (its record was lost) the place is known at least:
 * that is no address of any process. */
static void place_unknown(struct capture_frame *f)
{
	if (f->module || !mms_pc_is_canonical(f->address & MMS_NODE_PC_MASK) || f->address >> 48 != 0xffff)
		return;
	f->module = "[unknown file]";
	f->offset = f->address - mms_pc_extended(mms_file_start(mms_file_of(f->address & MMS_NODE_PC_MASK)));
}

static struct capture_frame frame_as_seen(const struct chain_frame *f, const struct chain_node *node)
{
	struct capture_frame seen = {
		.function = f ? f->function : NULL,
		.file = f ? f->file : NULL,
		.module = f ? f->module : NULL,
		.line = f ? f->line : 0,
		.address = node->pc,
		.offset = f ? (uint64_t)f->offset : node->pc,
		.inlined = f && f->outer,
		.guessed = (node->flags & MMS_NODE_GUESSED) && !(f && f->outer),
	};
	place_unknown(&seen);
	return seen;
}

/* Fills frames (room for `room`, or NULL to count) and returns their number. */
static size_t walk(const struct chains *c, size_t id, struct capture_frame *frames, size_t room,
	struct capture_stack *stack)
{
	bool inner = true;
	size_t n = 0;

	for (size_t steps = 0; id && id < c->n_nodes && steps < CHAIN_MAX && n < room; steps++) {
		const struct chain_node *node = &c->nodes[id];
		const struct chain_frame *f = chain_frame(c, node->frame);

		do {
			inner = inner && f && f->part.allocator;
			if (!inner && (!f || f->part.owner != SITE_MMSCOPE)) {
				if (frames)
					frames[n] = frame_as_seen(f, node);
				n++;
			}
			f = f ? chain_frame(c, f->outer) : NULL;
		} while (f && n < room);
		stack->truncated = node->flags & MMS_NODE_TRUNCATED;
		id = node->parent;
	}
	return n;
}

const struct capture_stack *capture_stack(struct capture *c, int64_t id)
{
	struct capture_stack *stack, counted = {0};

	if (!c->has_chains && load(c) != 0)
		return NULL;
	if (id <= 0 || (size_t)id >= c->chains.n_nodes || !c->chains.nodes[id].pc)
		return &empty;
	if (c->stacks[id])
		return c->stacks[id];
	stack = pool_take(&c->pool, sizeof(*stack));
	if (!stack)
		return NULL;
	*stack = (struct capture_stack){.n = walk(&c->chains, (size_t)id, NULL, CHAIN_MAX, &counted)};
	stack->frames = calloc(stack->n + 1, sizeof(*stack->frames));
	if (!stack->frames)
		return NULL;
	walk(&c->chains, (size_t)id, stack->frames, stack->n, stack);
	c->stacks[id] = stack;
	return stack;
}
