/* test_estimate.c - estimates from samples: the quantiles against tables, and
 * bias and coverage over simulated recordings whose truth is known. */
#include <math.h>

#include "model/estimate.h"

#include "check.h"

static uint64_t state;

static uint64_t random_bits(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static double uniform(void)
{
	return ((double)(random_bits() >> 11) + 0.5) * 0x1p-53;
}

#define NEAR(got, want, part) \
	do { \
		double g_ = (got), w_ = (want); \
		if (!CHECK(fabs(g_ - w_) <= (part) * fabs(w_))) \
			fprintf(stderr, "  %s is %.9g, should be %.9g\n", #got, g_, w_); \
	} while (0)

/* Half the quantiles of chi-squared with 2 n degrees of freedom, from tables. */
static void quantiles(void)
{
	NEAR(estimate_gamma_quantile(1, 0.975), 3.688879454, 1e-8); /* -ln 0.025 */
	NEAR(estimate_gamma_quantile(1, 0.025), 0.025317808, 1e-8);
	NEAR(estimate_gamma_quantile(5, 0.025), 1.623486, 1e-6);
	NEAR(estimate_gamma_quantile(6, 0.975), 11.668332, 1e-6);
	NEAR(estimate_gamma_quantile(0.5, 0.975), 2.511943, 1e-6);
	NEAR(estimate_gamma_quantile(50, 0.025), 37.110964, 1e-6);
	NEAR(estimate_gamma_quantile(50, 0.975), 64.780598, 1e-6);
	for (double shape = 0.1; shape < 3e6; shape *= 7)
		CHECK(estimate_gamma_quantile(shape, 0.025) < estimate_gamma_quantile(shape, 0.975));
	NEAR(estimate_gamma_quantile(99999, 0.975), estimate_gamma_quantile(100001, 0.975), 1e-4);
}

/* With equal small blocks: Garwood's interval of the number of samples. */
static void garwood(void)
{
	static const struct {
		unsigned n;
		double low, high;
	} table[] = { {0, 0, 3.6889}, {1, 0.025318, 5.5716}, {4, 1.0899, 10.2416}, {20, 12.2165, 30.8884} };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct estimate_sum sum = { .of_bytes.step = 524288 };
		uint64_t bytes = 0;

		for (unsigned k = 0; k < table[i].n; k++) {
			struct estimate_part part = estimate_part(1000, 524288, k);

			estimate_add(&sum, &part);
			bytes += part.bytes;
		}
		struct estimate_range r = estimate_range(bytes, &sum.of_bytes);
		double each = table[i].n ? (double)bytes / table[i].n : 524288;
		NEAR((double)r.high / each, table[i].high, 4e-3);
		if (table[i].n)
			NEAR((double)r.low / each, table[i].low, 8e-3);
		else
			CHECK_EQ(r.low, 0);
	}
}

static void parts(void)
{
	struct estimate_part exact = estimate_part(100, 0, 1);
	double blocks = 0;

	CHECK_EQ(exact.blocks, 1);
	CHECK_EQ(exact.bytes, 100);
	CHECK(exact.of_bytes.variance == 0 && exact.of_blocks.variance == 0);
	for (uint64_t key = 0; key < 100000; key++)
		blocks += (double)estimate_part(524287, 524288, key).blocks;
	NEAR(blocks / 100000, 1 / (1 - exp(-1)), 5e-3);
	CHECK(estimate_part(0, 524288, 7).blocks >= 524288); /* no size is not never */
	CHECK_EQ(estimate_part(1 << 30, 524288, 7).bytes, 1 << 30);
	/* The same block is the same part, so that taking out leaves nothing. */
	struct estimate_sum sum = { .n = 0 };
	for (uint64_t key = 0; key < 1000; key++) {
		struct estimate_part part = estimate_part(key * 999, 524288, key);
		estimate_add(&sum, &part);
	}
	for (uint64_t key = 0; key < 1000; key++) {
		struct estimate_part part = estimate_part(key * 999, 524288, key);
		estimate_subtract(&sum, &part);
	}
	CHECK_EQ(sum.n, 0);
	CHECK(sum.of_bytes.variance == 0 && sum.of_blocks.variance == 0);
}

/* ---- simulated recordings ---- */

struct site {
	const char *what;
	double expected; /* samples */
	uint64_t (*size)(void);
	double blocks_at_least; /* of the intervals of blocks that hold the truth */
};

static uint64_t small(void) { return 4000; }
static uint64_t mixed(void) { return 16 + random_bits() % 16000; }
static uint64_t heavy(void) /* Pareto: most bytes in few blocks */
{
	double size = 256 / pow(uniform(), 0.9);

	return size > 4e6 ? 4000000 : (uint64_t)size;
}
static uint64_t medium(void) { return 200000 + random_bits() % 400000; }
static uint64_t large(void) { return 3000000; }

#define INTERVAL 524288u

static void simulate(const struct site *s, double *all_covered, double *all)
{
	double sum = 0, truth = 0, block_sum = 0, block_truth = 0;
	/* 1,000 runs, and more where the mean of so few would say little. */
	unsigned covered = 0, blocks_covered = 0, runs = s->expected < 10 ? 10000 : s->expected < 100 ? 2000 : 1000;

	for (unsigned run = 0; run < runs; run++) {
		struct estimate_sum e = { .n = 0 };
		uint64_t bytes = 0, true_bytes = 0, blocks = 0, true_blocks = 0;

		/* As the target counts: points at exponential distances. */
		double left = -log(uniform()) * INTERVAL, goal = s->expected * INTERVAL;
		do {
			uint64_t size = s->size();

			true_bytes += size;
			true_blocks++;
			left -= (double)size + 1;
			if (left >= 0)
				continue;
			struct estimate_part part = estimate_part(size, INTERVAL, random_bits());
			estimate_add(&e, &part);
			bytes += part.bytes;
			blocks += part.blocks;
			left = -log(uniform()) * INTERVAL;
		} while ((double)true_bytes < goal);
		if (e.n == 0) { /* nothing is known of its sizes */
			e.of_bytes.step = INTERVAL;
			e.of_blocks.step = INTERVAL;
		}
		struct estimate_range r = estimate_range(bytes, &e.of_bytes);
		covered += r.low <= true_bytes && true_bytes <= r.high;
		r = estimate_range(blocks, &e.of_blocks);
		blocks_covered += r.low <= true_blocks && true_blocks <= r.high;
		block_sum += (double)blocks;
		block_truth += (double)true_blocks;
		sum += (double)bytes;
		truth += (double)true_bytes;
	}
	printf("%-8s %5.0f samples, %5u runs: bias %+.2f %% of bytes, %+.2f %% of blocks; covered %.1f and %.1f %%\n",
		s->what, s->expected, runs, 100 * (sum / truth - 1), 100 * (block_sum / block_truth - 1),
		100.0 * covered / runs, 100.0 * blocks_covered / runs);
	CHECK(fabs(sum / truth - 1) < 0.02);
	CHECK(fabs(block_sum / block_truth - 1) < 0.04);
	CHECK(covered >= 0.93 * runs);
	CHECK(blocks_covered >= s->blocks_at_least * runs);
	*all_covered += (double)covered / runs;
	*all += 1;
}

static void simulations(void)
{
	/* Four samples of very unequal sizes: nobody knows of the smallest. */
	static const struct site sites[] = {
		{"small", 2, small, 0.93}, {"small", 16, small, 0.93}, {"small", 100, small, 0.93},
		{"mixed", 2, mixed, 0.93}, {"mixed", 16, mixed, 0.93}, {"mixed", 150, mixed, 0.93},
		{"heavy", 4, heavy, 0.7}, {"heavy", 50, heavy, 0.93}, {"heavy", 200, heavy, 0.93},
		{"medium", 3, medium, 0.93}, {"medium", 30, medium, 0.93}, {"medium", 300, medium, 0.93},
		{"large", 30, large, 0.93},
	};
	double covered = 0, all = 0;

	state = 20260101;
	for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++)
		simulate(&sites[i], &covered, &all);
	printf("covered in all: %.2f %%\n", 100 * covered / all);
	CHECK(covered / all <= 0.99);
}

int main(void)
{
	quantiles();
	garwood();
	parts();
	simulations();
	return check_done();
}
