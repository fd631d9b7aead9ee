/*
 * oracle.h - the sequential truth beside the model: plain arrays, no time,
 * peak compositions copied whole.  Addresses are small numbers ("block k").
 */
#ifndef TESTS_UNIT_ORACLE_H
#define TESTS_UNIT_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

struct model_process;

#define ORACLE_BLOCKS 300
#define ORACLE_SITES 24
#define ORACLE_THREADS 9

struct oracle_block {
	bool live, in_flight;
	uint32_t site, thread;
	uint64_t size, t_ns;
};

struct oracle_site {
	uint64_t alloc_blocks, alloc_bytes, free_blocks, free_bytes, live_blocks, live_bytes;
	uint64_t peak_blocks, peak_bytes, own_peak_bytes, temporary, cross, realloc_in, life_ns;
	uint64_t min_size, max_size;
};

struct oracle {
	struct oracle_block block[ORACLE_BLOCKS];
	bool inherited[ORACLE_BLOCKS]; /* still there, not freed here */
	uint64_t inherited_size[ORACLE_BLOCKS];
	struct oracle_site site[ORACLE_SITES];
	int last[ORACLE_THREADS];      /* block given out last, nothing between; -1 */
	struct oracle_block flight[ORACLE_THREADS];
	int flight_of[ORACLE_THREADS]; /* block being moved; -1 */
	bool flight_was_last[ORACLE_THREADS];
	bool flight_inherited[ORACLE_THREADS];
	uint64_t live_bytes, live_blocks, peak_bytes, peak_blocks;
	uint64_t inherited_blocks, inherited_bytes, inherited_freed, unknown;
};

void oracle_init(struct oracle *o);
void oracle_fork(struct oracle *child, const struct oracle *parent);
void oracle_alloc(struct oracle *o, uint32_t thread, int k, uint64_t size, uint32_t site, uint64_t t_ns);
void oracle_free(struct oracle *o, uint32_t thread, int k, uint64_t t_ns);
void oracle_realloc_begin(struct oracle *o, uint32_t thread, int k);
void oracle_realloc_end(struct oracle *o, uint32_t thread, int k, uint64_t size, uint32_t site, uint64_t t_ns);
/* freed: realloc(p, 0) */
void oracle_realloc_fail(struct oracle *o, uint32_t thread, bool freed, uint64_t t_ns);

/* Compares everything; with_order: also what depends on the exact order of
 * events (peaks, temporaries, lifetimes).  Counts differences with CHECK. */
unsigned oracle_compare(const struct oracle *o, const struct model_process *p, bool with_order);

#endif
