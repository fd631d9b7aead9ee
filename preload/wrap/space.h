/*
 * space.h - from the wrappers to the mirror, and from the mirror to the ring.
 */
#ifndef WRAP_SPACE_H
#define WRAP_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/record.h>

/* Memory from here on is looked at before it goes. */
#define SPACE_GONE_MIN (1ul << 20)

/* A wrapped call, with the record that tells of it. */
void space_note(enum mms_long type, const struct mms_vm *vm, uint32_t stack);

/* Before memory is given back: says how much of it was used.  Nothing is said
 * of what is small, or not private and anonymous. */
void space_going(enum mms_gone_kind kind, uintptr_t at, size_t length);

/* On a signal handler's own stack that has no room for a look. */
bool space_on_small_stack(void);

/* A look at the whole address space, into the ring.  Returns the high-water
 * mark in bytes; 0: not known.  *ret_own: bytes in use of our own anonymous
 * areas; left alone where pages could not be asked about. */
uint64_t space_look(enum mms_look look, uint64_t *ret_own);

#endif
