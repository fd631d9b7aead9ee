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
	size_t n_stacks; /* recorded stacks that were merged into this row */
};

struct rows {
	struct row *row;
	size_t n, capacity;
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

/* Rows of one process, after rows_sort: [*at, return value). */
size_t rows_process_end(const struct rows *rows, size_t at);

#endif
