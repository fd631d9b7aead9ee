/*
 * stack_rows.c - the chains of the session's stack table as rows of `stack`.
 *
 * A chain is written when something refers to it, its nodes outermost first
 * and each once: a node that is already there ends the walk.  The root node is
 * no row; its context stands in every row of the chain.
 *
 * Called by rows.c and sites.c inside a flush.  The session is written by
 * targets: a cycle or a broken parent in it must not hang or crash us, so the
 * walk is bounded and such a chain is cut where it breaks.
 */
#include "store.h"

#include "mmscope/files.h"
#include "mmscope/stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool session_node(const void *arg, uint32_t id, struct stack_node *ret)
{
	const struct mms_node *node = id ? mms_node(arg, id) : NULL;
	uint64_t w0, w1;

	if (!node)
		return false;
	w0 = atomic_load_explicit(&node->w0, memory_order_relaxed);
	w1 = atomic_load_explicit(&node->w1, memory_order_relaxed);
	if (!w0)
		return false;
	ret->pc = mms_node_pc(w0);
	ret->flags = mms_node_flags(w0);
	ret->parent = mms_node_parent(w1);
	return true;
}

struct stack_source stack_source_session(const struct mms_session *session)
{
	return (struct stack_source){session_node, session};
}

static int make_room(struct store *s, uint32_t id)
{
	uint32_t room = id + id / 2 + 1024;

	if (id < s->n_depth)
		return 0;
	uint16_t *depth = realloc(s->depth, room * sizeof(*depth));
	if (!depth)
		return store_no_memory(s);
	s->depth = depth;
	uint32_t *context = realloc(s->context, room * sizeof(*context));
	if (!context)
		return store_no_memory(s);
	s->context = context;
	memset(depth + s->n_depth, 0, (room - s->n_depth) * sizeof(*depth));
	s->n_depth = room;
	return 0;
}

static int write_node(struct store *s, uint32_t id, const struct stack_node *node, uint32_t parent,
	uint32_t context, uint32_t depth)
{
	struct row r = row_of(store_statement(s, ST_STACK));
	int error = make_room(s, id);

	if (error)
		return error;
	row_int(&r, id);
	row_maybe(&r, parent != 0, parent);
	row_int(&r, mms_pc_extended(node->pc));
	row_int(&r, context);
	row_int(&r, depth);
	row_int(&r, node->flags & (MMS_NODE_GUESSED | MMS_NODE_TRUNCATED | MMS_NODE_EXACT_PC));
	error = store_run(s, &r);
	s->depth[id] = error ? 0 : (uint16_t)depth;
	s->context[id] = context;
	return error;
}

int store_write_stack(struct store *s, uint32_t id, const struct stack_source *stacks)
{
	static uint32_t ids[MMS_STACK_MAX_DEPTH];
	static struct stack_node nodes[MMS_STACK_MAX_DEPTH];
	uint32_t n = 0, parent = 0, context = 0, depth = 0;
	int error = 0;

	while (id && n < MMS_STACK_MAX_DEPTH) {
		if (id < s->n_depth && s->depth[id]) {
			parent = id;
			depth = s->depth[id];
			context = s->context[id];
			break;
		}
		if (!stacks->node(stacks->arg, id, &nodes[n]))
			break;
		if (nodes[n].flags & MMS_NODE_ROOT) {
			context = (uint32_t)nodes[n].pc;
			break;
		}
		ids[n] = id;
		id = nodes[n++].parent;
	}
	while (!error && n--) {
		error = write_node(s, ids[n], &nodes[n], parent, context, ++depth);
		parent = ids[n];
	}
	return error;
}
