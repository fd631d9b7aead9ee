/*
 * test_live.c - the live table against a plain array.
 *
 * Random inserts, finds and takes over addresses that come back often, with
 * thresholds crossed in both directions (first group, one segment, split in
 * 64, growth, cleaning), odd blocks among them.  The seed is printed.
 */
#include "check.h"

#include <errno.h>

#include "model/live.h"

#define N_ADDRESSES 60000u

static uint64_t seed;

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static struct live_block block_for(uint32_t i)
{
	struct live_block b = { .address = 0x7f0000001000ull + (uint64_t)i * 16, .size = draw() % 100000,
		.t_ns = draw() & 0xffffffffffffffull, .site = (uint32_t)draw() & 0xffffff, .thread = (uint32_t)draw() & 0xffffff };

	if (i % 97 == 0)
		b.address = 0xff00000000000000ull + (uint64_t)i * 16; /* above 48 bits */
	if (i % 89 == 0)
		b.address += 3;
	if (draw() % 50 == 0)
		b.size = 1ull << 40 | draw() % 1000;
	return b;
}

static bool same(const struct live_block *a, const struct live_block *b)
{
	return a->address == b->address && a->size == b->size && a->t_ns == b->t_ns && a->site == b->site &&
		a->thread == b->thread;
}

struct model_array {
	struct live_block block[N_ADDRESSES];
	bool there[N_ADDRESSES];
	uint64_t n, walked;
};

static void one_step(struct live_table *t, struct model_array *a, uint32_t i, bool grow)
{
	struct live_block b = block_for(i), got;
	uint64_t address = a->there[i] ? a->block[i].address : b.address;

	if (a->there[i] != live_find(t, address, &got))
		CHECK(!"found what is not there, or not what is");
	if (a->there[i])
		CHECK(same(&got, &a->block[i]));
	if (draw() % 8 < (grow ? 6u : 2u)) {
		CHECK_EQ(live_insert(t, &b), a->there[i] ? -EEXIST : 0);
		if (!a->there[i]) {
			a->block[i] = b;
			a->n++;
		}
		a->there[i] = true;
	} else {
		CHECK_EQ(live_take(t, address, &got), a->there[i]);
		if (a->there[i])
			CHECK(same(&got, &a->block[i]));
		a->n -= a->there[i];
		a->there[i] = false;
	}
}

static void walked(void *arg, const struct live_block *b)
{
	struct model_array *a = arg;

	for (uint32_t i = 0; i < N_ADDRESSES; i++) /* the index is in the address */
		if (a->there[i] && a->block[i].address == b->address) {
			a->walked++;
			return;
		}
	CHECK(!"walked over a block that is not there");
}

static void random_run(uint64_t with, uint32_t span, unsigned steps)
{
	static struct model_array a;
	struct live_table t;

	seed = with * 0x9e3779b97f4a7c15ull + 1;
	memset(&a, 0, sizeof(a));
	live_init(&t);
	for (unsigned i = 0; i < steps; i++) {
		one_step(&t, &a, (uint32_t)(draw() % span), i / (steps / 4 + 1) % 2 == 0);
		if (i % (steps / 8) == 0 && !CHECK(live_is_valid(&t)))
			fprintf(stderr, "seed %" PRIu64 " step %u\n", with, i);
	}
	CHECK_EQ(t.n, a.n);
	if (span < 1000) {
		live_each(&t, walked, &a);
		CHECK_EQ(a.walked, a.n);
	}
	live_done(&t);
}

/* 48 bytes a block and a constant, at every size. */
static void memory_per_block(void)
{
	struct live_table t;
	double worst = 0;

	live_init(&t);
	CHECK_EQ(live_memory(&t), 0);
	for (uint64_t i = 0; i < 1000000; i++) {
		struct live_block b = { .address = 0x550000000000ull + i * 48, .size = i, .site = 1 };

		CHECK_EQ(live_insert(&t, &b), 0);
		if (i == 10)
			CHECK(live_memory(&t) <= 512);
		if (i > 100000 && (double)live_memory(&t) / (double)i > worst)
			worst = (double)live_memory(&t) / (double)i;
	}
	printf("bytes per live block, worst above 100,000: %.1f\n", worst);
	CHECK(worst <= 48);
	live_done(&t);
}

int main(void)
{
	for (uint64_t i = 1; i <= 30; i++) {
		random_run(i, 10, 2000);
		random_run(i, 900, 20000);
	}
	for (uint64_t i = 1; i <= 3; i++)
		random_run(i, N_ADDRESSES, 400000);
	memory_per_block();
	return check_done();
}
