/*
 * index.h - from a number to a position in an array.
 *
 * Open addressing, 16 bytes a slot, at most half full, nothing is ever taken
 * out: who has less makes a new one.  Empty until the first put: most forked children never need one.
 */
#ifndef MODEL_INDEX_H
#define MODEL_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index_slot {
	uint64_t key;
	uint32_t value_plus_1; /* 0: empty */
};

struct index {
	struct index_slot *slot;
	uint32_t mask; /* capacity - 1; meaningless while slot is NULL */
	uint32_t n;
};

/* Adds a key that is not there yet.  0 or -ENOMEM. */
int index_put(struct index *ix, uint64_t key, uint32_t value);
void index_done(struct index *ix);
/* An empty index of the same size: it cannot run out of room while as many are
 * put into it.  False: no memory. */
bool index_like(struct index *new, const struct index *old);

static inline uint32_t index_home(const struct index *ix, uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 32) & ix->mask;
}

/* The slot of the key, or the empty one where it would go. */
static inline struct index_slot *index_slot_of(const struct index *ix, uint64_t key)
{
	uint32_t i = index_home(ix, key);

	while (ix->slot[i].value_plus_1 && ix->slot[i].key != key)
		i = (i + 1) & ix->mask;
	return &ix->slot[i];
}

static inline uint32_t index_find(const struct index *ix, uint64_t key)
{
	return ix->slot ? index_slot_of(ix, key)->value_plus_1 - 1 : INDEX_NONE;
}

#endif
