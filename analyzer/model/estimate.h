/*
 * estimate.h - what a few sampled blocks say about all of them.
 *
 * A block of Z bytes was recorded with probability p = 1 - exp(-(Z + 1) / T),
 * each by itself, T being the mean distance of sample points.  It stands for
 * 1 / p blocks and Z / p bytes (Horvitz and Thompson 1952): sums of these are
 * right on average whatever the sizes are.
 *
 * An interval: the sum of independent parts is taken for a Poisson number of
 * equal ones, of the same mean and variance; with equal weights that is the
 * exact interval of Garwood (1936), with unequal ones that of Fay and Feuer
 * (1997).  The variance of a block's part is (1 - p) / p^2, times Z^2 for bytes,
 * so blocks that are sure to be samples widen nothing.
 */
#ifndef MODEL_ESTIMATE_H
#define MODEL_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

/* How far a sum may be off. */
struct estimate_spread {
	double variance;
	double step; /* by so much a sum may be short of what was just not sampled: the largest */
};

/* What one block counts for. */
struct estimate_part {
	uint64_t blocks, bytes;
	bool sampled; /* false: it was sure to be recorded, and is no sample */
	struct estimate_spread of_blocks, of_bytes;
};

/* What a sum of parts rests on; blocks and bytes are kept by the caller. */
struct estimate_sum {
	uint64_t n; /* samples */
	struct estimate_spread of_blocks, of_bytes;
};

/* The part of a block; interval 0: every block was recorded.  Parts are whole
 * numbers: what is behind the point is 0 or 1 by a hash of `key`, so that it
 * is right on average and the same whenever the same block is asked for. */
struct estimate_part estimate_part(uint64_t size, uint64_t interval, uint64_t key);

void estimate_add(struct estimate_sum *sum, const struct estimate_part *part);
void estimate_subtract(struct estimate_sum *sum, const struct estimate_part *part);

/* The 95 % interval of a sum of blocks or bytes. */
struct estimate_range {
	uint64_t low, high;
};
struct estimate_range estimate_range(uint64_t figure, const struct estimate_spread *spread);

/* x for which the gamma distribution of this shape (> 0) has the share q of
 * its mass below x. */
double estimate_gamma_quantile(double shape, double q);

#endif
