/* copy_private.h - between copy.c and roots.c. */
#ifndef COLLECT_COPY_PRIVATE_H
#define COLLECT_COPY_PRIVATE_H

#include "collect/copy.h"

/* Room for one more in *list (a pointer to the list's pointer); NULL: none,
 * and c->no_memory is set. */
void *copy_room(struct copy *c, void *list, size_t n, size_t *room, size_t size);

/* A word of the copied memory; false: it was not copied. */
bool copy_word_at(const struct copy *c, uint64_t address, uint64_t *ret);

#endif
