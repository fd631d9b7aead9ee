/*
 * test_beat.c - what comes again and again, and growth with such spikes.
 *
 * Truth is the construction: times that are known, and runs of which rate, period,
 * phase, height, delays and how the period changes are drawn anew each time.
 */
#include <math.h>

#include "check.h"
#include "model/beat.h"
#include "model/hit.h"

#define MIB 1048576.0

static uint64_t random_state = 1;

static double uniform(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(random_state >> 11) / 9007199254740992.0;
}

static double between(double low, double high)
{
	return low + (high - low) * uniform();
}

/* The k-th of times that come ever later, or earlier. */
static double time_of(double k, double period, double change)
{
	return 3 + k * period * (1 + change * k);
}

/* Some are missing, one is late: what is 8 ahead is told, and lies in three times
 * of what it may be off. */
static void test_known_times(void)
{
	static const double changes[] = { 0, 0.001, -0.001 };

	for (unsigned c = 0; c < 3; c++) {
		double times[20], spread, change = changes[c];
		struct beat b;
		size_t n = 0;

		for (int k = 0; k < 24; k++) {
			if (k % 6 != 4)
				times[n++] = time_of(k, 0.7, change) + between(-0.01, 0.01) + (k == 10 ? 0.2 : 0);
		}
		CHECK(beat_find(times, n, 0.1, &b));
		CHECK(fabs(b.period_s - 0.7 * (1 + 24 * change)) < 0.01);
		double now_s = times[n - 1], k = beat_number(&b, now_s + 0.1);
		CHECK(fabs(beat_time(&b, k, &spread) - time_of(24, 0.7, change)) < 0.05);
		double ahead = beat_time(&b, k + 8, &spread), truth = time_of(32, 0.7, change);
		CHECK(spread < 0.2 && fabs(ahead - truth) < 3 * spread);
		CHECK(beat_number(&b, beat_time(&b, k, &spread) + 1e-6) == k + 1);
	}
}

static void test_by_chance(void)
{
	unsigned found = 0;

	for (unsigned run = 0; run < 200; run++) {
		double times[20], t = 0;
		struct beat b;

		for (int i = 0; i < 20; i++)
			times[i] = t += -log(1 - uniform());
		found += beat_find(times, 20, 0.2, &b);
		CHECK(!beat_find(times, 4, 0.2, &b)); /* too few, whatever they are */
	}
	printf("a beat in times by chance: %u of 200\n", found);
	CHECK(found <= 10);
}

#define LOOKS 240
#define LEAST 82 /* per cent within 5 % of what is left */

struct run {
	struct growth_point at[LOOKS], peak[LOOKS];
	size_t n;
	double limit, hit_s;
};

/* All is drawn: 20 to 120 looks to the limit, a period of 2 to 8 looks that becomes
 * up to a tenth longer, 0 to 2 % of it delayed; 3 to 15 % of the level, or as much of
 * the limit. */
static void make(struct run *r, bool share)
{
	double look = between(0.05, 2), to_s = look * between(60, 120), rate = between(1, 100) * MIB;
	double start = between(0, 0.3) * rate * to_s, height = between(0.03, 0.15), most = 0;
	double period = look * between(2, 8), change = between(0, 0.1) / to_s, delay = 0.02 * uniform();
	double next = period * uniform(), due = look, step = look / 20;

	r->limit = start + rate * to_s;
	r->n = 0;
	r->hit_s = 0;
	for (double t = 0; r->hit_s == 0; t += step) {
		double level = start + rate * t + between(-0.1, 0.1) * rate * look, value = level;

		if (t >= next) {
			value += share ? level * height : r->limit * height;
			next += period * (1 + change * t) * (1 + delay * uniform());
		}
		most = fmax(most, value);
		if (value >= r->limit)
			r->hit_s = t;
		if (t < due || r->n == LOOKS)
			continue;
		r->at[r->n] = (struct growth_point){ t, value };
		r->peak[r->n++] = (struct growth_point){ t, most };
		due += look;
	}
}

/* Told within a twentieth of what is left, from 40 to 85 % of the way; and held by
 * the interval. */
static void test_spikes_of_all_kinds(void)
{
	static const double parts[] = { 0.4, 0.55, 0.7, 0.85 };

	for (int share = 0; share < 2; share++) {
		unsigned told = 0, five = 0, covered = 0;

		for (unsigned run = 0; run < 60; run++) {
			struct run r;

			make(&r, share);
			for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
				struct growth_time when;
				struct growth g;
				size_t n = 0;

				while (n < r.n && r.at[n].t_s <= parts[p] * r.hit_s)
					n++;
				CHECK_EQ(growth_recent(r.at, n, &g), 0);
				if (!hit_time(r.at, r.peak, n, &g, r.limit, &when))
					continue;
				double left = r.hit_s - r.at[n - 1].t_s;
				told++;
				five += fabs(when.point_s - left) <= 0.05 * left;
				covered += when.low_s <= left && left <= when.high_s;
			}
		}
		printf("spikes of %s: of %u, %u within 5 %%, %u covered\n", share ? "a share" : "one height", told, five, covered);
		CHECK(told >= 200 && covered * 100 >= told * 90);
		CHECK(five * 100 >= told * LEAST);
	}
}

int main(void)
{
	test_known_times();
	test_by_chance();
	test_spikes_of_all_kinds();
	return check_done();
}
