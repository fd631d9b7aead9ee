/*
 * spikes.c - see spikes.h.  Pure arithmetic; called by hit.c for limits that are
 * grown towards: at most 25 ms, with 240 spikes at equal times.
 */
#include "model/spikes.h"

#include <math.h>
#include <stdlib.h>

#define POINTS_MAX 240
#define SPIKES_MIN 2
#define STAND_OUT 8.0 /* the highest, in median distances of points from the line */
#define NOISE 3.0     /* so many of them a spike may be off */
#define AGREE 0.6     /* of the spikes, at least */
#define HASTE 0.05    /* of what is left: most likely the spike comes soon */
#define PERIOD_MIN 6  /* spikes whose times say whether they are equal */
#define RESULTANT 0.9
#define FINENESS 0.002 /* between two periods that are tried */

/* A rise of the highest value above the line, between two looks. */
struct rise {
	double peak;
	double from, to;  /* values of the line between which it began */
	double low, high; /* share or height that it agrees with */
};

struct trace {
	const struct growth_point *points, *peaks;
	const struct growth *g;
	size_t n;
	double noise;
	struct rise rise[POINTS_MAX];
	size_t n_rises;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double level_at(const struct trace *t, size_t i)
{
	return t->g->level + t->g->per_s * (t->points[i].t_s - t->points[t->n - 1].t_s);
}

/* Median distance of the points from the line. */
static double distance(const struct trace *t)
{
	double off[POINTS_MAX];

	for (size_t i = 0; i < t->n; i++)
		off[i] = fabs(t->points[i].value - level_at(t, i));
	qsort(off, t->n, sizeof(*off), by_value);
	return off[t->n / 2];
}

/* Returns how far above the line the highest is. */
static double find_rises(struct trace *t)
{
	double highest = 0;

	for (size_t i = 1; i < t->n; i++) {
		double peak = t->peaks[i].value, to = level_at(t, i);
		/* One that is still there came at this look. */
		double from = peak <= t->points[i].value + t->noise ? to : level_at(t, i - 1);

		if (peak <= t->peaks[i - 1].value || peak <= to + t->noise || from <= 0)
			continue;
		t->rise[t->n_rises++] = (struct rise){ .peak = peak, .from = from, .to = to };
		highest = peak - to > highest ? peak - to : highest;
	}
	return highest;
}

static void put_bounds(struct trace *t, bool share)
{
	for (size_t i = 0; i < t->n_rises; i++) {
		struct rise *r = &t->rise[i];

		r->low = r->peak - t->noise - r->to;
		r->high = r->peak + t->noise - r->from;
		if (share) {
			r->low /= r->to;
			r->high /= r->from;
		}
	}
}

static bool agrees(const struct rise *r, double value)
{
	return r->low <= value && value <= r->high;
}

/* The middle of where most agree; how many that are. */
static size_t most_agree(const struct trace *t, double *ret)
{
	size_t best = 0;

	for (size_t i = 0; i < t->n_rises; i++) {
		double from = t->rise[i].low, to = INFINITY;
		size_t n = 0;

		for (size_t k = 0; k < t->n_rises; k++) {
			const struct rise *r = &t->rise[k];

			n += agrees(r, from);
			double end = agrees(r, from) ? r->high : r->low;
			to = end > from && end < to ? end : to;
		}
		if (n > best) {
			best = n;
			*ret = isinf(to) ? from : (from + to) / 2;
		}
	}
	return best;
}

/* When each of those that agree came, from the last point's time. */
static size_t times_of(const struct trace *t, bool share, double value, double *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_rises; i++) {
		const struct rise *r = &t->rise[i];
		double level = share ? r->peak / (1 + value) : r->peak - value;

		if (agrees(r, value))
			ret[n++] = (level - t->g->level) / t->g->per_s;
	}
	return n;
}

/* How often they come: of the looks between which one would have been seen, the
 * share that has one. */
static double time_between(const struct trace *t, bool share, double value, const double *times, size_t n_times)
{
	double last_s = t->points[t->n - 1].t_s, all_s = 0;
	size_t n = 0, with = 0, k = 0;

	for (size_t i = 1; i < t->n; i++) {
		double from_s = t->points[i - 1].t_s - last_s, to_s = t->points[i].t_s - last_s;
		double height = share ? value * level_at(t, i) : value;
		bool here = false;

		for (; k < n_times && times[k] <= to_s; k++)
			here = here || times[k] > from_s;
		if (height <= t->g->per_s * (to_s - from_s))
			continue; /* overgrown before the look */
		n++;
		with += here;
		all_s += to_s - from_s;
	}
	double part = with ? (double)with / (double)n : 0.5 / ((double)n + 1);
	return (n ? all_s / (double)n : t->g->step_s) / -log(1 - fmin(part, 0.95));
}

/* Length of the mean of the phases; their mean itself, in turns. */
static double resultant(const double *times, size_t n, double period_s, double *ret_phase)
{
	double x = 0, y = 0;

	for (size_t i = 0; i < n; i++) {
		double angle = 2 * M_PI * times[i] / period_s;
		x += cos(angle);
		y += sin(angle);
	}
	*ret_phase = atan2(y, x) / (2 * M_PI);
	return hypot(x, y) / (double)n;
}

/* The largest period that they agree with; 0: none. */
static double find_period(const double *times, size_t n, double least_s, double *ret_phase)
{
	double best = RESULTANT, found = 0, phase;

	if (n < PERIOD_MIN)
		return 0;
	for (double p = (times[n - 1] - times[0]) / 3; p > least_s; p /= 1 + FINENESS) {
		double r = resultant(times, n, p, &phase);

		if (found && p < found / 1.05)
			break;
		if (r > best) {
			best = r;
			found = p;
			*ret_phase = phase;
		}
	}
	return found;
}

bool spikes_time_to(const struct growth_point *points, const struct growth_point *peaks, size_t n,
	const struct growth *g, double limit, double *ret_s)
{
	size_t skip = n > POINTS_MAX ? n - POINTS_MAX : 0;
	struct trace t = { .points = points + skip, .peaks = peaks + skip, .g = g, .n = n - skip };
	double times[POINTS_MAX], shared, same, phase = 0;

	if (g->verdict != GROWTH_GROWING || g->per_s <= 0 || n < GROWTH_MIN_POINTS)
		return false;
	double off = distance(&t);
	t.noise = NOISE * off;
	if (find_rises(&t) < STAND_OUT * off || t.n_rises < SPIKES_MIN)
		return false;
	put_bounds(&t, false);
	size_t n_same = most_agree(&t, &same);
	put_bounds(&t, true);
	size_t n_shared = most_agree(&t, &shared);
	bool share = n_shared >= n_same;
	if ((double)(share ? n_shared : n_same) < AGREE * (double)t.n_rises)
		return false;
	double value = share ? shared : same;
	put_bounds(&t, share);
	size_t n_times = times_of(&t, share, value, times);
	double first_s = ((share ? limit / (1 + value) : limit - value) - g->level) / g->per_s;
	first_s = first_s > 0 ? first_s : 0;
	double period = find_period(times, n_times, 1.5 * g->step_s, &phase);
	*ret_s = period > 0 ? (ceil(first_s / period - phase) + phase) * period :
		first_s + fmin(time_between(&t, share, value, times, n_times), HASTE * first_s);
	return true;
}
