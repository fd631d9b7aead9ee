/*
 * estimate.c - see estimate.h.  Pure arithmetic; called by sites.c for each
 * block of a sampled process, and by the store for intervals.
 */
#include "model/estimate.h"

#include <math.h>

static uint64_t hash(uint64_t z)
{
	z += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t whole(double value, uint64_t random)
{
	double floor_value = floor(value);

	return (uint64_t)floor_value + ((double)(random >> 11) * 0x1p-53 < value - floor_value);
}

struct estimate_part estimate_part(uint64_t size, uint64_t interval, uint64_t key)
{
	if (interval == 0)
		return (struct estimate_part){ .blocks = 1, .bytes = size };
	double missed = exp(-((double)size + 1) / (double)interval);
	double p = -expm1(-((double)size + 1) / (double)interval);
	double bytes = (double)size / p;
	uint64_t random = hash(key);

	return (struct estimate_part){ .blocks = whole(1 / p, random), .bytes = whole(bytes, hash(random)),
		.sampled = true, .of_blocks = { missed / (p * p), missed / p },
		.of_bytes = { bytes * bytes * missed, bytes * missed } };
}

static void spread_add(struct estimate_spread *to, const struct estimate_spread *from)
{
	to->variance += from->variance;
	if (from->step > to->step)
		to->step = from->step;
}

void estimate_add(struct estimate_sum *sum, const struct estimate_part *part)
{
	sum->n += part->sampled;
	spread_add(&sum->of_blocks, &part->of_blocks);
	spread_add(&sum->of_bytes, &part->of_bytes);
}

static void spread_subtract(struct estimate_spread *to, const struct estimate_spread *from, bool none_left)
{
	to->variance -= from->variance;
	if (none_left || to->variance < 0)
		to->variance = 0; /* what rounding left */
}

void estimate_subtract(struct estimate_sum *sum, const struct estimate_part *part)
{
	sum->n -= part->sampled && sum->n;
	spread_subtract(&sum->of_blocks, &part->of_blocks, sum->n == 0);
	spread_subtract(&sum->of_bytes, &part->of_bytes, sum->n == 0);
}

/* ---- the gamma distribution ---- */

/* Lower regularized incomplete gamma function P(a, x): the series for small x,
 * else the continued fraction of 1 - P by Lentz's rule (DLMF 8.11.4, 8.9.2). */
static double gamma_below(double a, double x)
{
	double front = exp(a * log(x) - x - lgamma(a));

	if (x < a + 1) {
		double term = 1 / a, sum = term;

		for (int k = 1; k < 10000 && term > sum * 1e-15; k++) {
			term *= x / (a + k);
			sum += term;
		}
		return sum * front;
	}
	double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
	for (int k = 1; k < 10000; k++) {
		double an = -k * (k - a), change;

		b += 2;
		d = an * d + b;
		d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
		c = b + an / c;
		c = fabs(c) < 1e-300 ? 1e-300 : c;
		change = c * d;
		h *= change;
		if (fabs(change - 1) < 1e-15)
			break;
	}
	return 1 - front * h;
}

/* Wilson and Hilferty 1931: the cube root is nearly normal. */
#define WELL_NORMAL 1e5
static double by_cube_root(double shape, double z)
{
	double t = 1 - 1 / (9 * shape) + z / (3 * sqrt(shape));

	return t > 0 ? shape * t * t * t : 0;
}

/* Abramowitz and Stegun 26.2.23; the search makes it exact. */
static double normal_quantile(double q)
{
	double t = sqrt(-2 * log(q < 0.5 ? q : 1 - q));
	double z = t - (2.515517 + 0.802853 * t + 0.010328 * t * t) /
		(1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t * t * t);

	return q < 0.5 ? -z : z;
}

double estimate_gamma_quantile(double shape, double q)
{
	double z = normal_quantile(q), x = by_cube_root(shape, z);

	if (shape > WELL_NORMAL)
		return x;
	double low = 0, high = shape + 12 * sqrt(shape) + 40;
	for (int i = 0; i < 200 && high - low > 1e-12 * high; i++) {
		if (!(x > low && x < high))
			x = (low + high) / 2;
		double error = gamma_below(shape, x) - q;
		if (error > 0)
			high = x;
		else
			low = x;
		/* Newton's step; a step out of the bracket halves it instead. */
		double density = exp((shape - 1) * log(x) - x - lgamma(shape)), next = x - error / density;
		if (fabs(next - x) <= 1e-12 * x)
			return next;
		x = next;
	}
	return x;
}

/* ---- intervals ---- */

#define TAIL 0.025

/* The quantile of a gamma distribution with this mean and variance. */
static double scaled_quantile(double mean, double variance, double q)
{
	double scale = variance / mean;

	return scale * estimate_gamma_quantile(mean / scale, q);
}

struct estimate_range estimate_range(uint64_t figure, const struct estimate_spread *spread)
{
	double y = (double)figure, v = spread->variance, w = spread->step;
	struct estimate_range r = { figure, figure };

	if (y > 0 && v > 0)
		r.low = (uint64_t)scaled_quantile(y, v, TAIL);
	if (w > 0)
		r.high = (uint64_t)ceil(scaled_quantile(y + w, v + w * w, 1 - TAIL));
	if (r.low > figure)
		r.low = figure;
	if (r.high < figure)
		r.high = figure;
	return r;
}
