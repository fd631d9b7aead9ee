/*
 * spikes.c - see spikes.h.  Pure arithmetic; called by hit.c for limits that are
 * grown towards: 30 to 40 ms, with 240 spikes.
 */
#include "model/spikes.h"

#include "model/beat.h"

#include <math.h>
#include <stdlib.h>

#define POINTS_MAX 240
#define SPIKES_MIN 2
#define STAND_OUT 8.0 /* the highest, in median distances of points from the line */
#define NOISE 3.0     /* so many of them a spike may be off */
#define AGREE 0.6     /* of the spikes, at least */
#define ODD 0.02      /* of spikes are of another height */
#define GRID 100      /* heights that are tried at a time */
#define UNLIKELY 4.5  /* in logarithms: three standard deviations */
#define SIGMA 1.48    /* median distances in a standard deviation */

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
		double peak = t->peaks[i].value, from = level_at(t, i - 1), to = level_at(t, i);

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

/* A share or height that they agree with: its mean and standard deviation. */
struct agreement {
	size_t n;
	double value, open;
	double support; /* logarithm of the likelihood where it is greatest */
};

static double below(double x)
{
	return erfc(-x / M_SQRT2) / 2;
}

/* How well they all go with this value: the line at each of them lies between the
 * two looks, or it is one of a few that have another height. */
static double support_of(const struct trace *t, bool share, double value)
{
	double sum = 0, sigma = SIGMA / NOISE * t->noise + 1;

	for (size_t i = 0; i < t->n_rises; i++) {
		const struct rise *r = &t->rise[i];
		double level = share ? r->peak / (1 + value) : r->peak - value;

		sum += log(ODD + below((r->to - level) / sigma) - below((r->from - level) / sigma));
	}
	return sum;
}

/* On a grid, which is then made finer where it goes best; the mean of what is
 * likely around that, in steps from the best. */
