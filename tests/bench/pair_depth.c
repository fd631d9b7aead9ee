/*
 * pair_depth.c - calls a function from a chosen depth.  Built twice: as
 * distributions build (-fomit-frame-pointer), and with frame pointers.
 */
#include "pair_parts.h"

__attribute__((noinline)) double PAIR_AT_DEPTH(int depth, double (*what)(int), int arg)
{
	double r = depth > 0 ? PAIR_AT_DEPTH(depth - 1, what, arg) : what(arg);

	__asm__ volatile("" : : : "memory"); /* no tail call */
	return r;
}
