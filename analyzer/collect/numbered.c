/*
 * numbered.c - see numbered.h.
 */
#include "collect/numbered.h"

#include <stdlib.h>

static bool make_room(struct numbered *t)
{
	size_t capacity = t->capacity * 2 + 16;
	void **item;
	uint64_t *number;

	if (t->n < t->capacity)
		return true;
	item = reallocarray(t->item, capacity, sizeof(*item));
	if (!item)
		return false;
	t->item = item;
	number = reallocarray(t->number, capacity, sizeof(*number));
	if (!number)
		return false;
	t->number = number;
	t->capacity = capacity;
	return true;
}

void *numbered_new(struct numbered *t, uint64_t number, size_t bytes)
{
	void *item = make_room(t) ? calloc(1, bytes) : NULL;

	if (!item || index_put(&t->at, number, (uint32_t)t->n) < 0) {
		free(item);
		return NULL;
	}
	t->number[t->n] = number;
	t->item[t->n++] = item;
	return item;
}

void numbered_sift(struct numbered *t, bool (*stays)(void *arg, uint64_t number, void *item), void *arg)
{
	struct index new;
	size_t n = 0;

	if (!t->at.slot || !index_like(&new, &t->at))
		return;
	for (size_t i = 0; i < t->n; i++) {
		if (!stays(arg, t->number[i], t->item[i])) {
			free(t->item[i]);
			continue;
		}
		*index_slot_of(&new, t->number[i]) = (struct index_slot){ t->number[i], (uint32_t)n + 1 };
		new.n++;
		t->item[n] = t->item[i];
		t->number[n++] = t->number[i];
	}
	t->n = n;
	index_done(&t->at);
	t->at = new;
}

void numbered_done(struct numbered *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->item[i]);
	free(t->item);
	free(t->number);
	index_done(&t->at);
	*t = (struct numbered){ .n = 0 };
}
