/*
 * live.h - the blocks that are live: address -> size, site, thread, time.
 *
 * Swiss groups of 16 (one byte of hash each, compared with one SSE2
 * instruction), 16-byte entries and 8 bytes of extension per slot: 25 bytes a
 * slot, 30..44 per live block.  Large tables are 64 segments by the top bits
 * of the hash which grow one at a time (by half), each at another moment, so
 * that no single step takes long and all of them together are never just grown.
 * A table is nothing until its first block and 400 bytes until its 14th:
 * sessions have hundreds of processes that hardly allocate.
 */
#ifndef MODEL_LIVE_H
#define MODEL_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One block.  site: position in model_process.sites. */
struct live_block {
	uint64_t address, size;
	uint64_t t_ns; /* allocated; kept modulo 2^56 */
	uint32_t site;
	uint32_t thread; /* kept modulo 2^24 */
};

#define LIVE_THREAD_MASK 0xffffffu

struct live_segment {
	struct live_group *group; /* live_group.h */
	uint32_t n_groups;
	uint32_t n_used;    /* live */
	uint32_t n_deleted; /* slots that a probe must pass */
	uint32_t limit;     /* of the two together: load 0.85 */
};

struct live_table {
	struct live_segment one;       /* while small */
	struct live_segment *segments; /* LIVE_SEGMENTS of them, or &one */
	uint32_t segment_mask;         /* their number - 1 */
	uint64_t n;
	/* Blocks that do not fit the packed form (address above 2^48, 1 TiB and
	 * more, site above 2^24): practically never, so a plain array. */
	struct live_block *odd;
	size_t n_odd, odd_capacity;
};

void live_init(struct live_table *t);
void live_done(struct live_table *t);

/* 0: inserted.  -EEXIST: the address is live, nothing changed.  -ENOMEM. */
int live_insert(struct live_table *t, const struct live_block *b);

bool live_find(const struct live_table *t, uint64_t address, struct live_block *ret);

/* The address will be asked for soon: brings its memory near.  First `far`, a
 * few events later `near`.  Worth it for tables that no cache holds, of so many blocks. */
#define LIVE_AHEAD_WORTH 20000u
void live_ahead_far(const struct live_table *t, uint64_t address);
void live_ahead_near(const struct live_table *t, uint64_t address);

/* Takes the block out. False: not there. */
bool live_take(struct live_table *t, uint64_t address, struct live_block *ret);

void live_each(const struct live_table *t, void (*fn)(void *arg, const struct live_block *b), void *arg);

/* Bytes of memory in use. */
size_t live_memory(const struct live_table *t);

/* True when counts and probe rules hold (tests). */
bool live_is_valid(const struct live_table *t);

#endif
