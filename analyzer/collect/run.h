/*
 * run.h - the parts of `mmscope run`.
 */
#ifndef COLLECT_RUN_H
#define COLLECT_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <mmscope/session.h>

struct run_options {
	const char *output; /* NULL: mmscope.<exe>.<pid>.db */
	bool wait, summary;
	bool record_events, any_uid;
	uint32_t cow;       /* enum mms_cow */
	uint32_t follow;    /* enum mms_follow */
	const char *follow_glob;
	uint32_t policy;    /* enum mms_policy */
	uint32_t engine;    /* enum mms_engine */
	uint32_t audit_every;
	bool no_reach;
	uint32_t mode;      /* enum mms_mode */
	uint64_t sample_bytes; /* 0: default */
	uint32_t duration_s;   /* 0: to the end */
	uint32_t processes_max; /* 0: as many as usual */
	uint32_t workers;   /* 0: as many as needed */
	uint64_t ring_bytes;
	char **command;     /* NULL-ended */
};

enum run_parse { RUN_PARSED, RUN_HELP, RUN_WRONG };

/* Prints the help, or one line about what is wrong. */
enum run_parse run_options_parse(int argc, char **argv, struct run_options *ret);

/* A size as people write it: 4096, 64K, 32M, 1G.  False: it is none. */
bool run_parse_size(const char *text, uint64_t *ret);

/* The absolute path of the database of process pid, which executes exe. */
int run_output_path(const struct run_options *o, const char *exe, pid_t pid, char *ret, size_t room);

/* Makes sure that a database can be written there: makes the file, and sees
 * that the disk has room.  0, or -errno; *ret_made: it was not there before.
 * -EEXIST: there is something else, which is left alone. */
int run_output_check(const char *path, bool *ret_made);

/* Finds libmmscope.so by where this program stands.  `plain` is its path,
 * `entry` what to put into LD_PRELOAD: with $LIB where that leads to the same
 * file, so that programs of other word sizes and libraries find theirs. */
struct run_library {
	char self[4096], plain[4096], entry[4096];
};
int run_find_library(struct run_library *ret);

struct mms_collector_options;
/* Starts the collector as a copy of ourselves, which is nobody's child; bin is
 * not used.  Returns once it runs (not: once it listens), or -errno. */
int run_start_collector(const struct mms_collector_options *o, struct mms_session *session);

/* Becomes the command.  Returns only on failure: the exit status.
 * ready: {read, write} of the collector's pipe; {-1, -1}: one is made. */
int run_in_place(const struct run_options *o, const int ready[2]);

/* Stays the parent. */
int run_and_wait(const struct run_options *o);

#endif
