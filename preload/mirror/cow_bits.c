/*
 * cow_bits.c - see cow_bits.h.
 *
 * A piece of as many pages as there is room for entries is read; then
 * PAGEMAP_SCAN is asked which of them are the zero page or lie in a 2 MiB
 * entry, and that is noted in the low bits, where a page's frame would stand.
 * A piece is one step of the kernel's: mmap_lock is not held for long.
 */
#include "mirror/cow_bits.h"

#include <errno.h>

#include "base/sys.h"

#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRY_FILE (1ull << 61)
#define ENTRY_GUARD (1ull << 58)
#define ENTRY_FRAME ((1ull << 55) - 1)
#define NOTE_ZERO 1ull /* in the place of the frame */
#define NOTE_HUGE 2ull

static unsigned categories_of(const struct cow_bits *b, uint64_t entry)
{
	bool swapped = (entry & ENTRY_SWAPPED) && !(entry & ENTRY_GUARD);
	bool huge = entry & NOTE_HUGE, written = b->bit && (entry >> b->bit & 1);

	if (!swapped && (!(entry & ENTRY_PRESENT) || entry & (ENTRY_FILE | NOTE_ZERO)))
		return 0;
	if (b->bit == COW_BIT_ALONE && swapped)
		written = false;
	return (swapped ? IS_SWAPPED : IS_PRESENT) | (huge ? IS_HUGE : 0) | (written ? IS_WRITTEN : 0);
}

static void note(struct cow_bits *b, uintptr_t start, const struct page_region *r)
{
	uint64_t what = (r->categories & IS_ZERO ? NOTE_ZERO : 0) | (r->categories & IS_HUGE ? NOTE_HUGE : 0);

	for (uint64_t i = (r->start - start) >> 12; i < (r->end - start) >> 12; i++)
		b->entry[i] |= what;
}

/* Huge entries lie beside pages of others, so that regions can be many. */
static int note_zero_and_huge(struct cow_bits *b, uintptr_t start, uintptr_t end)
{
	uintptr_t at = start;

	while (at < end && !b->no_zero) {
		struct pm_scan_arg arg = { .size = sizeof(arg), .start = at, .end = end,
			.vec = (uint64_t)(uintptr_t)b->region, .vec_len = b->n_regions,
			.category_anyof_mask = IS_ZERO | IS_HUGE, .return_mask = IS_ZERO | IS_HUGE };
		long n = mms_ioctl(b->pagemap_fd, SCAN_IOCTL, &arg);

		if (n == -ENOTTY || n == -EINVAL)
			b->no_zero = true;
		else if (n < 0)
			return (int)n;
		for (long i = 0; i < n; i++)
			note(b, start, &b->region[i]);
		if (n < (long)b->n_regions)
			break;
		at = arg.walk_end > b->region[n - 1].end ? arg.walk_end : b->region[n - 1].end;
	}
	return 0;
}

static void tell(struct cow_bits *b, uint64_t first, size_t n)
{
	for (size_t i = 0, j; i < n; i = j) {
		unsigned categories = categories_of(b, b->entry[i]);

		for (j = i + 1; j < n && categories_of(b, b->entry[j]) == categories; j++)
			;
		if (categories)
			b->run(b->arg, first + i, j - i, categories);
		if (categories & IS_SWAPPED)
			b->n_swapped += j - i;
	}
}

int cow_bits_range(struct cow_bits *b, uintptr_t start, uintptr_t end)
{
	while (start < end) {
		uint64_t left = (end - start) >> 12, present = 0;
		size_t n = left < b->n_entries ? (size_t)left : b->n_entries;
		long got = mms_pread(b->pagemap_fd, b->entry, n * 8, start >> 12 << 3);

		if (got < 8)
			return got < 0 ? (int)got : -ESRCH;
		n = (size_t)got / 8;
		for (size_t i = 0; i < n; i++) {
			present |= b->entry[i];
			b->entry[i] &= ~ENTRY_FRAME;
		}
		int r = present & ENTRY_PRESENT ? note_zero_and_huge(b, start, start + (n << 12)) : 0;
		if (r < 0)
			return r;
		if (present & (ENTRY_PRESENT | ENTRY_SWAPPED))
			tell(b, start >> 12, n);
		start += n << 12;
	}
	return 0;
}
