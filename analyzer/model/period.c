/*
 * period.c - see period.h.  Pure arithmetic; called by the OOM judgement for
 * limits that are grown towards: 600 periods of 160 points are 10 ms.
 */
#include "model/period.h"

#include <math.h>
#include <stdlib.h>

#define POINTS_MAX 160
#define POINTS_MIN 24
#define TIMES 2.5       /* that a period must have come */
#define STEPS 2.5       /* points in a period, at least */
#define FINENESS 0.008  /* between two periods that are tried */
#define SMOOTH 0.4      /* of the distance that is expected of any two points, at most */
#define SURE 4.0        /* standard deviations of that: of all periods that are tried, none is by chance */
#define LOOKS 200       /* ahead, in a period */
#define AHEAD 5         /* times the window; later, the period is not known well enough */
#define TEETH_MAX 1000  /* that may be the first */

struct folded {
	double phase, value, t_s;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int by_phase(const void *a, const void *b)
{
	double x = ((const struct folded *)a)->phase, y = ((const struct folded *)b)->phase;

	return (x > y) - (x < y);
}

static double phase_of(double t_s, double period_s)
{
	double turns = t_s / period_s;

	return turns - floor(turns);
}

static void fold(const struct growth_point *rest, size_t n, double period_s, struct folded *ret)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = (struct folded){ phase_of(rest[i].t_s, period_s), rest[i].value, rest[i].t_s };
	qsort(ret, n, sizeof(*ret), by_phase);
}

/* Squares of the steps between neighbours in phase; 2 n times the variance is
 * expected where there is no period. */
static double roughness(const struct folded *f, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		double step = f[(i + 1) % n].value - f[i].value;
		sum += step * step;
	}
	return sum;
}

static double variance_of(const struct growth_point *rest, size_t n)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++) {
		sum += rest[i].value;
		squares += rest[i].value * rest[i].value;
	}
	return squares / (double)n - sum / (double)n * (sum / (double)n);
}

/* 0: none. */
static double find_period(const struct growth_point *rest, size_t n)
{
	struct folded f[POINTS_MAX];
	double window = rest[n - 1].t_s - rest[0].t_s, best = 0;
	double smooth = fmin(SMOOTH, 1 - SURE / sqrt((double)n)); /* von Neumann 1941 */
	double least = smooth * 2 * (double)n * variance_of(rest, n);

	for (double t = window / TIMES; t > STEPS * window / (double)n; t /= 1 + FINENESS) {
		fold(rest, n, t, f);
		double r = roughness(f, n);
		if (r < least) {
			least = r;
			best = t;
		}
	}
	return best;
}

/* Teeth bend the line that is fitted to them.  Neighbours in phase that are
 * periods apart tell its slope alone: the median of theirs is taken out. */
static double straighten(struct growth_point *rest, size_t n, double period_s)
{
	struct folded f[POINTS_MAX];
	double slope[POINTS_MAX];
	size_t n_slopes = 0;

	fold(rest, n, period_s, f);
	for (size_t i = 0; i + 1 < n; i++) {
		double apart = f[i + 1].t_s - f[i].t_s;
		if (fabs(apart) > period_s / 2)
			slope[n_slopes++] = (f[i + 1].value - f[i].value) / apart;
	}
	if (n_slopes == 0)
		return 0;
	qsort(slope, n_slopes, sizeof(*slope), by_value);
	double bent = slope[n_slopes / 2];
	for (size_t i = 0; i < n; i++)
		rest[i].value -= bent * rest[i].t_s;
	return bent;
}

/* The line between the neighbours in phase. */
static double at_phase(const struct folded *f, size_t n, double phase)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (f[middle].phase <= phase)
			low = middle + 1;
		else
			high = middle;
	}
	const struct folded *a = &f[(low + n - 1) % n], *b = &f[low % n];
	double way = b->phase - a->phase + (low == 0 || low == n), at = phase - a->phase + (low == 0);
	return way > 0 ? a->value + (b->value - a->value) * at / way : a->value;
}

bool period_time_to(const struct growth_point *points, size_t n, const struct growth *g, double limit, double *ret_s)
{
	struct growth_point rest[POINTS_MAX];
	struct folded f[POINTS_MAX];
	size_t m = n < POINTS_MAX ? n : POINTS_MAX;

	if (g->verdict != GROWTH_GROWING || g->per_s <= 0 || m < POINTS_MIN)
		return false;
	double last_s = points[n - 1].t_s;
	for (size_t i = 0; i < m; i++) {
		const struct growth_point *p = &points[n - m + i];
		rest[i] = (struct growth_point){ p->t_s - last_s, p->value - g->level - g->per_s * (p->t_s - last_s) };
	}
	if ((limit - g->level) / g->per_s > AHEAD * -rest[0].t_s)
		return false;
	double period = find_period(rest, m);
	if (period == 0)
		return false;
	double per_s = g->per_s + straighten(rest, m, period);
	period = find_period(rest, m);
	if (period == 0 || per_s <= 0)
		return false;
	fold(rest, m, period, f);
	/* Between the times when the highest and when the lowest of them would be there. */
	double high = f[0].value, low = high;
	for (size_t i = 1; i < m; i++) {
		high = f[i].value > high ? f[i].value : high;
		low = f[i].value < low ? f[i].value : low;
	}
	double from_s = (limit - g->level - high) / per_s, end_s = (limit - g->level - low) / per_s;
	if ((end_s - from_s) / period > TEETH_MAX)
		return false;
	for (double t = from_s > 0 ? from_s : 0; t < end_s; t += period / LOOKS) {
		if (g->level + per_s * t + at_phase(f, m, phase_of(t, period)) >= limit) {
			*ret_s = t;
			return true;
		}
	}
	return false;
}
