/*
 * index.c - from a number to a position in an array.
 *
 * Used by the model for stacks -> sites, thread numbers -> threads, process
 * numbers -> processes and addresses -> blocks freed since a fork.  Doubles
 * when half full.  No deletion: where threads and
 * processes go, a new index is made.
 */
#include "model/index.h"

#include <errno.h>
#include <stdlib.h>

static int index_grow(struct index *ix)
{
	struct index old = *ix;
	uint32_t capacity = old.slot ? (old.mask + 1) * 2 : 8;

	if (!capacity)
		return -ENOMEM;
	ix->slot = calloc(capacity, sizeof(*ix->slot));
	if (!ix->slot) {
		*ix = old;
		return -ENOMEM;
	}
	ix->mask = capacity - 1;
	for (uint32_t i = 0; old.slot && i <= old.mask; i++)
		if (old.slot[i].value_plus_1)
			*index_slot_of(ix, old.slot[i].key) = old.slot[i];
	free(old.slot);
	return 0;
}

int index_put(struct index *ix, uint64_t key, uint32_t value)
{
	struct index_slot *s;
	int r;

	if (!ix->slot || ix->n * 2 > ix->mask) {
		r = index_grow(ix);
		if (r < 0)
			return r;
	}
	s = index_slot_of(ix, key);
	s->key = key;
	s->value_plus_1 = value + 1;
	ix->n++;
	return 0;
}

void index_done(struct index *ix)
{
	free(ix->slot);
	*ix = (struct index){ 0 };
}

bool index_like(struct index *new, const struct index *old)
{
	*new = (struct index){ .slot = calloc((size_t)old->mask + 1, sizeof(*new->slot)), .mask = old->mask };
	return new->slot != NULL;
}
