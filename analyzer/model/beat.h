/*
 * beat.h - what comes again and again: when will it come next, and after that?
 *
 * First the largest period is looked for whose phases agree (Rayleigh's resultant).
 * With it the times are numbered, and a curve is laid through them: a beginning, a
 * period, and how much longer or shorter it becomes each time, for who does the
 * same to ever more memory takes ever longer.  That a period changes little is
 * known beforehand and holds the bend down as long as there are few times.  The
 * curve says with each time to come how far off it may be.
 */
#ifndef MODEL_BEAT_H
#define MODEL_BEAT_H

#include <stdbool.h>
#include <stddef.h>

struct beat {
	double period_s;        /* in the middle of the times */
	double at[3];           /* s; s a time; s a time squared */
	double spread[3][3];    /* their covariances */
	double noise_s;         /* of one time */
};

/* Times in ascending order, the last ones count.  False: they do not agree with a
 * period that is longer than least_s. */
bool beat_find(const double *times, size_t n, double least_s, struct beat *ret);

/* When the k-th comes, and one standard deviation of it. */
double beat_time(const struct beat *b, double k, double *ret_spread);

/* The number of the first that comes at t_s or later. */
double beat_number(const struct beat *b, double t_s);

#endif
