/*
 * cow_estimate.h - what some pieces of memory say about all of it.
 *
 * Where protecting all pages of a process would hold it up for too long, pieces
 * of 2 MiB are protected, each with probability p by itself.  A piece is a
 * cluster: a pages of it were shared, x of them did what is counted.  For an area
 * a are its addresses in the piece, for a site the bytes of its blocks: of these
 * all are known, watched or not.
 *
 * Of n pieces that were watched, A being the pages of all pieces:
 *	r = sum x / sum a                        the ratio
 *	T = A r                                  the estimate
 *	V = (1 - f) (A / sum a)^2 n / (n - 1) sum (x - r a)^2,  f = sum a / A
 *	T +- t sqrt V                            t of Student, 97.5 %
 * (Cochran, Sampling Techniques, 1977, 6.4 and 9A: ratio to size, finite
 * population.)  That is 95 % when many pieces have something.  Where fewer
 * than 30 have, and not half of those watched (or fewer than 6 were), the number
 * of pieces that have something is the question: of K such pieces a binomial
 * number is watched, and with the largest K for which y or fewer are seen in
 * 2.5 % of the cases, K - y more are out there, with as much as the fullest
 * that was seen.  The same holds for pages that did not do
 * it, where nearly all did.  What was seen was counted: no interval begins
 * below it, none ends above what was not seen and all of the rest.
 *
 * Pages that came later are in no proportion to those that were there:
 *	T = sum x / p,  V = (1 - p) / p^2 sum x^2     (Horvitz and Thompson)
 */
#ifndef MODEL_COW_ESTIMATE_H
#define MODEL_COW_ESTIMATE_H

#include <stdint.h>

struct cow_range {
	uint64_t point, low, high; /* low <= point <= high; 95 % */
};

/* What was found in the pieces that were watched, added up; zero to begin. */
struct cow_tally {
	double n, a, x, xx, xa, aa, most;
	struct cow_found_in {
		unsigned n; /* pieces that have something */
		double most; /* that one has */
	} hits, rest;
};

/* A piece of size a in which x were found, of `most` that can be there. */
void cow_tally_add(struct cow_tally *t, uint64_t a, uint64_t x, uint64_t most);

/* all: A.  unseen: the most that there can be in the pieces that were not watched. */
struct cow_range cow_tally_ratio(const struct cow_tally *t, uint64_t all, double p, uint64_t unseen);

/* piece: the most that one piece can hold. */
struct cow_range cow_tally_sum(const struct cow_tally *t, double p, uint64_t piece);

#endif
