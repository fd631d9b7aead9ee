/*
 * capture.h - the reading side of the database, used by the verbs.
 *
 * capture_open refuses with one clear reason what is not a readable capture;
 * the verb prints `mmscope VERB: FILE: reason` and ends with status 2.  What
 * is open is always of the current schema and has its symbols: an older
 * database and one that is still being written are read into memory, brought
 * up to date there, and left alone on disk.
 *
 * No SQLite type leaves this folder: verbs ask with struct query.  In SQL
 * texts hex_address(x) prints an address as 0x... .
 */
#ifndef STORE_CAPTURE_H
#define STORE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct capture;
struct query;

enum capture_state {
	CAPTURE_COMPLETE,
	CAPTURE_RECORDING,  /* the collector is at work: the state of its last flush */
	CAPTURE_INCOMPLETE, /* the collector did not finish it */
};

/* 0 or -errno; then reason holds the text.  A database that is just being
 * finished is waited for (at most 20 s). */
int capture_open(const char *path, struct capture **ret, char *reason, size_t reason_size);
/* The same for numbers only, of this version only: nothing is waited for,
 * copied or given names, so that a live view can ask every second. */
int capture_peek(const char *path, struct capture **ret, char *reason, size_t reason_size);
void capture_close(struct capture *c); /* accepts NULL */

enum capture_state capture_state(const struct capture *c);
const char *capture_path(const struct capture *c);

/* Value of a meta key; NULL when there is none.  Valid until capture_close. */
const char *capture_meta(struct capture *c, const char *key);
int64_t capture_meta_number(struct capture *c, const char *key, int64_t otherwise);

/* One SQL statement.  Columns count from 0, parameters from 1.  query_open
 * returns NULL when the text does not compile; capture_error tells why.
 * query_next returns 1 for a row, 0 at the end, -errno when the file is
 * damaged (capture_error).  Texts and blobs are valid until the next call. */
struct query *query_open(struct capture *c, const char *sql);
void query_bind(struct query *q, int parameter, int64_t value);
void query_bind_text(struct query *q, int parameter, const char *value);
void query_bind_null(struct query *q, int parameter);
int query_next(struct query *q);
void query_reset(struct query *q); /* keeps the parameters */
bool query_null(struct query *q, int column);
int64_t query_int(struct query *q, int column);
double query_real(struct query *q, int column);
const char *query_text(struct query *q, int column); /* NULL for NULL */
const void *query_blob(struct query *q, int column, size_t *ret_size);
void query_close(struct query *q); /* accepts NULL */
/* First column of the first row, or `otherwise` when there is none. */
int64_t capture_int(struct capture *c, const char *sql, int64_t otherwise);
const char *capture_error(const struct capture *c);

/* A frame as people see it.  Strings live as long as the capture. */
struct capture_frame {
	const char *function; /* NULL: not resolved */
	const char *file;     /* NULL: no line information */
	const char *module;   /* path; NULL: in no known module */
	int64_t line;         /* 0: not known */
	uint64_t address;     /* pc as recorded */
	uint64_t offset;      /* address in the module's file */
	bool inlined;         /* has no call of its own: inlined into the next frame */
	bool guessed;         /* the step to this frame was a guess */
};
struct capture_stack {
	struct capture_frame *frames; /* innermost first */
	size_t n;
	bool truncated;  /* the stack was cut at its outer end */
};
/* Stack 0 and unknown ids give an empty stack.  The result belongs to the
 * capture and is valid until it is closed; NULL: out of memory or damaged. */
const struct capture_stack *capture_stack(struct capture *c, int64_t stack_id);

/* The data blob of heap_series, decoded.  Returns the number of buckets
 * written to out (at most n_out), or -EINVAL for a blob that is not one. */
struct capture_bucket {
	uint64_t min, max, last;
};
int capture_series(const void *data, size_t size, struct capture_bucket *out, size_t n_out);

#endif
