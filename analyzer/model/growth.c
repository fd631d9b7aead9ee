/*
 * growth.c - see growth.h.
 *
 * Pure arithmetic over a trace; called per tick by the OOM judgement and per
 * site by the leak ranking.  240 points are 28,680 slopes: 2 ms.
 */
#include "growth.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define GATE_WINDOWS 24     /* minima that the gate looks at */
#define GATE_FEW 10         /* that are enough */
#define GATE_Z 1.96         /* whole trace */
#define GATE_Z_HALF 1.0     /* second half */
#define GATE_SHARE 0.05     /* of the level */
#define GATE_STEADY 0.5     /* last quarter's slope against that of the quarter before */
#define INTERVAL_Z 1.96
#define UPPER 90            /* per cent of the points: what is higher is no tooth */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Puts the k-th smallest at v[k], smaller ones before it (Hoare 1961). */
static double nth(double *v, size_t n, size_t k)
{
	size_t low = 0, high = n - 1;

	while (low < high) {
		double pivot = v[low + (high - low) / 2];
		size_t i = low, j = high;

		for (;;) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i >= j)
				break;
			double swapped = v[i];
			v[i++] = v[j];
			v[j--] = swapped;
		}
		/* [low, j] <= pivot <= [j + 1, high], and j < high: the pivot
		 * stood before the last place. */
		if (k <= j)
			high = j;
		else
			low = j + 1;
	}
	return v[k];
}

/* Changes the order of v. */
static double median(double *v, size_t n)
{
	double upper = nth(v, n, n / 2), lower = upper;

	if (n % 2 == 0) {
		lower = v[0];
		for (size_t i = 1; i < n / 2; i++)
			lower = v[i] > lower ? v[i] : lower;
	}
	return (lower + upper) / 2;
}

static double slope_between(const struct growth_point *a, const struct growth_point *b)
{
	return b->t_s > a->t_s ? (b->value - a->value) / (b->t_s - a->t_s) : 0;
}

/* Repeated medians.  scratch: 2 n numbers. */
static double siegel(const struct growth_point *p, size_t n, double *scratch)
{
	double *inner = scratch, *outer = scratch + n;

	for (size_t i = 0; i < n; i++) {
		size_t m = 0;

		for (size_t j = 0; j < n; j++) {
			if (j != i)
				inner[m++] = i < j ? slope_between(&p[i], &p[j]) : slope_between(&p[j], &p[i]);
		}
		outer[i] = median(inner, m);
	}
	return median(outer, n);
}

static double kendall_variance(size_t n)
{
	return (double)n * (double)(n - 1) * (2.0 * (double)n + 5) / 18;
}

/* Order statistics of all pairwise slopes (Sen 1968). */
static int theil_sen_interval(const struct growth_point *p, size_t n, struct growth *g)
{
	size_t n_slopes = n * (n - 1) / 2, at = 0;
	double *slope = malloc(n_slopes * sizeof *slope);

	if (slope == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		for (size_t j = i + 1; j < n; j++)
			slope[at++] = slope_between(&p[i], &p[j]);
	}
	double half = INTERVAL_Z * sqrt(kendall_variance(n)) / 2;
	double low = (double)n_slopes / 2 - half, high = (double)n_slopes / 2 + half;

	g->low = nth(slope, n_slopes, low < 0 ? 0 : (size_t)low);
	g->high = nth(slope, n_slopes, high >= (double)n_slopes ? n_slopes - 1 : (size_t)high);
	free(slope);
	/* Two estimators: the interval holds the point. */
	g->low = g->low < g->per_s ? g->low : g->per_s;
	g->high = g->high > g->per_s ? g->high : g->per_s;
	return 0;
}

/* Mann-Kendall: how far the number of rises exceeds that of falls. */
static double mann_kendall_z(const struct growth_point *p, size_t n)
{
	long s = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = i + 1; j < n; j++)
			s += (p[j].value > p[i].value) - (p[j].value < p[i].value);
	}
	if (s == 0)
		return 0;
	return (double)(s > 0 ? s - 1 : s + 1) / sqrt(kendall_variance(n));
}

/* The lowest point of each of at most GATE_WINDOWS parts of equal count; of eight
 * points each, if that leaves enough parts: a part shorter than a tooth has no
 * minimum of the trend. */
static size_t minima(const struct growth_point *p, size_t n, struct growth_point *ret)
{
	size_t parts = n / 8 > GATE_FEW ? n / 8 : n / 2 < GATE_FEW ? n / 2 : GATE_FEW;

	parts = parts < GATE_WINDOWS ? parts : GATE_WINDOWS;
	for (size_t i = 0; i < parts; i++) {
		size_t from = i * n / parts, to = (i + 1) * n / parts;

		ret[i] = p[from];
		for (size_t j = from + 1; j < to; j++) {
			if (p[j].value < ret[i].value)
				ret[i] = p[j];
		}
	}
	return parts;
}

