/*
 * pool.c - an arena for symbols.
 *
 * A resolver makes hundreds of thousands of small strings that all end
 * together.  Used by everything in symbol/ and by the readers of stacks in
 * store/; pieces are never given back one by one.
 */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 65536u

struct pool_chunk {
	struct pool_chunk *next;
	char data[];
};

void pool_done(struct pool *p)
{
	while (p->chunks) {
		struct pool_chunk *next = p->chunks->next;

		free(p->chunks);
		p->chunks = next;
	}
	p->used = p->room = 0;
}

void *pool_take(struct pool *p, size_t size)
{
	size = (size + 7) & ~(size_t)7;
	if (p->room - p->used < size) {
		size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
		struct pool_chunk *chunk = malloc(sizeof(*chunk) + room);

		if (!chunk)
			return NULL;
		chunk->next = p->chunks;
		p->chunks = chunk;
		p->used = 0;
		p->room = room;
	}
	void *piece = p->chunks->data + p->used;
	p->used += size;
	return piece;
}

char *pool_text_n(struct pool *p, const char *text, size_t length)
{
	char *copy = pool_take(p, length + 1);

	if (copy) {
		memcpy(copy, text, length);
		copy[length] = '\0';
	}
	return copy;
}

char *pool_text(struct pool *p, const char *text)
{
	return text ? pool_text_n(p, text, strlen(text)) : NULL;
}
