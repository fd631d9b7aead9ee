/*
 * intern.c - see intern.h.  Tables only grow; used by the verb html alone.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/intern.h"

void intern_init(struct intern *t, size_t width)
{
	memset(t, 0, sizeof(*t));
	t->width = width;
}

void intern_done(struct intern *t)
{
	for (size_t i = 0; t->text && i < t->n; i++)
		free(t->text[i]);
	free(t->text);
	free(t->key);
	free(t->hash);
	free(t->slot);
}

static void grow_slots(struct intern *t)
{
	free(t->slot);
	t->n_slots = t->n_slots ? 2 * t->n_slots : 1024;
	t->slot = xcalloc(t->n_slots, sizeof(*t->slot));
	for (size_t i = 0; i < t->n; i++) {
		size_t at = t->hash[i] & (t->n_slots - 1);
		while (t->slot[at])
			at = (at + 1) & (t->n_slots - 1);
		t->slot[at] = (uint32_t)i + 1;
	}
}

/* FNV-1a, its high half folded in: slots are chosen by the low bits. */
static uint64_t hash_bytes(const void *data, size_t size)
{
	uint64_t h = 0xcbf29ce484222325ull;
	for (const uint8_t *p = data, *end = p + size; p < end; p++)
		h = (h ^ *p) * 0x100000001b3ull;
	return h ^ h >> 32;
}

/* The slot of an equal entry, or the empty one where it belongs. */
static uint32_t *find(struct intern *t, uint64_t hash, const char *text, const uint32_t *key)
{
	if (2 * (t->n + 1) > t->n_slots)
		grow_slots(t);
	size_t at = hash & (t->n_slots - 1);
	for (; t->slot[at]; at = (at + 1) & (t->n_slots - 1)) {
		size_t i = t->slot[at] - 1;
		if (t->hash[i] != hash)
			continue;
		if (text ? strcmp(t->text[i], text) == 0
			 : memcmp(&t->key[i * t->width], key, t->width * sizeof(*key)) == 0)
			break;
	}
	return &t->slot[at];
}

static void make_room(struct intern *t, bool texts)
{
	if (t->n < t->capacity)
		return;
	t->capacity = t->capacity ? 2 * t->capacity : 256;
	t->hash = xrealloc(t->hash, t->capacity * sizeof(*t->hash));
	if (texts)
		t->text = xrealloc(t->text, t->capacity * sizeof(*t->text));
	else
		t->key = xrealloc(t->key, t->capacity * t->width * sizeof(*t->key));
}

static uint32_t append(struct intern *t, uint32_t *slot, uint64_t hash)
{
	t->hash[t->n] = hash;
	*slot = (uint32_t)++t->n;
	return *slot - 1;
}

uint32_t intern_text(struct intern *t, const char *text)
{
	uint64_t hash = hash_bytes(text, strlen(text));
	uint32_t *slot = find(t, hash, text, NULL);
	if (*slot)
		return *slot - 1;
	make_room(t, true);
	t->text[t->n] = xstrdup(text);
	return append(t, slot, hash);
}

uint32_t intern_tuple(struct intern *t, const uint32_t *key)
{
	uint64_t hash = hash_bytes(key, t->width * sizeof(*key));
	uint32_t *slot = find(t, hash, NULL, key);
	if (*slot)
		return *slot - 1;
	make_room(t, false);
	memcpy(&t->key[t->n * t->width], key, t->width * sizeof(*key));
	return append(t, slot, hash);
}
