/*
 * answer.h - what every verb that reads a database has in common: opening it,
 * the head of the answer, its processes and what was not seen.
 */
#ifndef REPORT_ANSWER_H
#define REPORT_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report/bounds.h"
#include "report/json.h"
#include "store/capture.h"

struct answer_process {
	int64_t id, pid, parent_id, parent_pid;
	char *exe;   /* path; never NULL, "?" when not known */
	char *name;  /* how it was started, for people: redis-server, though exe is redis-check-rdb */
	char **argv; /* n_argv strings */
	size_t n_argv;
	char *begin, *end; /* words of the schema */
	int64_t begin_ns, end_ns; /* end -1: not known */
	int64_t status;           /* -1: not known */
	uint64_t peak_bytes, peak_ns, live_blocks, live_bytes;
	uint64_t alloc_blocks, alloc_bytes, free_blocks;
	uint64_t inherited_blocks, inherited_bytes, inherited_freed;
	uint64_t unknown_frees, failed_allocs, lost_records;
	int64_t hiwater_rss; /* -1: not known */
	struct sampled sampled; /* of alloc_bytes, live_bytes, peak_bytes */
	bool followed;
	/* Not 0: the sum of so many ended processes of a program ("other programs":
	 * of all that have no sum of their own); pid 0, peaks are the highest of one. */
	uint64_t merged;
};

struct answer_note {
	const struct answer_process *process; /* NULL: the whole capture */
	char *kind, *text;
	int64_t count;
};

struct answer {
	const char *verb;
	struct capture *capture;
	struct answer_process *processes; /* by id */
	size_t n_processes, cap_processes;
	uint64_t n_all; /* processes that there were, merged ones too */
	const struct answer_process *main; /* NULL: no process at all */
	struct answer_note *notes;
	size_t n_notes, cap_notes;
	int64_t duration_ns;
	uint64_t lost_records;
	bool exact;        /* every block was recorded, none estimated */
	uint64_t n_pauses; /* times that heap events were not recorded */
	uint64_t paused_ns; /* in all */
	bool any_followed; /* there is at least one process with heap data */
};

/* Opens and reads the common part.  On failure prints the one line and
 * returns the exit status; 0 when all is well. */
int answer_open(struct answer *a, const char *verb, const char *path);

/* Writes out what stands in stdout, closes; returns the exit status: `status`,
 * or VERB_USAGE after a message when the database or stdout failed. */
int answer_close(struct answer *a, int status);

/* The question cannot be answered: prints why, returns VERB_INCOMPLETE. */
int answer_refuse(struct answer *a, const char *why);

/* Prepared query of this verb; ends the program with the one line when the
 * text does not fit the database. */
struct query *answer_query(struct answer *a, const char *sql);
/* True for a row; false at the end; a damaged file ends the program. */
bool answer_row(struct answer *a, struct query *q);

/* Never NULL: a damaged file ends the program. */
const struct capture_stack *answer_stack(struct answer *a, int64_t id);

const struct answer_process *answer_find(const struct answer *a, int64_t id);
/* The last program that this pid became; NULL: there is none. */
const struct answer_process *answer_last_image(const struct answer *a, int64_t pid);
/* pid 0 stands for all. */
bool answer_has_pid(const struct answer *a, int64_t pid);

/* "schema", "capture", "coverage", in this order. */
void answer_head_json(struct json *j, struct answer *a);
/* The same, to another stream. */
void answer_begin_json(struct json *j, struct answer *a, FILE *out);
/* How a process is called: "bash (1234)", or "1,203 further bash, merged"; to be
 * freed.  base: without the folder. */
char *answer_who(const struct answer_process *p, bool base);
/* The number of processes that it stands for. */
uint64_t answer_processes(const struct answer_process *p);

/* "process": {"pid": .., "exe": ..} */
void answer_process_json(struct json *j, const struct answer_process *p);
/* "stack": [...], innermost first. */
void answer_stack_json(struct json *j, const struct capture_stack *stack);

#endif
