/*
 * cow.h - which forks are watched, and what is told of them.
 */
#ifndef WRAP_COW_H
#define WRAP_COW_H

#include <mmscope/record.h>

/* Before a fork from this call stack (0: not known): will it be watched, and
 * which share of its pages?  Fills note->watch and note->share. */
void cow_decide(uint32_t stack, struct mms_fork *note);

/* Just before the fork: a witness, if one is wanted.  Fills note->faults. */
void cow_before(struct mms_fork *note);
/* The fork failed. */
void cow_failed(const struct mms_fork *note);

/* After the fork, on each side.  note: the record of the fork; parent: number
 * of the process that forked; stack: as above. */
void cow_in_parent(const struct mms_fork *note, uint64_t parent);
void cow_in_child(const struct mms_fork *note, uint64_t parent, uint32_t stack);

/* Now and then: gives up the descriptor once the collector says that nothing
 * is watched any more. */
void cow_check(void);

/* The process says its last word. */
void cow_last_word(enum mms_look look);

#endif
