/*
 * unwind_oracle.h - what the oracle (unwind_oracle.c) leaves in the file that
 * MMS_ORACLE names: shared by all processes that it was loaded into.
 */
#ifndef TESTS_UNWIND_ORACLE_H
#define TESTS_UNWIND_ORACLE_H

#include <stdint.h>

#define ORACLE_DIFFS 32 /* differences kept in full */
#define ORACLE_DEPTH 512

struct oracle_diff {
	uint32_t kind; /* 1 libunwind, 2 libgcc, 3 own full walk, 4 interned stack */
	uint32_t n_own, n_other, pid;
	uint64_t own[ORACLE_DEPTH], other[ORACLE_DEPTH];
	char maps[65536]; /* /proc/self/maps of that moment */
};

struct oracle {
	_Atomic uint64_t n_processes, n_stacks, n_frames, n_longest;
	_Atomic uint64_t n_guessed, n_truncated, n_exact;
	_Atomic uint64_t n_libunwind, n_libunwind_diff;
	_Atomic uint64_t n_libgcc, n_libgcc_diff, n_libgcc_short; /* short: stopped early, equal so far */
	_Atomic uint64_t n_full, n_full_diff;
	_Atomic uint64_t n_interned, n_interned_diff, n_nested;
	_Atomic uint64_t n_invalidated;
	_Atomic uint64_t n_joined, n_new_frames; /* of the joining walk */
	_Atomic uint32_t n_diffs;
	struct oracle_diff diff[ORACLE_DIFFS];
};

/* Where the calling thread is, for a handler that wants to jump out: 0 outside
 * the oracle, 1 in the real malloc, 2 in the walk, 3 in what it is compared
 * with.  mms_oracle_left: it has jumped. */
int mms_oracle_place(void);
void mms_oracle_left(void);

#endif
