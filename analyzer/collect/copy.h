/*
 * copy.h - a copy of the memory of a process that stands still, and the roots
 * in it: what reach_classify (model/reach.h) works on.
 */
#ifndef COLLECT_COPY_H
#define COLLECT_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collect/space.h"
#include "model/model.h"
#include "model/reach.h"

struct copy_span {
	uint64_t start, end;
};

enum copy_kind { COPY_OTHER, COPY_BRK, COPY_STACK, COPY_LIBC };

struct copy_area {
	uint64_t start, end;
	enum copy_kind kind;
	bool anonymous;
};

struct copy {
	struct copy_area *areas; /* writable ones, by address */
	size_t n_areas, areas_room;
	struct reach_memory *pieces; /* what is in memory of them */
	size_t n_pieces, pieces_room;
	struct copy_span *holes; /* what holds no roots */
	size_t n_holes, holes_room;
	struct reach_root *roots;
	size_t n_roots, roots_room;
	uint64_t *words; /* roots that stand in no memory: registers, blocks of the loader */
	size_t n_words, words_room;
	struct copy_span loader[4]; /* ld.so's code */
	size_t n_loader;
	uint8_t *bytes;
	uint64_t size;
	bool no_memory;
};

/* Copies what is in memory of all writable areas; proc_fd: /proc/PID.  0, or
 * -errno: -EFBIG when the host has no memory for it.  copy_done either way. */
int copy_read(struct copy *c, int proc_fd);

/* A word that counts as a root. */
void copy_word(struct copy *c, uint64_t word);

/* Finds dead stacks; asks /proc which threads live, so the process must still
 * be there.  0 or -ENOMEM. */
int copy_threads(struct copy *c, int proc_fd, const struct model_process *p);

/* Finds the roots.  blocks: sorted by address.  sp: NULL where our own areas
 * in the process are not known.  0 or -ENOMEM. */
int copy_roots(struct copy *c, const struct model_process *p, const struct space *sp,
	const struct reach_block *blocks, size_t n_blocks);

bool copy_is_loader(const struct copy *c, uint64_t pc);

void copy_done(struct copy *c);

#endif
