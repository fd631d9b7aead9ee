/*
 * own.c - see own.h.
 *
 * A table of pairs that grows without a lock: an entry is taken by its start,
 * its end is written after it, and an entry with end 0 is not looked at.
 * Called by whoever of us maps memory, from any thread or signal handler.
 */
#include "own.h"

#include <stdatomic.h>

#include <mmscope/session.h>

#include "sys.h"

/* The collector finds it by its first words. */
static struct mms_own_table table = { .magic = { MMS_OWN_MAGIC_0, MMS_OWN_MAGIC_1 } };
_Static_assert(OWN_AREAS == MMS_OWN_AREAS, "table");

static uintptr_t page_up(uintptr_t a)
{
	return (a + 4095) & ~(uintptr_t)4095;
}

void own_note(const void *at, size_t bytes)
{
	uintptr_t start = (uintptr_t)at;
	for (uint32_t i = 0; i < OWN_AREAS; i++) {
		uintptr_t nobody = 0;
		if (!atomic_compare_exchange_strong(&table.area[i].start, &nobody, start))
			continue;
		atomic_store(&table.area[i].end, page_up(start + bytes));
		uint32_t n = atomic_load(&table.n_taken);
		while (n <= i && !atomic_compare_exchange_weak(&table.n_taken, &n, i + 1))
			;
		return;
	}
}

long own_map(size_t bytes, int prot, int flags)
{
	long at = mms_mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	if (!mms_is_error(at))
		own_note((void *)at, bytes);
	return at;
}

/* Whole areas and heads and tails; of a middle the upper part is forgotten. */
int own_unmap(void *at, size_t bytes)
{
	uintptr_t start = (uintptr_t)at, end = page_up(start + bytes);
	for (uint32_t i = 0; i < atomic_load(&table.n_taken); i++) {
		uintptr_t a = atomic_load(&table.area[i].start), b = atomic_load(&table.area[i].end);
		if (b <= start || a >= end)
			continue;
		if (a < start) {
			atomic_store(&table.area[i].end, start);
		} else if (b > end) {
			atomic_store(&table.area[i].start, end);
		} else {
			atomic_store(&table.area[i].end, 0);
			atomic_store(&table.area[i].start, 0);
		}
	}
	return mms_munmap(at, bytes);
}

bool own_next(uintptr_t address, uintptr_t *ret_start, uintptr_t *ret_end)
{
	bool found = false;
	for (uint32_t i = 0; i < atomic_load(&table.n_taken); i++) {
		uintptr_t a = atomic_load(&table.area[i].start), b = atomic_load(&table.area[i].end);
		if (b <= address || a >= b || (found && a >= *ret_start))
			continue;
		*ret_start = a > address ? a : address;
		*ret_end = b;
		found = true;
	}
	return found;
}
