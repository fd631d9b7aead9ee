/*
 * chains.h - the tables stack, frame and module in memory: for walking many
 * stacks.  Private to store/.
 */
#ifndef STORE_CHAINS_H
#define STORE_CHAINS_H

#include "symbol/pool.h"
#include "symbol/site_id.h"

#include <sqlite3.h>

struct chain_frame {
	const char *function, *file, *module, *kind; /* NULL: not known */
	int64_t line;   /* 0: not known */
	int64_t offset;
	uint32_t outer; /* the frame it was inlined into; 0: none */
	struct site_part part;
};
struct chain_node {
	uint64_t pc;
	uint32_t parent, frame, flags; /* parent, frame 0: none */
};
struct chains {
	struct pool pool;
	struct chain_frame *frames; /* by id */
	size_t n_frames;
	struct chain_node *nodes; /* by id */
	size_t n_nodes;
};

/* 0, -ENOMEM or -EIO (the connection has the error). */
int chains_load(sqlite3 *db, struct chains *ret);
void chains_done(struct chains *c);

/* Frames of one node, innermost first: the next one is frames[outer]. */
static inline const struct chain_frame *chain_frame(const struct chains *c, uint32_t id)
{
	return id && id < c->n_frames ? &c->frames[id] : NULL;
}

#define CHAIN_MAX 16384 /* frames of one stack, inlined ones included */

#endif
