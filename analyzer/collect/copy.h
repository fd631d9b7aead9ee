/*
 * copy.h - a copy of the memory of a process that stands still, and the roots
 * in it: what reach_classify (model/reach.h) works on.
 */
#ifndef COLLECT_COPY_H
#define COLLECT_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/session.h>

#include <mmscope/pages.h>

#include "collect/freeze.h"
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
	bool guarded; /* right above memory that nobody may touch */
	uint64_t resident; /* bytes */
};

#define COPY_DATA_MAX 4

struct copy {
	struct copy_area *areas; /* writable ones, by address */
	size_t n_areas, areas_room;
	size_t scanned; /* the area whose pages are being listed */
	struct copy_run {
		uint64_t first, n; /* pages */
		enum mms_page_state state;
	} *runs;             /* all but absent ones, by address; none crosses an area's end */
	size_t n_runs, runs_room;
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
	struct copy_span data[COPY_DATA_MAX]; /* the library's */
	size_t n_data;
	struct copy_span own[MMS_OWN_AREAS]; /* our own areas, by the library's table */
	size_t n_own;
	uint8_t *bytes;
	uint64_t size;
	bool no_memory;
	bool in_flight; /* a block is just being moved: where to is not known */
};

/* Our own areas in a process, by the table in these parts of its memory, which are
 * the library's data: at most MMS_OWN_AREAS.  How many; 0: they are not known. */
int copy_own(int proc_fd, const struct copy_span *data, size_t n_data, struct copy_span *ret);

/* Lists the writable areas; proc_fd: /proc/PID.  0 or -errno. */
int copy_list(struct copy *c, int proc_fd);

/* Bytes that a copy may take: half of what the host, and all of what the
 * collector's groups, have left. */
uint64_t copy_headroom(void);

/* Copies what is in memory of all writable areas, listing them when that has
 * not been done.  0, or -errno: -EFBIG when there is no memory for it.
 * copy_done either way. */
int copy_read(struct copy *c, int proc_fd, pid_t pid);

/* A word that counts as a root. */
void copy_word(struct copy *c, uint64_t word);

/* A range that holds no roots. */
void copy_hole(struct copy *c, uint64_t start, uint64_t end);

/* Finds dead stacks; asks /proc which threads live, so the process must still
 * be there.  proc_fd -1: it was seen that but one did.  0 or -ENOMEM. */
int copy_threads(struct copy *c, int proc_fd, const struct model_process *p);

/* The same where all threads stood still: their registers are roots, and what
 * lies below their stack pointers is not.  0 or -ENOMEM. */
int copy_frozen_threads(struct copy *c, const struct freeze *f, const struct model_process *p);

/* Finds the roots.  blocks: sorted by address.  sp: NULL where our own areas
 * in the process are not known.  0 or -ENOMEM. */
int copy_roots(struct copy *c, const struct model_process *p, const struct space *sp,
	const struct reach_block *blocks, size_t n_blocks);

bool copy_is_loader(const struct copy *c, uint64_t pc);

void copy_done(struct copy *c);

#endif
