/*
 * numbered.h - what is kept for each process number of a session.
 *
 * Numbers go up for ever and most of their processes are forgotten some day,
 * so the memory is that of the items that are there.
 */
#ifndef COLLECT_NUMBERED_H
#define COLLECT_NUMBERED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/index.h"

struct numbered {
	struct index at; /* number -> position */
	void **item;     /* in the order they came; the caller's */
	uint64_t *number;
	size_t n, capacity;
};

/* NULL: there is none. */
static inline void *numbered_find(const struct numbered *t, uint64_t number)
{
	uint32_t at = index_find(&t->at, number);

	return at == INDEX_NONE ? NULL : t->item[at];
}

/* A new item of `bytes` zeroed bytes for a number that has none; NULL: no
 * memory. */
void *numbered_new(struct numbered *t, uint64_t number, size_t bytes);

/* Takes out those for which stays() says false, which must end what the item
 * holds; the item itself is freed here. */
void numbered_sift(struct numbered *t, bool (*stays)(void *arg, uint64_t number, void *item), void *arg);

/* Frees the items, and not what they hold. */
void numbered_done(struct numbered *t);

#endif
