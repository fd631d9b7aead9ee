/* test_sample.c - the target's side of sampling: distances of points, and the
 * set of addresses under threads that add, look and remove while it grows. */
#include <math.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/doorbell.h"
#include "capture/sample.h"
#include "capture/sample_filter.h"

#include "check.h"

bool doorbell_is_silent(void) { return false; }
__thread struct sample_count sample_count __attribute__((tls_model("initial-exec"))) = { .left = SAMPLE_ASK };

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Exponential: the mean, the share beyond one and three intervals, the ends. */
static void distances(void)
{
	const double interval = 524288, n = 1000000;
	double sum = 0, beyond_1 = 0, beyond_3 = 0, below_1 = 0;
	uint64_t state = 1;

	for (int i = 0; i < (int)n; i++) {
		double d = (double)sample_distance(next(&state), 524288);

		sum += d;
		beyond_1 += d > interval;
		beyond_3 += d > 3 * interval;
		below_1 += d < interval / 100;
	}
	CHECK(fabs(sum / n / interval - 1) < 0.005);
	CHECK(fabs(beyond_1 / n - exp(-1)) < 0.003);
	CHECK(fabs(beyond_3 / n - exp(-3)) < 0.002);
	CHECK(fabs(below_1 / n - (1 - exp(-0.01))) < 0.001);
	CHECK_EQ(sample_distance(UINT64_MAX, 1 << 20), 0);
	CHECK(fabs((double)sample_distance(1ull << 63, 1ull << 30) - M_LN2 * (1ull << 30)) < 2); /* half */
	CHECK(sample_distance(0, 1ull << 40) < 45ull << 40);
	CHECK_EQ(sample_distance(12345, 0), 0);
}

/* What a free asks: first the counters, then the places. */
static bool has(uintptr_t a)
{
	return sample_filter_may_have((void *)a) && sample_filter_has((void *)a);
}

static void one_thread(void)
{
	enum { N = 20000 };
	unsigned asked = 0, missed = 0, wrong = 0;

	CHECK(has(0x1000)); /* where nothing is sampled every end is recorded */
	CHECK(sample_filter_add((void *)0x1000));
	sample_filter_remove((void *)0x1000);
	CHECK(has(0x1000));
	sample_filter_start();
	CHECK(!has(0x1000));
	for (uintptr_t i = 1; i <= N; i++)
		REQUIRE(sample_filter_add((void *)(i * 48)));
	for (uintptr_t i = 1; i <= N; i++) {
		missed += !has(i * 48);
		wrong += has(i * 48 + 16);
		asked += sample_filter_may_have((void *)(next(&(uint64_t){ i }) >> 16 & ~(uint64_t)15));
	}
	CHECK_EQ(missed, 0);
	CHECK_EQ(wrong, 0);
	CHECK(sample_filter_add((void *)48)); /* a second time is once */
	for (uintptr_t i = 1; i <= N; i++)
		sample_filter_remove((void *)(i * 48));
	for (uintptr_t i = 1; i <= N; i++)
		wrong += has(i * 48);
	CHECK_EQ(wrong, 0);
	/* A counter for each 13 addresses at least, and what went is not counted any more. */
	CHECK(asked < N / 10);
	asked = 0;
	for (uintptr_t i = 1; i <= N; i++)
		asked += sample_filter_may_have((void *)(i * 48));
	CHECK_EQ(asked, 0);
}

/* More addresses with one counter than it can count. */
static void full_counter(void)
{
	enum { N = 1000 };
	unsigned missed = 0;

	sample_filter_start();
	for (uintptr_t i = 1; i <= N; i++)
		REQUIRE(sample_filter_add((void *)(i << 32)));
	for (uintptr_t i = 1; i < N; i++)
		sample_filter_remove((void *)(i << 32));
	CHECK(has((uintptr_t)N << 32));
	for (uintptr_t i = 1; i < N; i++)
		missed += has(i << 32);
	CHECK_EQ(missed, 0);
}

/* The countdown: what spends it, and sizes that no allocator has. */
static void countdown(void)
{
	sample_count.left = 100;
	CHECK(!sample_countdown(60));
	CHECK(!sample_countdown(38)); /* 99 and 1 for each */
	CHECK(sample_countdown(0) && sample_count.left == -1);
	const size_t odd[] = { 0, 1, PTRDIFF_MAX - 1, PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, (size_t)3 << 62, SIZE_MAX };
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		sample_ask();
		if (sample_countdown(odd[i]))
			sample_ask();
		sample_refused(odd[i]);
		CHECK(sample_countdown(0)); /* the next one asks */
	}
}

/* ---- threads ---- */

#define N_THREADS 4
#define HELD 3000 /* addresses of a thread at a time */

struct work {
	unsigned number, rounds, missed, refused;
};

/* Each thread's addresses are its own, as blocks are; those it has must be
 * found, whatever the others do and however often the set grows. */
static void *work(void *arg)
{
	struct work *w = arg;
	static uintptr_t held[N_THREADS][HELD];
	uintptr_t *mine = held[w->number];
	uint64_t state = w->number;

	for (unsigned i = 0; i < w->rounds; i++) {
		unsigned at = (unsigned)(next(&state) % (i / 40 < HELD ? i / 40 + 1 : HELD)); /* ever more of them */

		if (mine[at]) {
			w->missed += !has(mine[at]);
			sample_filter_remove((void *)mine[at]);
		}
		mine[at] = (next(&state) >> 24 << 8 | w->number << 4) + 0x10000;
		if (!sample_filter_add((void *)mine[at])) {
			w->refused++;
			mine[at] = 0;
		}
		at = (unsigned)(next(&state) % HELD);
		w->missed += mine[at] && !has(mine[at]);
	}
	for (unsigned i = 0; i < HELD; i++)
		w->missed += mine[i] && !has(mine[i]);
	return NULL;
}

static void threads(unsigned rounds)
{
	pthread_t thread[N_THREADS];
	struct work w[N_THREADS];
	unsigned missed = 0, refused = 0;

	sample_filter_start();
	for (unsigned i = 0; i < N_THREADS; i++) {
		w[i] = (struct work){ .number = i, .rounds = rounds };
		REQUIRE(pthread_create(&thread[i], NULL, work, &w[i]) == 0);
	}
	for (unsigned i = 0; i < N_THREADS; i++) {
		pthread_join(thread[i], NULL);
		missed += w[i].missed;
		refused += w[i].refused;
	}
	printf("%u rounds in each of %u threads: %u refused\n", rounds, N_THREADS, refused);
	CHECK_EQ(missed, 0);
	/* Who finds the set growing may give a sample up: seldom. */
	CHECK(refused < rounds / 100);
}

/* Each part in a process of its own: sets are never given back. */
static void apart(void (*part)(unsigned), unsigned argument)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		part(argument);
		fflush(stdout);
		_exit(check_done());
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 400000;

	distances();
	countdown();
	one_thread();
	full_counter();
	apart(threads, rounds);
	return check_done();
}
