/*
 * growth.h - does it grow, how fast, and when is it at the limit?
 *
 * A trace is a value over time (memory usage, live bytes of a site).  The
 * point estimate is the slope by repeated medians (Siegel 1982: median over i
 * of the median over j of the slopes i-j; half of the points may be
 * anything), the interval the order statistics of all pairwise slopes
 * (Theil 1950, Sen 1968; Kendall's variance of ties-free ranks).
 *
 * Nothing is called growth unless a gate is passed: a warm-up, a sawtooth and
 * a filling cache rise too.  The gate, on minima of sub-windows: Mann-Kendall
 * z > 1.96 over the whole, z > 1 over the second half, the second half
 * alone, carried over the window, adds more than 5 % of the level, and the
 * last quarter rises at least half as fast as the quarter before it.
 */
#ifndef MODEL_GROWTH_H
#define MODEL_GROWTH_H

#include <stddef.h>

#define GROWTH_MAX_POINTS 240 /* longer traces are thinned: n^2 slopes are sorted */
#define GROWTH_MIN_POINTS 12  /* fewer say nothing: UNPROVEN */

struct growth_point {
	double t_s, value;
};

enum growth_verdict { GROWTH_FLAT, GROWTH_GROWING, GROWTH_UNPROVEN };

struct growth {
	enum growth_verdict verdict;
	double per_s, low, high; /* value per second; 95 % interval */
	double level;            /* fitted value at the last point's time */
	double upper, top;       /* how far above the fit 90 % and all of the points lie at most */
	double bottom;           /* and how far below it */
	double step_s;           /* median distance of the points */
	double window_s;
	size_t n_points;
};

struct growth_time {
	double point_s, low_s, high_s; /* high may be INFINITY */
};

/* Points in order of time.  0; -ENOMEM. */
int growth_estimate(const struct growth_point *points, size_t n, struct growth *ret);

/* The same, but where the slope of the last half differs from that of the
 * whole, the last half alone: what came before was a warm-up. */
int growth_recent(const struct growth_point *points, size_t n, struct growth *ret);

/* Time until the value reaches `limit`, from the last point's time; 0 when
 * the trace is not growing, else 1.  The limit is hit by the highest points
 * (the teeth of a saw), so the point estimate starts from `upper`, the
 * earliest time from `top` (as a share of the level), the latest from the fit; nothing is told finer
 * than a step. */
int growth_time_to(const struct growth *g, double limit, struct growth_time *ret);

/* The same with the growth of the highest value that there ever was: it sees what
 * lies between two points, and it is what reaches the limit: the point is when its
 * own line does.  The earliest time is that of all that was ever above the value,
 * as a share of the level, the latest that of nothing.  Not used where its pace is
 * another: it is of an earlier time. */
int growth_time_by_peaks(const struct growth *g, const struct growth *peaks, double limit, struct growth_time *ret);

#endif
