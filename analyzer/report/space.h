/*
 * space.h - the address space of one process, as the verbs maps and pages
 * show it.
 */
#ifndef REPORT_SPACE_H
#define REPORT_SPACE_H

#include "report/answer.h"
#include "report/json.h"

#define SPACE_PAGE 4096u

struct space_area {
	int64_t id;
	uint64_t start, end;
	char perms[5];
	char *kind, *name; /* never NULL */
	int64_t pgoff;     /* -1: no file */
	int64_t stack_id, born_ns;
	int64_t present;   /* pages; -1: could not be looked at */
	int64_t zero, huge; /* -1: not known */
	uint64_t swapped, touched;
};

/* Columns of mm.sql after the time. */
enum mm_field {
	MM_TOTAL, MM_PEAK, MM_RSS, MM_HIWATER, MM_ANON, MM_FILE, MM_SHMEM, MM_DATA, MM_STACK, MM_EXEC,
	MM_LIBRARY, MM_LOCKED, MM_PINNED, MM_SWAP, MM_PAGE_TABLE, MM_MAP_COUNT, MM_USERS,
	MM_START_CODE, MM_END_CODE, MM_START_DATA, MM_END_DATA, MM_START_BRK, MM_BRK, MM_START_STACK,
	MM_ARG_START, MM_ARG_END, MM_ENV_START, MM_ENV_END, MM_MMAP_BASE, MM_TASK_SIZE, MM_FIELDS
};

struct space {
	const struct answer_process *process;
	struct space_area *area; /* by address */
	size_t n, capacity;
	int64_t look_ns;         /* of the look that this is; -1: none */
	bool from_outside;       /* that look: the process did not tell of itself, so this is not its end */
	int64_t n_looks;
	bool has_mm;
	int64_t mm[MM_FIELDS];   /* -1: not known */
	int64_t checks, differences, left_pages, missed; /* checks -1: not known */
	struct space_hidden {
		char *class;
		int64_t count;
	} *hidden;
	size_t n_hidden, hidden_capacity;
	struct space_touch *touch; /* by area, then time */
	size_t n_touches, touches_capacity;
};

/* A look at which more of an area had been used than before. */
struct space_touch {
	int64_t area, t_ns, pages, touched;
};

/* at_ns -1: at the end.  False: nothing is known of its address space then. */
bool space_load(struct space *s, struct answer *a, const struct answer_process *p, int64_t at_ns);
void space_done(struct space *s);

/* A named look at a running process; false: there is none of this name. */
struct space_snapshot {
	int64_t id;
	const struct answer_process *process;
	int64_t t_ns;
};
bool space_snapshot_find(struct answer *a, const char *name, struct space_snapshot *ret);
/* After space_load at its time: page counts become those of the snapshot;
 * present -1 where it did not look (not writable). */
void space_as_in_snapshot(struct space *s, struct answer *a, const struct space_snapshot *snapshot);

/* Stable id of the site that made an area; "" when no call was seen. */
#define SPACE_ID 32
void space_site(struct answer *a, int64_t stack_id, char ret[SPACE_ID]);

/* Two lines of 80 columns for each part of the address space that is in use:
 * who owns it, and how full it is. */
void space_picture(const struct space *s);

/* What was asked for and how much of it was in memory, look by look up to a
 * moment (-1: all).  As text only where there were two looks or more. */
void space_history_print(struct answer *a, const struct answer_process *p, int64_t at_ns);
/* The touches of one area; *ret_n 0: it never changed. */
const struct space_touch *space_touches(const struct space *s, int64_t area, size_t *ret_n);
/* The areas of which most became real while they were looked at. */
void space_touches_print(const struct space *s);
void space_history_json(struct json *j, struct answer *a, const struct answer_process *p, int64_t at_ns);

#endif