static bool passes_gate(const struct growth_point *p, size_t n, double level, double *scratch)
{
	struct growth_point low[GATE_WINDOWS];
	size_t parts = minima(p, n, low), half = parts / 2;
	const struct growth_point *late = &low[half];
	size_t n_late = parts - half;

	if (mann_kendall_z(low, parts) <= GATE_Z || mann_kendall_z(late, n_late) <= GATE_Z_HALF)
		return false;
	double window = low[parts - 1].t_s - low[0].t_s;
	if (siegel(late, n_late, scratch) * window <= GATE_SHARE * level)
		return false;
	/* A slow warm-up rises in every window, but ever less. */
	size_t quarter = n_late / 2;
	return quarter < 3 || siegel(late + quarter, n_late - quarter, scratch) >
		GATE_STEADY * siegel(late, quarter, scratch);
}

/* At most GROWTH_MAX_POINTS of the points, evenly taken, the last included. */
static size_t thin(const struct growth_point *p, size_t n, struct growth_point *ret)
{
	size_t keep = n < GROWTH_MAX_POINTS ? n : GROWTH_MAX_POINTS;

	for (size_t i = 0; i < keep; i++)
		ret[i] = p[(i + 1) * n / keep - 1];
	return keep;
}

int growth_estimate(const struct growth_point *points, size_t n, struct growth *ret)
{
	struct growth_point p[GROWTH_MAX_POINTS];
	double scratch[2 * GROWTH_MAX_POINTS], residual[GROWTH_MAX_POINTS];
	struct growth g = { .verdict = GROWTH_UNPROVEN, .n_points = n };

	if (n < GROWTH_MIN_POINTS) {
		*ret = g;
		return 0;
	}
	size_t m = thin(points, n, p);
	g.window_s = p[m - 1].t_s - p[0].t_s;
	g.per_s = siegel(p, m, scratch);
	int r = theil_sen_interval(p, m, &g);
	if (r < 0)
		return r;
	for (size_t i = 0; i < m; i++)
		residual[i] = p[i].value - g.per_s * (p[i].t_s - p[m - 1].t_s);
	qsort(residual, m, sizeof *residual, by_value);
	g.level = median(residual, m);
	g.upper = residual[(m - 1) * UPPER / 100] - g.level;
	g.top = residual[m - 1] - g.level;
	g.bottom = g.level - residual[0];
	g.step_s = g.window_s / (double)(n - 1);
	bool grows = passes_gate(p, m, fabs(g.level), scratch) && g.low > 0;
	g.verdict = grows ? GROWTH_GROWING : GROWTH_FLAT;
	*ret = g;
	return 0;
}

/* Half of the window whose slope is this far from the whole's is another, when they
 * part by more than that half scatters: one and a half teeth have a slope, too. */
#define CHANGED 0.15
#define APART 2.0

static bool is_another(const struct growth *late, const struct growth *whole)
{
	double by = fabs(late->per_s - whole->per_s);

	return by > CHANGED * fabs(whole->per_s) && by * late->window_s > APART * (late->upper + late->bottom);
}

int growth_recent(const struct growth_point *points, size_t n, struct growth *ret)
{
	struct growth late;
	int r = growth_estimate(points, n, ret);

	if (r < 0 || n / 2 < GROWTH_MIN_POINTS * 2)
		return r;
	r = growth_estimate(points + n / 2, n - n / 2, &late);
	if (r < 0)
		return r;
	if (late.verdict == GROWTH_GROWING && (ret->verdict != GROWTH_GROWING || is_another(&late, ret)))
		*ret = late;
	return 0;
}

static double seconds(double way, double per_s)
{
	return per_s <= 0 ? INFINITY : way <= 0 ? 0 : way / per_s;
}

int growth_time_to(const struct growth *g, double limit, struct growth_time *ret)
{
	double way = limit - g->level;

	if (g->verdict != GROWTH_GROWING || g->per_s <= 0)
		return 0;
	ret->point_s = seconds(way - g->upper, g->per_s);
	double slack = g->step_s + ret->point_s / 100;
	/* Spikes may be a share of the level: they grow with it. */
	double highest = g->top * (g->level > 0 && limit > g->level ? limit / g->level : 1);
	ret->low_s = seconds(way - highest, g->high) - slack;
	ret->high_s = seconds(way, g->low) + slack;
	if (ret->low_s < 0)
		ret->low_s = 0;
	return 1;
}

/* Spikes that are a share of the level rise a little faster than it. */
#define PEAK_PACE 1.5

int growth_time_by_peaks(const struct growth *g, const struct growth *peaks, double limit, struct growth_time *ret)
{
	if (g->verdict != GROWTH_GROWING || peaks->verdict != GROWTH_GROWING || peaks->per_s <= g->per_s / PEAK_PACE ||
		peaks->per_s >= g->per_s * PEAK_PACE)
		return growth_time_to(g, limit, ret);
	double above = peaks->level + peaks->top - g->level, way = limit - g->level;
	double scale = g->level > 0 && way > 0 ? limit / g->level : 1;
	above = above > 0 ? above : 0;
	ret->point_s = seconds(limit - peaks->level, peaks->per_s);
	double slack = g->step_s + ret->point_s / 100;
	ret->low_s = seconds(way - above * scale, g->high) - slack;
	ret->high_s = seconds(way, g->low) + slack;
	if (ret->low_s < 0)
		ret->low_s = 0;
	ret->point_s = fmin(fmax(ret->point_s, ret->low_s), ret->high_s);
	return 1;
}
