/*
 * beat.c - see beat.h.  Pure arithmetic; called by spikes.c.
 */
#include "model/beat.h"

#include <math.h>
#include <string.h>

#define TIMES_MIN 6     /* that say whether they are equally far apart */
#define RESULTANT 0.9   /* at least */
#define SURE 4.0        /* one in fifty is by chance */
#define FINENESS 0.002  /* between two periods that are tried */
#define CHANGE 0.05     /* of a period over all of the times, one standard deviation */
#define OUTLIER 2.5     /* standard deviations: late by chance, not by the period */
#define ROUNDS 3        /* of laying the curve and weighing the times */
#define BEAT_MAX 240    /* times that are looked at */
#define STUDENT 1.2     /* noise that is told from so few is taken for more */

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
	double span = times[n - 1] - times[0], found = 0, phase;

	if (n < TIMES_MIN || span <= least_s)
		return 0;
	/* exp(-n r^2) is the chance of a resultant r by chance, of each of the periods. */
	double best = fmax(RESULTANT, sqrt((log(span / least_s) + SURE) / (double)n));
	for (double p = span / 3; p > least_s; p /= 1 + FINENESS) {
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

/* By Gauss and Jordan; it is symmetric and positive. */
static void invert(double m[3][3])
{
	for (size_t i = 0; i < 3; i++) {
		double pivot = m[i][i];

		m[i][i] = 1;
		for (size_t c = 0; c < 3; c++)
			m[i][c] /= pivot;
		for (size_t r = 0; r < 3; r++) {
			double factor = m[r][i];

			if (r == i)
				continue;
			m[r][i] = 0;
			for (size_t c = 0; c < 3; c++)
				m[r][c] -= factor * m[i][c];
		}
	}
}

static double curve(const double *at, double k)
{
	return at[0] + k * (at[1] + k * at[2]);
}

/* Least squares with a bend of nothing believed beforehand; numbers from the middle. */
static void lay_curve(struct beat *b, const double *k, const double *times, const double *weight, size_t n, double bend)
{
	double sum[3] = { 0 }, m[3][3] = { { 0 } };

	for (size_t i = 0; i < n; i++) {
		double x[3] = { 1, k[i], k[i] * k[i] };

		for (size_t r = 0; r < 3; r++) {
			sum[r] += weight[i] * x[r] * times[i];
			for (size_t c = 0; c < 3; c++)
				m[r][c] += weight[i] * x[r] * x[c];
		}
	}
	m[2][2] += b->noise_s * b->noise_s / (bend * bend);
	invert(m);
	for (size_t r = 0; r < 3; r++) {
		b->at[r] = 0;
		for (size_t c = 0; c < 3; c++)
			b->at[r] += m[r][c] * sum[c];
	}
	memcpy(b->spread, m, sizeof(m));
}

/* What the times are off the curve; those that are far off count no more. */
static void weigh(struct beat *b, const double *k, const double *times, double *weight, size_t n, double least)
{
	double sum = 0, all = 0;

	for (size_t i = 0; i < n; i++) {
		double off = times[i] - curve(b->at, k[i]);
		sum += weight[i] * off * off;
		all += weight[i];
	}
	b->noise_s = fmax(sqrt(sum / fmax(all - 2.5, 1)), least);
	for (size_t i = 0; i < n; i++) {
		double far = fabs(times[i] - curve(b->at, k[i])) / (OUTLIER * b->noise_s);
		weight[i] = far > 1 ? 1 / far : 1;
	}
}

bool beat_find(const double *times, size_t n, double least_s, struct beat *ret)
{
	double k[BEAT_MAX], weight[BEAT_MAX], phase = 0, period;
	size_t skip = n > BEAT_MAX ? n - BEAT_MAX : 0;

	times += skip;
	n -= skip;
	/* Of all of them, else of the later ones: a period that changes much. */
	while ((period = find_period(times, n, least_s, &phase)) == 0 && n > TIMES_MIN) {
		times += (n + 3) / 4;
		n -= (n + 3) / 4;
	}
	if (period == 0)
		return false;
	*ret = (struct beat){ .period_s = period };
	double first = round(times[0] / ret->period_s - phase), last = round(times[n - 1] / ret->period_s - phase);
	double middle = round((first + last) / 2);
	for (size_t i = 0; i < n; i++) {
		k[i] = round(times[i] / ret->period_s - phase) - middle;
		weight[i] = 1;
	}
	double bend = CHANGE * ret->period_s / (2 * (last - first)), least = ret->period_s / 200;
	ret->noise_s = ret->period_s / 20;
	for (int round = 0; round < ROUNDS; round++) {
		lay_curve(ret, k, times, weight, n, bend);
		weigh(ret, k, times, weight, n, least);
	}
	ret->noise_s *= STUDENT;
	ret->period_s = ret->at[1];
	return ret->period_s > 0;
}

double beat_time(const struct beat *b, double k, double *ret_spread)
{
	double x[3] = { 1, k, k * k }, sum = 1;

	for (size_t r = 0; r < 3; r++)
		for (size_t c = 0; c < 3; c++)
			sum += x[r] * x[c] * b->spread[r][c];
	*ret_spread = b->noise_s * sqrt(sum);
	return curve(b->at, k);
}

double beat_number(const struct beat *b, double t_s)
{
	double k = 0;

	/* Newton; the bend is small. */
	for (int i = 0; i < 8; i++)
		k += (t_s - curve(b->at, k)) / fmax(b->at[1] + 2 * k * b->at[2], b->at[1] / 2);
	return ceil(k);
}
