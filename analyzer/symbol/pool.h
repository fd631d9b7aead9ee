/*
 * pool.h - memory for the many small strings and arrays of symbols: taken
 * piece by piece, given back all at once.
 */
#ifndef SYMBOL_POOL_H
#define SYMBOL_POOL_H

#include <stddef.h>

struct pool_chunk;
struct pool {
	struct pool_chunk *chunks; /* the newest first */
	size_t used, room;         /* of the newest */
};

/* A zeroed struct pool is an empty pool. */
void pool_done(struct pool *p);
/* 8-aligned; NULL: out of memory. */
void *pool_take(struct pool *p, size_t size);
/* A copy of the text; NULL for NULL and when out of memory. */
char *pool_text(struct pool *p, const char *text);
char *pool_text_n(struct pool *p, const char *text, size_t length);

#endif
