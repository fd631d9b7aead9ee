/*
 * top.h - what the files of `mmscope top` share: top.c has the verb and the
 * terminal, top_load.c reads a moment, top_write.c says it.
 */
#ifndef REPORT_TOP_H
#define REPORT_TOP_H

#include "report/answer.h"

enum top_order { TOP_BY_RATE, TOP_BY_LIVE, TOP_BY_ALLOCS, TOP_BY_PEAK };
#define TOP_ORDERS "rate|live|allocs|peak"

/* A process (stack_id 0) or a site at one moment. */
struct top_row {
	int64_t process_id, stack_id, pid;
	uint64_t live_blocks, live_bytes, alloc_blocks, peak_bytes;
	int64_t rss;             /* of a process; -1: not known */
	uint64_t merged;         /* not 0: the sum of so many ended processes */
	char *exe, *end;         /* of a process; NULL for a site */
	double rate, allocs;     /* live bytes and allocations a second since the moment before */
};

struct top_moment {
	bool read;
	enum capture_state state;
	int64_t t_ns; /* of the flush that this is */
	uint64_t n_processes, n_running, live_bytes, live_blocks, alloc_blocks, alloc_bytes, lost_records;
	struct top_row *process, *site;
	size_t n_process, process_capacity, n_site, site_capacity;
	double span_s; /* since the moment before; 0: rates are not known */
	double rate, allocs;
};

struct top {
	const char *path;
	struct answer names; /* for the frames of stacks, and the head of the JSON */
	int64_t names_ns, names_cost_ns; /* when it was opened, how long that took */
	int64_t limit; /* sites; -1: as many as fit */
	int order;
	struct top_moment now;
};

/* Reads a new moment into t->now and rates against the one before; false with
 * the reason: it keeps what it had. */
bool top_load(struct top *t, char *reason, size_t room);
void top_sort(struct top *t);
void top_done(struct top_moment *m);
/* Frames of a site; opens the recording again for stacks that are new, but
 * spends no more than a twentieth of the time on that. */
const struct capture_stack *top_stack(struct top *t, int64_t stack_id);
int64_t top_clock_ns(void);

/* rows: lines of the screen, 0: no screen. */
void top_text(struct top *t, size_t rows, const char *below);
void top_json(struct top *t);

#endif
