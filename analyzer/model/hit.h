/*
 * hit.h - when does what grows hit its limit?  All that is known put together:
 * the line, the highest values, spikes, teeth.
 */
#ifndef MODEL_HIT_H
#define MODEL_HIT_H

#include <stdbool.h>
#include <stddef.h>

#include "model/growth.h"

/* g: growth_recent() of these points.  peaks: the most ever used at the same
 * times, NULL where it is not known or says nothing (with pages of files in it).
 * False: it does not grow. */
bool hit_time(const struct growth_point *points, const struct growth_point *peaks, size_t n, const struct growth *g,
	double limit, struct growth_time *ret);

#endif
