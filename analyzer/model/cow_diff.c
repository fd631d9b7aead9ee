/*
 * cow_diff.c - see cow_diff.h.
 *
 * Word by word, since reference counts, lengths and pointers are words.  A
 * word that holds an address of user space before or after is a pointer, even
 * where it moved by little: addresses are asked for first.  Runs in the
 * collector over pages that it holds already; makes no call.
 */
#include "model/cow_diff.h"

#include <stdbool.h>
#include <string.h>

#define WORD 8u

static uint64_t word_at(const void *page, size_t at)
{
	uint64_t word;

	memcpy(&word, (const char *)page + at, sizeof(word));
	return word;
}

static unsigned bytes_of(uint64_t difference)
{
	unsigned n = 0;

	for (; difference; difference >>= 8)
		n += (difference & 0xff) != 0;
	return n;
}

/* Where programs, heaps and libraries lie; two small numbers of 32 bits in one
 * word (the two counts of a shared_ptr) do not reach it. */
static bool is_address(uint64_t word)
{
	return word >> 39 != 0 && word >> 47 == 0;
}

static bool is_pointer(uint64_t before, uint64_t after)
{
	return (is_address(before) || before == 0) && (is_address(after) || after == 0);
}

static bool is_near(uint64_t before, uint64_t after)
{
	int64_t step = (int64_t)(after - before);

	return step <= COW_COUNTER_STEP && step >= -COW_COUNTER_STEP;
}

static bool is_near_half(uint32_t before, uint32_t after)
{
	int32_t step = (int32_t)(after - before);

	return step <= COW_COUNTER_STEP && step >= -COW_COUNTER_STEP;
}

static enum cow_class class_of(uint64_t before, uint64_t after)
{
	if (is_pointer(before, after))
		return COW_POINTER;
	if (is_near(before, after) ||
		(is_near_half((uint32_t)before, (uint32_t)after) &&
			is_near_half((uint32_t)(before >> 32), (uint32_t)(after >> 32))))
		return COW_COUNTER;
	return COW_BULK;
}

struct cow_diff cow_diff_page(const void *before, const void *after, size_t size)
{
	struct cow_diff d = { .class = COW_IDENTICAL };

	for (size_t at = 0; at + WORD <= size; at += WORD) {
		uint64_t old = word_at(before, at), new = word_at(after, at);

		if (old == new)
			continue;
		enum cow_class class = class_of(old, new);
		d.bytes_changed += bytes_of(old ^ new);
		if (class > d.class)
			d.class = class;
	}
	return d;
}

size_t cow_diff_bytes(const void *before, const void *after, size_t n)
{
	const unsigned char *a = before, *b = after;
	size_t changed = 0;

	for (size_t i = 0; i < n; i++)
		changed += a[i] != b[i];
	return changed;
}
