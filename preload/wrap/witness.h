/*
 * witness.h - a third process that keeps the memory as it was at a fork.
 */
#ifndef WRAP_WITNESS_H
#define WRAP_WITNESS_H

/* Just before a fork.  Its pid, or -errno: -ENOMEM where its copies could
 * exceed what memory is left, -EBUSY: another thread makes one just now. */
int witness_make(void);

/* In a child: another thread may have been making one. */
void witness_forked(void);

/* The fork failed, or nobody is to be asked any more. */
void witness_end(int pid);

#endif
