/*
 * sample_filter.c - see the law in sample_filter.h.
 *
 * Grows by eight when an address finds its window full.  Who comes while
 * another thread grows it waits, first without and then with giving up the
 * processor, and last asleep for 20 ms at most: the copy takes less than a look
 * at each place, but the thread that makes it may have no processor, or a lower
 * real-time priority.  When that was not enough the sample is given up and
 * counted as lost: the program does not stand still for us, and a sample that
 * was never recorded needs no end.
 */
#include "sample_filter.h"

#include <stddef.h>

#include "base/doorbell.h"
#include "base/own.h"
#include "base/sys.h"

#define FIRST_LOG 9u /* 512 places: a page */
#define STEP_LOG 3u
#define SETS 8u /* up to 2^30 places */
/* Looks at a set that another thread makes larger: with a pause, with a yield,
 * with a sleep between. */
#define LOOKS 2000
#define YIELDS 200
#define NAPS 400
#define NAP_NS 50000u

#define FIRST_COUNTERS (FILTER_COUNTERS << FIRST_LOG)
#define ROOM 3 /* times the size of the counters: an odd multiple of it lies in there whole */

static _Atomic uintptr_t first_place[(1u << FIRST_LOG) + FILTER_WINDOW - 1];
static _Atomic uint8_t first_counter[ROOM * FIRST_COUNTERS];
static const struct {
	uint8_t before, counter;
} all __attribute__((aligned(2))) = { .counter = 1 };

/* FILTER_WINDOW - 1 more of them than the set has places; 0: empty. */
static _Atomic uintptr_t *places[SETS];
static uint32_t n_sets; /* of who grows; an entry is written once */

const filter_set filter_all = (uintptr_t)&all.counter;
_Atomic filter_set filter_current = (uintptr_t)&all.counter;
static _Atomic filter_set filter_next;
static _Atomic uint32_t growing;

/* Where in memory at `room` so many counters begin. */
static filter_set counters_in(uintptr_t room, uint64_t n)
{
	return ((room + n - 1) & ~(2 * n - 1)) + n;
}

void sample_filter_start(void)
{
	places[0] = first_place;
	n_sets = 1;
	atomic_store(&filter_current, counters_in((uintptr_t)first_counter, FIRST_COUNTERS));
}

/* log2 of its places */
static uint32_t log_of(filter_set f)
{
	return (uint32_t)__builtin_ctzll(f / FILTER_COUNTERS);
}

static _Atomic uintptr_t *places_of(filter_set f)
{
	return places[(log_of(f) - FIRST_LOG) / STEP_LOG];
}

/* A set that was half copied is left alone; the next to grow begins anew. */
void sample_filter_forked(void)
{
	atomic_store(&filter_next, 0);
	atomic_store(&growing, 0);
}

static _Atomic uintptr_t *window(filter_set f, uintptr_t a)
{
	return &places_of(f)[(uint64_t)a * 0x9e3779b97f4a7c15ull >> (64 - log_of(f))];
}

/* By one, up or down; what was ever full stays. */
static void count(filter_set f, uintptr_t a, int by)
{
	_Atomic uint8_t *counter = filter_counter(f, a);
	uint8_t n = atomic_load(counter);
	while (n != UINT8_MAX && !atomic_compare_exchange_weak(counter, &n, (uint8_t)(n + by)))
		;
}

/* False: the window is full.  It may be there already. */
static bool put(filter_set f, uintptr_t a)
{
	_Atomic uintptr_t *w = window(f, a);
	for (uint32_t i = 0; i < FILTER_WINDOW; i++)
		if (atomic_load(&w[i]) == a)
			return true;
	count(f, a, 1);
	for (uint32_t i = 0; i < FILTER_WINDOW; i++) {
		uintptr_t empty = 0;
		if (atomic_compare_exchange_strong(&w[i], &empty, a))
			return true;
	}
	count(f, a, -1);
	return false;
}

static void take(filter_set f, uintptr_t a)
{
	_Atomic uintptr_t *w = window(f, a);
	for (uint32_t i = 0; i < FILTER_WINDOW; i++) {
		uintptr_t found = a;
		if (atomic_compare_exchange_strong(&w[i], &found, 0))
			count(f, a, -1);
	}
}

/* A set larger than all before it, with memory of its own; 0: none. */
static filter_set larger(void)
{
	if (n_sets == SETS)
		return 0;
	uint64_t n = 1ull << (FIRST_LOG + n_sets * STEP_LOG), bytes = (n + FILTER_WINDOW) * sizeof(uintptr_t);
	long memory = own_map(bytes + ROOM * FILTER_COUNTERS * n, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	if (mms_is_error(memory))
		return 0;
	places[n_sets++] = (_Atomic uintptr_t *)memory;
	return counters_in((uintptr_t)memory + bytes, FILTER_COUNTERS * n);
}

static bool copy(filter_set from, filter_set to)
{
	size_t n = ((size_t)1 << log_of(from)) + FILTER_WINDOW - 1;
	for (size_t i = 0; i < n; i++) {
		uintptr_t a = atomic_load(&places_of(from)[i]);
		if (a && !put(to, a))
			return false;
	}
	return true;
}

static void grow(filter_set old)
{
	uint64_t mask = mms_signals_block(); /* a handler would find it growing for good */
	uint32_t idle = 0;
	if (atomic_compare_exchange_strong(&growing, &idle, 1)) {
		filter_set new = atomic_load(&filter_current) == old ? larger() : 0;
		if (new) {
			atomic_store(&filter_next, new);
			if (copy(old, new))
				atomic_store(&filter_current, new);
			atomic_store(&filter_next, 0);
		}
		atomic_store(&growing, 0);
	}
	mms_signals_set(mask);
}

/* True when there is another set than `old`. */
static bool make_room(filter_set old)
{
	if (!doorbell_is_silent())
		grow(old);
	for (int i = 0; i < LOOKS + YIELDS + NAPS && atomic_load(&growing); i++)
		if (i < LOOKS)
			__builtin_ia32_pause();
		else if (i < LOOKS + YIELDS || doorbell_is_silent())
			mms_sched_yield();
		else
			mms_sleep_ns(NAP_NS);
	return atomic_load(&filter_current) != old;
}

bool sample_filter_has(const void *p)
{
	filter_set f = atomic_load(&filter_current);
	uintptr_t a = (uintptr_t)p;
	if (f == filter_all)
		return true;
	const _Atomic uintptr_t *w = window(f, a);
	for (uint32_t i = 0; i < FILTER_WINDOW; i++)
		if (atomic_load_explicit(&w[i], memory_order_relaxed) == a)
			return true;
	return false;
}

bool sample_filter_add(const void *p)
{
	uintptr_t a = (uintptr_t)p;
	for (;;) {
		filter_set f = atomic_load(&filter_current);
		if (f == filter_all)
			return true;
		if (!put(f, a)) {
			if (!make_room(f))
				return false;
			continue;
		}
		filter_set next = atomic_load(&filter_next);
		if (next && !put(next, a)) {
			take(f, a);
			return false;
		}
		if (atomic_load(&filter_current) == f)
			return true;
	}
}

void sample_filter_remove(const void *p)
{
	filter_set f = atomic_load(&filter_current), next = atomic_load(&filter_next);
	if (f != filter_all)
		take(f, (uintptr_t)p);
	if (next)
		take(next, (uintptr_t)p);
}