static void find_agreement(const struct trace *t, bool share, struct agreement *ret)
{
	double low = INFINITY, high = 0, support[GRID + 1];

	for (size_t i = 0; i < t->n_rises; i++) {
		low = fmin(low, fmax(t->rise[i].low, 0));
		high = fmax(high, t->rise[i].high);
	}
	*ret = (struct agreement){ 0 };
	for (int round = 0; round < 2; round++) {
		double step = (high - low) / GRID, sum = 0, mean = 0, square = 0;
		size_t best = 0, from, to;

		for (size_t i = 0; i <= GRID; i++) {
			support[i] = support_of(t, share, low + step * (double)i);
			best = support[i] > support[best] ? i : best;
		}
		ret->support = support[best];
		for (from = best; from > 0 && support[from - 1] > ret->support - UNLIKELY; from--)
			continue;
		for (to = best; to < GRID && support[to + 1] > ret->support - UNLIKELY; to++)
			continue;
		for (size_t i = from; i <= to; i++) {
			double weight = exp(support[i] - ret->support), value = (double)i - (double)best;
			sum += weight;
			mean += weight * value;
			square += weight * value * value;
		}
		mean /= sum;
		ret->value = low + step * ((double)best + mean);
		ret->open = step * sqrt(fmax(square / sum - mean * mean, 0.25));
		high = low + step * (double)(to + 1);
		low = fmax(low + step * ((double)from - 1), 0);
	}
	for (size_t i = 0; i < t->n_rises; i++)
		ret->n += agrees(&t->rise[i], ret->value);
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

/* ---- what is most likely ---- */

#define NODES 33    /* of a normal distribution, from -REACH to REACH */
#define REACH 2.6   /* standard deviations */
#define WITHIN 0.05 /* of what is left: who is told a time plans with that much */
#define NEARLY 0.5  /* as good as the best */
#define EDGE 0.02   /* of what is left: no farther than that from both ends, if it can be */

struct guess {
	double s, weight;
};

static int by_time(const void *a, const void *b)
{
	double x = ((const struct guess *)a)->s, y = ((const struct guess *)b)->s;

	return (x > y) - (x < y);
}

static double node(size_t i)
{
	return REACH * (2.0 * (double)i / (NODES - 1) - 1);
}

static double density(size_t i)
{
	return exp(-node(i) * node(i) / 2);
}

/* The time that most of the weight lies within a twentieth of.  Of those that are
 * nearly as good the earliest: too early a warning is the lesser evil.  In its
 * reach the mean, but so that the ends do not lie on the edge. */
static double likeliest(struct guess *g, size_t n)
{
	double within[2 * NODES * NODES], weight = 0, best = 0, sum = 0;
	size_t first = 0, i, last;

	qsort(g, n, sizeof(*g), by_time);
	for (i = 0; i < n; i++) {
		weight += g[i].weight;
		for (; g[first].s * (1 + WITHIN) < g[i].s * (1 - WITHIN); first++)
			weight -= g[first].weight;
		within[i] = weight;
		best = fmax(best, weight);
	}
	for (i = 0; within[i] < NEARLY * best; i++)
		continue;
	double until_s = g[i].s * (1 + WITHIN) / (1 - WITHIN);
	for (last = i; last < n && g[last].s <= until_s; last++) {
		if (within[last] > within[i])
			i = last;
	}
	weight = 0;
	for (first = i + 1; first > 0 && g[first - 1].s * (1 + WITHIN) >= g[i].s * (1 - WITHIN); first--) {
		weight += g[first - 1].weight;
		sum += g[first - 1].weight * g[first - 1].s;
	}
	double low = g[i].s * (1 - EDGE), high = g[first].s * (1 + EDGE);
	return low > high ? (low + high) / 2 : fmin(fmax(sum / weight, low), high);
}

/* The level is high enough at first_s, give or take spread_s, and at the limit
 * itself at last_s. */
struct course {
	double first_s, spread_s, last_s;
};

/* What may happen, and how likely each of it is. */
struct guesses {
	struct guess at[2 * NODES * NODES];
	size_t n;
};

/* The next one after that, for all that phase and level may be off. */
static void next_beat(struct guesses *g, const struct beat *b, const struct course *c, double weight)
{
	double spread;

	beat_time(b, beat_number(b, c->first_s), &spread);
	for (size_t i = 0; i < NODES; i++) {
		double high_s = fmax(c->first_s + node(i) * c->spread_s, 0);

		for (size_t k = 0; k < NODES; k++) {
			double late_s = node(k) * spread, unused;
			double hit = fmax(beat_time(b, beat_number(b, high_s - late_s), &unused) + late_s, high_s);

			g->at[g->n++] = (struct guess){ fmin(hit, fmax(c->last_s, high_s)), weight * density(i) * density(k) };
		}
	}
}

/* They come by chance, this far apart: at no moment more likely than at first.
 * What is too late to be within reach then is not aimed at. */
static void next_by_chance(struct guesses *g, double apart_s, const struct course *c, double weight)
{
	double sum = 0;

	for (size_t k = 0; k < NODES; k++)
		sum += density(k) / NODES;
	for (size_t i = 0; i < NODES; i++) {
		double high_s = fmax(c->first_s + node(i) * c->spread_s, 0);
		double last_s = fmin(fmax(c->last_s, high_s), high_s * (1 + WITHIN) / (1 - WITHIN));

		for (size_t k = 0; k < NODES; k++) {
			double hit = high_s - apart_s * log(1 - ((double)k + 0.5) / NODES);

			g->at[g->n++] = (struct guess){ fmin(hit, last_s), weight * sum * density(i) };
		}
	}
}

/* One standard deviation of the line where it is high enough, in seconds: of its
 * height in its middle, of its slope, and of what the spikes leave open. */
static double spread_of(const struct trace *t, double off, double first_s, double open)
{
	const struct growth *g = t->g;
	double height = SIGMA * off / sqrt((double)t->n), slope = (g->high - g->low) / (2 * 1.96);

	return hypot(hypot(height, slope * (first_s + g->window_s / 2)), open) / g->per_s;
}

/* All that may happen if they are a share of the level, or of one height. */
static bool guess_by(struct guesses *ret, struct trace *t, double off, double limit, bool share, const struct agreement *a,
	double weight)
{
	const struct growth *g = t->g;
	struct beat beat;
	double times[POINTS_MAX];

	if ((double)a->n < AGREE * (double)t->n_rises)
		return false;
	put_bounds(t, share);
	size_t n = times_of(t, share, a->value, times);
	double level = share ? limit / (1 + a->value) : limit - a->value;
	double open = share ? level * a->open / (1 + a->value) : a->open;
	struct course c = { .first_s = (level - g->level) / g->per_s, .last_s = (limit - g->level) / g->per_s };
	c.first_s = c.first_s > 0 ? c.first_s : 0;
	c.spread_s = spread_of(t, off, c.first_s, open);
	if (beat_find(times, n, 1.5 * g->step_s, &beat))
		next_beat(ret, &beat, &c, weight);
	else
		next_by_chance(ret, time_between(t, share, a->value, times, n), &c, weight);
	return true;
}

bool spikes_time_to(const struct growth_point *points, const struct growth_point *peaks, size_t n,
	const struct growth *g, double limit, double *ret_s)
{
	size_t skip = n > POINTS_MAX ? n - POINTS_MAX : 0;
	struct trace t = { .points = points + skip, .peaks = peaks + skip, .g = g, .n = n - skip };
	struct agreement shared, same;
	struct guesses all = { .n = 0 };

	if (g->verdict != GROWTH_GROWING || g->per_s <= 0 || n < GROWTH_MIN_POINTS)
		return false;
	double off = distance(&t);
	t.noise = NOISE * off;
	if (find_rises(&t) < STAND_OUT * off || t.n_rises < SPIKES_MIN)
		return false;
	put_bounds(&t, false);
	find_agreement(&t, false, &same);
	put_bounds(&t, true);
	find_agreement(&t, true, &shared);
	double most = fmax(shared.support, same.support);
	guess_by(&all, &t, off, limit, true, &shared, exp(shared.support - most));
	guess_by(&all, &t, off, limit, false, &same, exp(same.support - most));
	if (all.n)
		*ret_s = likeliest(all.at, all.n);
	return all.n > 0;
}
