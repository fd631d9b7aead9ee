/*
 * vma_names.c - the names of areas: one text each, however many areas bear it.
 *
 * A name is known by a number, 0 is none; numbers stay valid for the life of
 * the tree, texts only until the next new name.  Called by vma_tree.c and by
 * whoever makes areas; serialised by the tree's caller.
 */
#include "vma_tree.h"

#include <string.h>

#include "base/heap.h"

uint32_t vma_tree_name(struct vma_tree *t, const char *name, size_t length)
{
	if (name == NULL || length == 0)
		return 0;
	for (uint32_t at = 0; at < t->names_used;) {
		size_t n = strlen(&t->names[at]);

		if (n == length && memcmp(&t->names[at], name, n) == 0)
			return at + 1;
		at += (uint32_t)n + 1;
	}
	if (t->names_capacity - t->names_used < length + 1) {
		uint32_t capacity = t->names_capacity * 2 + (uint32_t)length + 1024;
		char *names = heap_realloc(t->names, capacity);

		if (names == NULL)
			return 0;
		t->names = names;
		t->names_capacity = capacity;
	}
	uint32_t id = t->names_used + 1;
	memcpy(&t->names[t->names_used], name, length);
	t->names[t->names_used + length] = '\0';
	t->names_used += (uint32_t)length + 1;
	return id;
}

const char *vma_tree_name_text(const struct vma_tree *t, uint32_t name)
{
	return name == 0 || name > t->names_used ? "" : &t->names[name - 1];
}
