/*
 * period.h - growth with teeth that come at equal times: which of them hits
 * the limit can be known.
 *
 * What lies above and below the line is folded by a period; the period is the
 * one by which neighbours in phase differ least (Lafler and Kinman 1965, string
 * length).  It must have come four times, and neighbours must differ by far
 * less than any two points do.
 */
#ifndef MODEL_PERIOD_H
#define MODEL_PERIOD_H

#include <stdbool.h>
#include <stddef.h>

#include "model/growth.h"

/* When the value first reaches the limit, from the last point's time.  False:
 * there is no period, or it does not grow.  g: of these points. */
bool period_time_to(const struct growth_point *points, size_t n, const struct growth *g, double limit, double *ret_s);

#endif
