/*
 * pair_parts.h - what a recorded pair of malloc and free is made of, in ns.
 */
#ifndef BENCH_PAIR_PARTS_H
#define BENCH_PAIR_PARTS_H

#include "capture/stack.h"

/* Calls what(arg), `depth` calls further in. */
double pair_at_depth_omit(int depth, double (*what)(int), int arg);
double pair_at_depth_keep(int depth, double (*what)(int), int arg);

/* Prints a table.  This program's malloc is the recording one, which records
 * nothing but in here. */
void pair_parts(struct stack_thread *t, const struct mms_session *s, const int depths[3], int rounds);

#endif
