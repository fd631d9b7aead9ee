/*
 * cow_bytes.c - a fork after which both sides change known bytes.
 *
 *     cow_bytes SEED
 *
 * An area of 2,048 pages.  Each side leaves a page alone, writes what stands
 * there already, adds little to some words, moves some addresses, or changes
 * data.  And 4,000 blocks of 64 bytes from one call, a counter in every fourth
 * of which the child raises.  Printed at the end:
 *
 *     area START PAGES PARENT CHILD BOTH BYTES IDENTICAL COUNTERS
 *     blocks BYTES BYSTANDERS
 *
 * BYTES are those that differ, summed over the sides; a page of both counts
 * once, as the graver of the two.  BYSTANDERS: blocks on pages that the child
 * wrote, themselves as they were.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 2048
#define PAGE 4096ul
#define WORDS (PAGE / 8)
#define BLOCKS 4000
#define BLOCK 64
#define ADDRESS 0x00007f1234567000ull

enum class { NONE, SAME, COUNT, MOVE, DATA, CLASSES };

static uint64_t *area, state;
static unsigned char *block[BLOCKS];
static struct {
	enum class class[PAGES];
	unsigned long bytes;
} side[2];

static unsigned rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 33);
}

/* Of a word whose value is known before and after. */
static unsigned differing(uint64_t a, uint64_t b)
{
	unsigned n = 0;

	for (int i = 0; i < 64; i += 8)
		n += ((a ^ b) >> i & 255) != 0;
	return n;
}

/* The first quarter of a page holds addresses, the rest is no address. */
static uint64_t word_before(unsigned i)
{
	return i < WORDS / 4 ? ADDRESS + i * 64 : 0x8181818181818100ull | (i & 255);
}

static uint64_t word_after(enum class c, unsigned i, unsigned step)
{
	uint64_t old = word_before(i);

	switch (c) {
	case COUNT:
		return old + 1 + step % 1000;
	case MOVE:
		return old + 65536 + (uint64_t)(step % 4096) * 4096;
	case DATA:
		return old ^ (uint64_t)(1 + step % 255) << 56;
	default:
		return old;
	}
}

/* write: in the memory of this process; otherwise only what it will be. */
static void change(int who, unsigned seed, int write)
{
	state = seed * 2654435761u + 12345 + (unsigned)who;
	side[who].bytes = 0;
	for (unsigned p = 0; p < PAGES; p++) {
		enum class c = side[who].class[p] = (enum class)(rnd() % CLASSES);
		unsigned first = c == MOVE ? 0 : WORDS / 4, last = c == MOVE ? WORDS / 4 : WORDS;
		for (unsigned i = first + rnd() % 32; c != NONE && i < last; i += 1 + rnd() % 64) {
			uint64_t after = word_after(c, i, rnd());
			side[who].bytes += differing(word_before(i), after);
			if (write)
				((volatile uint64_t *)area)[p * WORDS + i] = after;
		}
	}
}

static __attribute__((noinline)) void make_counters(void)
{
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = malloc(BLOCK);
		if (!block[i])
			abort();
		memset(block[i], i, BLOCK);
		__asm__ volatile("" : : "r"(block[i]) : "memory");
	}
}

static void tell_area(void)
{
	unsigned long n[2] = { 0, 0 }, both = 0, identical = 0, counters = 0;

	for (int p = 0; p < PAGES; p++) {
		enum class a = side[0].class[p], b = side[1].class[p], graver = a > b ? a : b;
		n[0] += a != NONE;
		n[1] += b != NONE;
		both += a != NONE && b != NONE;
		identical += graver == SAME;
		counters += graver == COUNT;
	}
	printf("area %p %d %lu %lu %lu %lu %lu %lu\n", (void *)area, PAGES, n[0], n[1], both,
		side[0].bytes + side[1].bytes, identical, counters);
}

static int lies_on(uintptr_t page, int i)
{
	return (uintptr_t)block[i] / PAGE <= page && page <= ((uintptr_t)block[i] + BLOCK - 1) / PAGE;
}

static void tell_blocks(void)
{
	unsigned bystanders = 0;

	for (int i = 0; i < BLOCKS; i++) {
		int hit = 0;
		for (int k = i < 200 ? 0 : i - 200; k < BLOCKS && k < i + 200 && i % 4; k++)
			hit |= k % 4 == 0 && lies_on(((uintptr_t)block[k] + 16) / PAGE, i);
		bystanders += (unsigned)hit;
	}
	printf("blocks %d %u\n", BLOCKS / 4, bystanders);
}

int main(int argc, char **argv)
{
	unsigned seed = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	int up[2], down[2], status;
	char c = 0;

	/* An area of its own: nothing beside it can be joined with it. */
	char *all = mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED || mprotect(all + PAGE, PAGES * PAGE, PROT_READ | PROT_WRITE) || pipe(up) || pipe(down))
		return 2;
	area = (uint64_t *)(void *)(all + PAGE);
	for (unsigned i = 0; i < PAGES * WORDS; i++)
		area[i] = word_before(i % WORDS);
	make_counters();
	pid_t pid = fork();
	if (pid == 0) {
		change(1, seed, 1);
		for (int i = 0; i < BLOCKS; i += 4)
			++*(volatile unsigned char *)(block[i] + 16);
		_exit(write(up[1], &c, 1) == 1 && read(down[0], &c, 1) == 1 ? 0 : 1);
	}
	if (read(up[0], &c, 1) != 1)
		return 3;
	change(0, seed, 1);
	if (write(down[1], &c, 1) != 1 || waitpid(pid, &status, 0) != pid || status)
		return 3;
	change(1, seed, 0);
	tell_area();
	tell_blocks();
	return 0;
}
