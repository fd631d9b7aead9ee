/*
 * sample_distance.c - exponential distances from random bits, by integers.
 *
 * -T ln(r / 2^64) to 32 bits behind the point: 32 multiplications, once a
 * sample.  Pure; called by sample.c.
 */
#include "sample.h"

/* -log2(r / 2^64) in units of 2^-32, r > 0: bit by bit, by squaring. */
static uint64_t minus_log2(uint64_t r)
{
	unsigned n = 63 - (unsigned)__builtin_clzll(r);
	uint64_t x = r << (63 - n); /* 1 <= x < 2, with 63 bits behind the point */
	uint64_t log = (uint64_t)n << 32;
	for (int bit = 31; bit >= 0; bit--) {
		unsigned __int128 square = (unsigned __int128)x * x;
		bool above = square >> 127;
		x = (uint64_t)(square >> (above ? 64 : 63));
		log |= (uint64_t)above << bit;
	}
	return (64ull << 32) - log;
}

#define LN2 2977044472ull /* ln 2 in units of 2^-32 */

uint64_t sample_distance(uint64_t random, uint64_t interval)
{
	uint64_t e = (uint64_t)((unsigned __int128)minus_log2(random ? random : 1) * LN2 >> 32);
	return (uint64_t)((unsigned __int128)e * interval >> 32);
}
