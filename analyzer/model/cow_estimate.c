/*
 * cow_estimate.c - see cow_estimate.h.  Pure arithmetic; called by the
 * collector when a fork that was watched in part is over.
 */
#include "model/cow_estimate.h"

#include <math.h>

#define FEW 30u /* pieces; the sum of more is near enough to normal */
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

/* Pieces that have something, and the most that one has. */
struct found {
	unsigned n;
	double most;
};

static void find(struct found *f, double x)
{
	f->n += x > 0;
	f->most = fmax(f->most, x);
}

/* So many more may be in pieces that were not watched; 0 where many have some. */
static double unseen(const struct found *f, double p, double most_of_a_piece)
{
	return f->n >= FEW ? 0 : (most_pieces(f->n, p) - f->n) * (f->n ? f->most : most_of_a_piece);
}

static struct cow_range whole(double point, double low, double high)
{
	struct cow_range r = { .point = (uint64_t)(point + 0.5), .low = (uint64_t)low, .high = (uint64_t)ceil(high) };

	r.low = r.low < r.point ? r.low : r.point;
	r.high = r.high > r.point ? r.high : r.point;
	return r;
}

struct cow_range cow_estimate_ratio(const struct cow_cluster *c, size_t n, uint64_t all_pages, double p, uint64_t per_page)
{
	struct found hits = { 0, 0 }, rest = { 0, 0 };
	double a = 0, x = 0, squares = 0, most = 0;

	for (size_t i = 0; i < n; i++) {
		a += (double)c[i].pages;
		x += (double)c[i].hits;
		most = fmax(most, (double)(c[i].pages * per_page));
		find(&hits, (double)c[i].hits);
		find(&rest, (double)(c[i].pages * per_page) - (double)c[i].hits);
	}
	double all = fmax((double)all_pages, a), out = (all - a) * (double)per_page;
	if (a == 0)
		return whole(0, 0, out);
	for (size_t i = 0; i < n; i++)
		squares += pow((double)c[i].hits - x / a * (double)c[i].pages, 2);
	unsigned few = hits.n < rest.n ? hits.n : rest.n;
	double freedom = few < FEW ? few - 1.0 : (double)n - 1;
	double off = n < 2 ? out : all / a * sqrt((1 - a / all) * (double)n / ((double)n - 1) * squares) *
		student(fmax(freedom, 1));
	double low = all / a * x - off, high = all / a * x + off;
	if (all > a) {
		high = fmax(high, x + unseen(&hits, p, most));
		low = fmin(low, x + out - unseen(&rest, p, most));
	}
	return whole(all / a * x, fmax(low, x), fmin(high, x + out));
}

struct cow_range cow_estimate_sum(const struct cow_cluster *c, size_t n, double p, uint64_t piece_pages)
{
	struct found hits = { 0, 0 };
	double x = 0, squares = 0;

	for (size_t i = 0; i < n; i++) {
		x += (double)c[i].hits;
		squares += (double)c[i].hits * (double)c[i].hits;
		find(&hits, (double)c[i].hits);
	}
	double off = sqrt((1 - p) * squares) / p * student(hits.n > 1 ? hits.n - 1.0 : 1);
	return whole(x / p, fmax(x / p - off, x), fmax(x / p + off, x + unseen(&hits, p, (double)piece_pages)));
}
