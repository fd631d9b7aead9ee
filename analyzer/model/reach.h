/*
 * reach.h - which blocks can still be reached, and through what.
 *
 * Conservative marking over a copy of the process's memory: every aligned
 * word that holds an address inside a live block counts as a pointer.
 *
 *   REACHABLE  a chain of pointers to the starts of blocks leads there from a
 *              root
 *   POSSIBLE   every chain from a root goes through a pointer into the middle
 *              of some block
 *   DEFINITE   no chain leads there from a root, and none from a lost block;
 *              of a lost cycle that nothing lost points to, the block with the
 *              lowest address stands for it
 *   INDIRECT   only lost blocks lead there
 *
 * These are Memcheck's words (Valgrind manual, 4.2.8).  LeakSanitizer agrees
 * but for two things: it takes an interior pointer for a full one, and calls
 * all blocks of a lost cycle indirect.
 */
#ifndef MODEL_REACH_H
#define MODEL_REACH_H

#include <stddef.h>
#include <stdint.h>

enum reach_verdict { REACH_UNCLASSIFIED, REACH_REACHABLE, REACH_POSSIBLE, REACH_INDIRECT, REACH_DEFINITE };

struct reach_block {
	uint64_t address, size;
	uint8_t verdict; /* set by reach_classify */
};

/* A piece of the process's memory.  bytes[0] is the byte at `start`, which is
 * 8-aligned; the caller owns the bytes. */
struct reach_memory {
	uint64_t start, size;
	const uint8_t *bytes;
};

/* A range whose words are roots; it lies in the memory given. */
struct reach_root {
	uint64_t start, end;
};

struct reach_totals {
	uint64_t blocks[5], bytes[5]; /* by enum reach_verdict */
	uint64_t scanned_bytes;
	uint64_t unreadable_bytes; /* of blocks whose memory was not given: not scanned */
};

/* Classifies all blocks.  blocks: sorted by address, not overlapping; memory:
 * sorted by start, not overlapping.  0 or -ENOMEM (nothing classified). */
int reach_classify(struct reach_block *blocks, size_t n_blocks, const struct reach_memory *memory,
	size_t n_memory, const struct reach_root *roots, size_t n_roots, struct reach_totals *ret);

#endif
