/*
 * test_growth.c - the slope, its interval and the gate on made traces.
 *
 * Truth is the trace's construction.  Acceptance A14: 200 flat traces
 * (warm-up and plateau, sawtooth, cache fill, noise), at most 2 called
 * growing; and growing ones are found.
 */
#include <math.h>

#include "check.h"
#include "model/growth.h"

#define N 120

static uint64_t random_state;

static double uniform(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(random_state >> 11) / 9007199254740992.0;
}

static double noise(double size)
{
	return size * (uniform() + uniform() + uniform() - 1.5);
}

enum shape { WARM_UP, SAWTOOTH, CACHE_FILL, NOISE, SHAPES };

/* Flat in the long run: nothing here is a leak. */
static double flat(enum shape shape, double t, double a, double b)
{
	double level = 200e6;

	switch (shape) {
	case WARM_UP: /* reaches its level within a third of the window */
		return level * (1 - exp(-t / (8 + 20 * a))) + noise(0.002 * level);
	case SAWTOOTH:
		return level * (0.6 + 0.4 * fmod(t / (3 + 15 * a) + b, 1)) + noise(0.002 * level);
	case CACHE_FILL: /* linear, then full */
		return level * (t < 15 + 30 * a ? 0.3 + 0.7 * t / (15 + 30 * a) : 1) + noise(0.002 * level);
	default:
		return level + noise((0.005 + 0.05 * a) * level);
	}
}

static void make(struct growth_point *p, enum shape shape, double slope, double a, double b)
{
	for (int i = 0; i < N; i++)
		p[i] = (struct growth_point){ i, flat(shape, i, a, b) + slope * i };
}

static void test_no_false_alarm(void)
{
	unsigned alarms = 0, found = 0, covered = 0, growing = 0;

	for (unsigned seed = 1; seed <= 200; seed++) {
		struct growth_point p[N];
		struct growth g;
		enum shape shape = seed % SHAPES;

		random_state = seed * 7919;
		double a = uniform(), b = uniform();
		make(p, shape, 0, a, b);
		CHECK_EQ(growth_recent(p, N, &g), 0);
		alarms += g.verdict == GROWTH_GROWING;
		make(p, shape, 2e6, a, b); /* doubles within the window */
		CHECK_EQ(growth_recent(p, N, &g), 0);
		found += g.verdict == GROWTH_GROWING;
		if (shape == NOISE) {
			growing++;
			covered += g.low <= 2e6 && 2e6 <= g.high;
		}
	}
	printf("alarms on 200 flat traces: %u; leaks found: %u of 200; interval covers %u of %u\n",
		alarms, found, covered, growing);
	CHECK(alarms <= 2);
	CHECK(found >= 190);
	CHECK(covered * 100 >= growing * 90);
}

static void test_exact_line(void)
{
	struct growth_point p[N];
	struct growth g;
	struct growth_time when;

	for (int i = 0; i < N; i++)
		p[i] = (struct growth_point){ i * 0.5, 100 + 3.0 * i };
	CHECK_EQ(growth_estimate(p, N, &g), 0);
	CHECK(g.verdict == GROWTH_GROWING && fabs(g.per_s - 6) < 1e-9);
	CHECK(fabs(g.low - 6) < 1e-9 && fabs(g.high - 6) < 1e-9);
	CHECK(fabs(g.level - p[N - 1].value) < 1e-9);
	CHECK_EQ(growth_time_to(&g, g.level + 60, &when), 1);
	CHECK(fabs(when.point_s - 10) < 1e-9);
	CHECK_EQ(growth_estimate(p, GROWTH_MIN_POINTS - 1, &g), 0);
	CHECK(g.verdict == GROWTH_UNPROVEN);
	CHECK_EQ(growth_time_to(&g, 1, &when), 0);
}

/* One point in twenty lies far off: the slope does not move. */
static void test_spikes(void)
{
	struct growth_point p[N];
	struct growth g;

	random_state = 5;
	for (int i = 0; i < N; i++)
		p[i] = (struct growth_point){ i, 1e8 + 1e6 * i + (i % 20 == 7 ? 5e8 : 0) + noise(1e5) };
	CHECK_EQ(growth_estimate(p, N, &g), 0);
	CHECK(g.verdict == GROWTH_GROWING && fabs(g.per_s - 1e6) < 1e4);
}

static void test_falling(void)
{
	struct growth_point p[N];
	struct growth g;

	for (int i = 0; i < N; i++)
		p[i] = (struct growth_point){ i, 1e8 - 1e5 * i };
	CHECK_EQ(growth_estimate(p, N, &g), 0);
	CHECK(g.verdict == GROWTH_FLAT && g.per_s < 0);
}

int main(void)
{
	test_exact_line();
	test_spikes();
	test_falling();
	test_no_false_alarm();
	return check_done();
}
