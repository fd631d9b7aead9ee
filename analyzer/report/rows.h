/*
 * rows.h - the allocating stacks of a capture, as the verbs show them.
 *
 * Stacks of one process whose frames read the same (function, file, line) are
 * one row: addresses differ between generations of a module, people do not
 * care.  Stacks that differ in a line stay apart and share a site id.
 */
#ifndef REPORT_ROWS_H
#define REPORT_ROWS_H

#include "report/answer.h"

struct row {
	const struct answer_process *process;
	const struct capture_stack *stack;
	char id[32];       /* stable site id; "" where the stack is not known */
	char own[16];      /* whose block it is: target, loader, libc, ... */
	uint64_t alloc_blocks, alloc_bytes, free_blocks;
	uint64_t live_blocks, live_bytes;
	uint64_t peak_blocks, peak_bytes;
	uint64_t temporary_blocks, cross_frees, realloc_in;
	uint64_t min_size, max_size, first_ns, last_ns, life_ns_sum;
	struct sampled sampled; /* of alloc_bytes, live_bytes, peak_bytes */
	uint64_t uncertain_blocks, uncertain_bytes; /* live, from before a pause: may have been freed in it */
	size_t n_stacks; /* recorded stacks that were merged into this row */
	size_t number;   /* place before any sort, below rows.n: for data beside the rows */
};

/* A stack of heap_site and the row it went into. */
struct row_stack {
	int64_t process_id, stack_id;
	size_t number;
};

struct rows {
	struct row *row;
	size_t n, capacity;
	struct row_stack *stack; /* by process, then stack */
	size_t n_stacks, stack_capacity;
};

enum row_order { BY_PEAK, BY_LIVE, BY_COUNT, BY_TEMPORARY, BY_BYTES };
#define ROW_ORDERS "peak|live|count|temporary|bytes"

/* live_only: rows with live blocks.  pid 0: of all processes. */
void rows_load(struct rows *rows, struct answer *a, bool live_only, int64_t pid);
/* Main process first, then by size of the process's share; in a process by
 * the order asked for. */
void rows_sort(struct rows *rows, struct answer *a, enum row_order order);
void rows_done(struct rows *rows);

/* Blocks of the loader and the C and C++ library: live, but nobody's leak. */
bool row_is_apart(const struct row *row);
uint64_t row_value(const struct row *row, enum row_order order);

/* Number of the row of a stack; -1: it has none. */
ptrdiff_t rows_number(const struct rows *rows, int64_t process_id, int64_t stack_id);

/* Rows of one process, after rows_sort: [*at, return value). */
size_t rows_process_end(const struct rows *rows, size_t at);

#endif
