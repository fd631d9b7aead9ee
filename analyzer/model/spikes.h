/*
 * spikes.h - growth with short spikes: when will one of them reach the limit?
 *
 * A spike lies between two looks as a rule; the highest value ever used tells
 * how high it was, and between which looks it came.  All spikes may be the same
 * share of the level, or of one height: the one that most of them agree with is
 * taken (the value that lies in most of their intervals).  With it each of them
 * says when it came, to a hundredth of a look.  Then it is seen whether they come
 * at equal times: the largest period whose phases agree (Rayleigh's resultant).
 */
#ifndef MODEL_SPIKES_H
#define MODEL_SPIKES_H

#include <stdbool.h>
#include <stddef.h>

#include "model/growth.h"

/* When the value first reaches the limit, from the last point's time: with the
 * next spike after the level is high enough where they come at equal times, else
 * after the mean of the time between two, but within a twentieth of what is left.  peaks: the most ever used, at the same times.  g: of these points.
 * False: it does not grow, or there are no spikes that agree and stand out. */
bool spikes_time_to(const struct growth_point *points, const struct growth_point *peaks, size_t n,
	const struct growth *g, double limit, double *ret_s);

#endif
