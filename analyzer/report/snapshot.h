/*
 * snapshot.h - what `mmscope snapshot` shows, between snapshot.c (making and
 * loading) and snapshot_text.c, snapshot_json.c.
 */
#ifndef REPORT_SNAPSHOT_H
#define REPORT_SNAPSHOT_H

#include "report/answer.h"

enum { SNAPSHOT_DEFINITE, SNAPSHOT_INDIRECT, SNAPSHOT_POSSIBLE, SNAPSHOT_REACHABLE, SNAPSHOT_YOUNG, N_SNAPSHOT };
extern const char *const snapshot_words[N_SNAPSHOT];

struct snapshot_row {
	int64_t id;
	char *name, *method, *why, *stacks_why; /* the last two NULL as a rule */
	const struct answer_process *process;   /* NULL: not known */
	uint64_t t_ns, pause_ns, read_ns, scan_ns, scanned_bytes, age_ns, threads;
};

struct snapshot_site {
	const struct capture_stack *stack;
	int verdict;
	uint64_t blocks, bytes, old_blocks, old_bytes; /* old: of the one compared with */
	char id[32], own[16];
};

struct snapshot_area {
	char kind[16];
	uint64_t n, bytes, resident;
	uint64_t old_n, old_bytes, old_resident; /* of the one compared with */
};

struct snapshot_frame {
	int64_t tid, pc, offset; /* offset -1: none */
	bool first;              /* of its thread */
	char *function, *module, *thread; /* NULL: not known */
};

struct snapshot_answer {
	struct answer a;
	struct snapshot_row *row; /* all there are, oldest first */
	size_t n_rows;
	const struct snapshot_row *shown, *against; /* against NULL: alone */
	struct snapshot_site *site; /* lost ones first */
	size_t n_sites;
	struct snapshot_area area[8];
	size_t n_areas;
	struct snapshot_frame *frame;
	size_t n_frames;
	uint64_t blocks[N_SNAPSHOT], bytes[N_SNAPSHOT];
	int64_t limit, frames; /* -1: as usual */
};

void snapshot_text(struct snapshot_answer *s);
void snapshot_json(struct snapshot_answer *s);

#endif
