/*
 * cow_estimate.c - see cow_estimate.h.  Pure arithmetic; called by the
 * collector when a fork that was watched in part is over.
 */
#include "model/cow_estimate.h"

#include <math.h>

#define FEW 30u /* pieces; the sum of more is near enough to normal */
#define ENOUGH 6u /* of these the spread says what others are like */
#define Z 1.959963984540054 /* 97.5 % of the normal distribution */

/* 97.5 % of Student's distribution (Cornish and Fisher's expansion). */
static double student(double freedom)
{
	const double z = Z, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;

	return z + (z3 + z) / 4 / freedom + (5 * z5 + 16 * z3 + 3 * z) / 96 / (freedom * freedom) +
		(3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / 384 / (freedom * freedom * freedom);
}

/* y or fewer of k. */
static double binomial_low(unsigned y, unsigned k, double p)
{
	double sum = 0;

	for (unsigned i = 0; i <= y; i++)
		sum += exp(lgamma(k + 1.0) - lgamma(i + 1.0) - lgamma(k - i + 1.0) + i * log(p) + (k - i) * log1p(-p));
	return sum;
}

/* The largest number of pieces of which so few are watched in 2.5 % of cases. */
static unsigned most_pieces(unsigned y, double p)
{
	unsigned low = y, high = y + 1;

	while (high < 1u << 24 && binomial_low(y, high, p) >= 0.025) {
		low = high;
		high *= 2;
	}
	while (high - low > 1) {
		unsigned mid = low + (high - low) / 2;
		if (binomial_low(y, mid, p) >= 0.025)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static void find(struct cow_found_in *f, double x)
{
	f->n += x > 0;
	f->most = fmax(f->most, x);
}

void cow_tally_add(struct cow_tally *t, uint64_t a, uint64_t x, uint64_t most)
{
	double size = (double)a, found = (double)x;

	t->n++;
	t->a += size;
	t->x += found;
	t->xx += found * found;
	t->xa += found * size;
	t->aa += size * size;
	t->most = fmax(t->most, (double)most);
	find(&t->hits, found);
	find(&t->rest, (double)most - found);
}

/* So many more may be in pieces that were not watched; 0 where many have some,
 * or most of them. */
static double unseen(const struct cow_found_in *f, double n, double p, double most_of_a_piece)
{
	return f->n >= FEW || (n >= ENOUGH && 2.0 * f->n > n) ? 0 : (most_pieces(f->n, p) - f->n) * (f->n ? f->most : most_of_a_piece);
}

static struct cow_range whole(double point, double low, double high)
{
	struct cow_range r = { .point = (uint64_t)(point + 0.5), .low = (uint64_t)low, .high = (uint64_t)ceil(high) };

	r.low = r.low < r.point ? r.low : r.point;
	r.high = r.high > r.point ? r.high : r.point;
	return r;
}

struct cow_range cow_tally_ratio(const struct cow_tally *t, uint64_t all_of_it, double p, uint64_t most_unseen)
{
	double a = t->a, x = t->x, all = fmax((double)all_of_it, a), out = (double)most_unseen;

	if (a == 0)
		return whole(0, 0, out);
	double r = x / a, squares = fmax(t->xx - 2 * r * t->xa + r * r * t->aa, 0);
	unsigned few = t->hits.n < t->rest.n ? t->hits.n : t->rest.n;
	double freedom = few < FEW ? few - 1.0 : t->n - 1;
	double off = t->n < 2 ? out : all / a * sqrt((1 - a / all) * t->n / (t->n - 1) * squares) * student(fmax(freedom, 1));
	double low = all * r - off, high = all * r + off;
	if (all > a) {
		high = fmax(high, x + unseen(&t->hits, t->n, p, t->most));
		low = fmin(low, x + out - unseen(&t->rest, t->n, p, t->most));
	}
	return whole(all * r, fmax(low, x), fmin(high, x + out));
}

struct cow_range cow_tally_sum(const struct cow_tally *t, double p, uint64_t piece)
{
	double x = t->x, off = sqrt((1 - p) * t->xx) / p * student(t->hits.n > 1 ? t->hits.n - 1.0 : 1);

	return whole(x / p, fmax(x / p - off, x), fmax(x / p + off, x + unseen(&t->hits, INFINITY, p, (double)piece)));
}
