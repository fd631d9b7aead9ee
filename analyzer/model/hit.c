/*
 * hit.c - see hit.h.  Pure arithmetic; called by the OOM judgement.
 *
 * The interval is that of the lines.  The point is taken from who knows more, as
 * long as it lies inside: spikes that agree, else a period of the highest values,
 * else one of the values, else the lines.
 */
#include "model/hit.h"

#include "model/period.h"
#include "model/spikes.h"

static bool take(struct growth_time *t, double point_s)
{
	if (point_s < t->low_s || point_s > t->high_s)
		return false;
	t->point_s = point_s;
	return true;
}

static bool by_period(const struct growth_point *points, size_t n, const struct growth *g, double limit, double *ret_s)
{
	size_t m = g->n_points < n ? g->n_points : n;

	return period_time_to(points + n - m, m, g, limit, ret_s);
}

bool hit_time(const struct growth_point *points, const struct growth_point *peaks, size_t n, const struct growth *g,
	double limit, struct growth_time *ret)
{
	struct growth high;
	size_t m = g->n_points < n ? g->n_points : n;
	double s;

	if (peaks && growth_recent(peaks, n, &high) < 0)
		peaks = NULL;
	if (!(peaks ? growth_time_by_peaks(g, &high, limit, ret) : growth_time_to(g, limit, ret)))
		return false;
	if (peaks && spikes_time_to(points + n - m, peaks + n - m, m, g, limit, &s) && take(ret, s))
		return true;
	if (peaks && by_period(peaks, n, &high, limit, &s) && take(ret, s))
		return true;
	if (by_period(points, n, g, limit, &s))
		take(ret, s);
	return true;
}
