/*
 * spikes.h - growth with short spikes: when will one of them reach the limit?
 *
 * A spike lies between two looks as a rule; the highest value ever used tells
 * how high it was, and between which looks it came.  All spikes may be the same
 * share of the level, or of one height: for each of both the value is found that
 * makes them most likely, and how far off it may be.  With it each of them says
 * when it came, to a hundredth of a look, and these times whether they come by a
 * beat (beat.h), which may become slower, or by chance.
 *
 * What is not known for sure is laid out: the height, the line, the next beats, each
 * with its chance.  The time that is told is the one that most of them lie within a
 * twentieth of: where it is open which of two spikes hits, and they are no more than
 * a tenth apart, that lies between them.
 */
#ifndef MODEL_SPIKES_H
#define MODEL_SPIKES_H

#include <stdbool.h>
#include <stddef.h>

#include "model/growth.h"

/* When the value first reaches the limit, from the last point's time.  Spikes that
 * come by chance do so soon after the level is high enough, as far as can be told.
 * peaks: the most ever used, at the same times.  g: of these points.
 * False: it does not grow, or there are no spikes that agree and stand out. */
bool spikes_time_to(const struct growth_point *points, const struct growth_point *peaks, size_t n,
	const struct growth *g, double limit, double *ret_s);

#endif
