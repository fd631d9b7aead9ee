/*
 * cow_estimate.h - what some pieces of memory say about all of it.
 *
 * Where protecting all pages of a process would hold it up for too long, pieces
 * of 2 MiB are protected, each with probability p by itself.  A piece is a
 * cluster: a pages of it were shared, x of them did what is counted.
 *
 * Of n pieces that were watched, A being the pages of all pieces:
 *	r = sum x / sum a                        the ratio
 *	T = A r                                  the estimate
 *	V = (1 - f) (A / sum a)^2 n / (n - 1) sum (x - r a)^2,  f = sum a / A
 *	T +- t sqrt V                            t of Student, 97.5 %
 * (Cochran, Sampling Techniques, 1977, 6.4 and 9A: ratio to size, finite
 * population.)  That is 95 % when many pieces have something.  Where fewer
 * than 30 have, the number of pieces that have something is the question: of K
 * such pieces a binomial number is watched, and with the largest K for which
 * y or fewer are seen in 2.5 % of the cases, K - y more are out there, with as
 * much as the fullest that was seen.  The same holds for pages that did not do
 * it, where nearly all did.  What was seen was counted: no interval begins
 * below it, none ends above what was not seen and all of the rest.
 *
 * Pages that came later are in no proportion to those that were there:
 *	T = sum x / p,  V = (1 - p) / p^2 sum x^2     (Horvitz and Thompson)
 */
#ifndef MODEL_COW_ESTIMATE_H
#define MODEL_COW_ESTIMATE_H

#include <stddef.h>
#include <stdint.h>

/* A piece that was watched. */
struct cow_cluster {
	uint64_t pages, hits; /* a and x */
};

struct cow_range {
	uint64_t point, low, high; /* low <= point <= high; 95 % */
};

/* all_pages: A.  per_page: the most that one page counts for. */
struct cow_range cow_estimate_ratio(const struct cow_cluster *c, size_t n, uint64_t all_pages, double p, uint64_t per_page);

/* piece_pages: the most that one piece can hold. */
struct cow_range cow_estimate_sum(const struct cow_cluster *c, size_t n, double p, uint64_t piece_pages);

#endif
