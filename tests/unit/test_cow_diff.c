/*
 * test_cow_diff.c - pages whose change is known by construction (acceptance
 * experiment A8): every page's bytes and class, exactly.
 */
#include "check.h"
#include "model/cow_diff.h"

#define PAGE 4096u
#define WORDS (PAGE / 8u)
#define PAGES 8192

static uint64_t random_state = 17;

static uint64_t rnd(uint64_t n)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 20) % n;
}

struct pair {
	uint64_t before[WORDS], after[WORDS];
};

static uint64_t address(void)
{
	return 0x550000000000ull + rnd(1ull << 36) * 8;
}

static void fill(struct pair *p)
{
	for (size_t i = 0; i < WORDS; i++)
		p->before[i] = rnd(3) ? rnd(100000) + 5000 : address();
	memcpy(p->after, p->before, PAGE);
}

/* Changes a word as the class says; returns the changed bytes. */
static unsigned change(struct pair *p, size_t word, enum cow_class class)
{
	uint64_t old = p->before[word], new;
	unsigned n = 0;

	switch (class) {
	case COW_COUNTER:
		p->before[word] = old = rnd(2) ? 5000 + rnd(100000) : (1 + rnd(50)) << 32 | (5000 + rnd(1000));
		new = rnd(2) ? old + 1 + rnd(COW_COUNTER_STEP) : old - 1 - rnd(COW_COUNTER_STEP);
		break;
	case COW_POINTER:
		p->before[word] = old = rnd(4) ? address() : 0;
		new = old && !rnd(4) ? 0 : address() | 4; /* never the same */
		break;
	default:
		new = old ^ (0x8100000000000000ull | rnd(1ull << 62));
		break;
	}
	p->after[word] = new;
	for (size_t i = 0; i < 8; i++)
		n += (old >> 8 * i & 0xff) != (new >> 8 * i & 0xff);
	return n;
}

static void one_page(enum cow_class class)
{
	static struct pair p;
	unsigned bytes = 0;
	bool done[WORDS] = { false };

	fill(&p);
	if (class != COW_IDENTICAL) {
		size_t n = 1 + rnd(WORDS / 2), first = rnd(WORDS);

		bytes += change(&p, first, class);
		done[first] = true;
		for (size_t i = 0; i < n; i++) {
			size_t word = rnd(WORDS);

			if (done[word])
				continue;
			done[word] = true;
			bytes += change(&p, word, (enum cow_class)(COW_COUNTER + rnd(class - COW_COUNTER + 1)));
		}
	}
	struct cow_diff d = cow_diff_page(p.before, p.after, PAGE);
	CHECK_EQ(d.class, class);
	CHECK_EQ(d.bytes_changed, bytes);
	CHECK_EQ(cow_diff_bytes(p.before, p.after, PAGE), bytes);
}

static enum cow_class of_word(uint64_t before, uint64_t after)
{
	return cow_diff_page(&before, &after, 8).class;
}

static void words(void)
{
	CHECK_EQ(of_word(1, 2), COW_COUNTER);
	CHECK_EQ(of_word(5000, 5000 - COW_COUNTER_STEP), COW_COUNTER);
	CHECK_EQ(of_word(5000, 5000 + COW_COUNTER_STEP + 1), COW_BULK);
	/* Two counts of 32 bits in one word, both moved. */
	CHECK_EQ(of_word(0x0000000200000007ull, 0x0000000300000001ull), COW_COUNTER);
	/* A count that falls below zero. */
	CHECK_EQ(of_word(0, UINT64_MAX), COW_COUNTER);
	CHECK_EQ(of_word(0x7f0000001000ull, 0x7f0000001010ull), COW_POINTER);
	CHECK_EQ(of_word(0, 0x550000001000ull), COW_POINTER);
	CHECK_EQ(of_word(0x550000001000ull, 0), COW_POINTER);
	CHECK_EQ(of_word(0x550000001000ull, 7), COW_BULK);
	CHECK_EQ(of_word(0x4141414141414141ull, 0x4242424242424242ull), COW_BULK);
}

/* Pages come from wherever they were read to. */
static void unaligned(void)
{
	static unsigned char before[PAGE + 8], after[PAGE + 8];

	memset(before, 9, sizeof(before));
	for (size_t shift = 0; shift < 8; shift++) {
		memcpy(after, before, sizeof(after));
		after[shift + 4095]++;
		after[shift]++;
		struct cow_diff d = cow_diff_page(before + shift, after + shift, PAGE);
		CHECK_EQ(d.bytes_changed, 2);
		CHECK_EQ(d.class, COW_BULK);
	}
}

int main(void)
{
	words();
	unaligned();
	for (size_t i = 0; i < PAGES; i++)
		one_page((enum cow_class)(i % N_COW_CLASSES));
	return check_done();
}
