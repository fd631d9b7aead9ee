/*
 * leak_mix.c - 151 sites of which 15 leak, beside caches, sessions, start-up
 * and temporary blocks: an hour of a server in SECONDS (acceptance A20).
 *
 *     leak_mix SECONDS
 *
 * A site's number is the path to its malloc: eight calls of zero() or one(),
 * outermost bit first.  Sites below 15 leak.  Pointers to what is forgotten
 * are dropped; everything else stands in `held`.  map_pages() maps 8 areas of
 * 1 MiB, touches 0, 2, ... 14 pages of them, and never unmaps.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define SITES 151
#define LEAKING 15
#define HELD 2048
#define STEP_NS 5000000

struct held {
	void *block;
	unsigned dies; /* step */
};

static struct held held[SITES][HELD];
static unsigned n_held[SITES];
static unsigned steps; /* of the whole run */
static uint64_t random_state = 1;

static double uniform(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(random_state >> 11) / 9007199254740992.0;
}

static void *zero(unsigned site, int depth, size_t size);
static void *one(unsigned site, int depth, size_t size);

static inline __attribute__((always_inline)) void *further(unsigned site, int depth, size_t size)
{
	void *volatile p = depth == 0 ? malloc(size)
		: site & 1u << (depth - 1) ? one(site, depth - 1, size) : zero(site, depth - 1, size);
	return p;
}

static __attribute__((noinline)) void *zero(unsigned site, int depth, size_t size)
{
	__asm__ volatile("# zero"); /* or the compiler makes one function of the two */
	return further(site, depth, size);
}

static __attribute__((noinline)) void *one(unsigned site, int depth, size_t size)
{
	__asm__ volatile("# one"); /* or the compiler makes one function of the two */
	return further(site, depth, size);
}

static void hold(unsigned site, unsigned now, double life_steps, size_t size)
{
	void *block = site & 128 ? one(site, 7, size) : zero(site, 7, size);

	if (n_held[site] < HELD)
		held[site][n_held[site]++] = (struct held){block, now + 1 + (unsigned)life_steps};
	else
		free(block);
}

static void forget(unsigned site, size_t size)
{
	void *block = site & 128 ? one(site, 7, size) : zero(site, 7, size);

	memset(block, 0, size);
}

static void end_lives(unsigned site, unsigned now)
{
	for (unsigned i = 0; i < n_held[site];) {
		if (held[site][i].dies > now) {
			i++;
			continue;
		}
		free(held[site][i].block);
		held[site][i] = held[site][--n_held[site]];
		held[site][n_held[site]].block = NULL;
	}
}

static void step(unsigned site, unsigned now)
{
	static const double share[] = {1, 0.5, 0.2, 0.1, 0.3};

	end_lives(site, now);
	if (site < LEAKING) {
		if (uniform() < share[site % 5])
			forget(site, 64 + 40 * site);
		else
			hold(site, now, steps * 0.01 * uniform(), 64 + 40 * site);
	} else if (site % 4 == 0) { /* a cache: full after a part of the run */
		hold(site, now, steps * (0.05 + 0.4 * (site % 10) / 10), (size_t)(50 + 500 * uniform()));
	} else if (site % 4 == 1) { /* sessions, more of them at noon */
		if (uniform() < 0.5 + 0.4 * ((double)(now * 3 % steps) / steps))
			hold(site, now, steps * 0.05 * uniform() * 2, (size_t)(100 + 300 * uniform()));
	} else if (site % 4 == 2) {
		if (now < steps / 50 + 5)
			hold(site, now, 4e9, (size_t)(100 + 2000 * uniform()));
	} else {
		hold(site, now, 2 * uniform(), 512);
	}
}

static __attribute__((noinline)) void map_pages(unsigned n_touched)
{
	char *area = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area != MAP_FAILED)
		memset(area, 1, n_touched * 4096);
}

int main(int argc, char **argv)
{
	struct timespec pause = {0, STEP_NS};

	steps = (unsigned)((argc > 1 ? atof(argv[1]) : 10) * 1e9 / STEP_NS);
	for (unsigned i = 0; i < 8; i++)
		map_pages(2 * i);
	for (unsigned now = 0; now < steps; now++) {
		for (unsigned site = 0; site < SITES; site++)
			step(site, now);
		nanosleep(&pause, NULL);
	}
	return 0;
}
