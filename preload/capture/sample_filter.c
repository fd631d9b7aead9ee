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
#define LAST_LOG 30u
/* Looks at a set that another thread makes larger: with a pause, with a yield,
 * with a sleep between. */
#define LOOKS 2000
#define YIELDS 200
#define NAPS 400
#define NAP_NS 50000u


static _Atomic uintptr_t first_place[(1u << FIRST_LOG) + FILTER_WINDOW - 1];
static _Alignas(struct filter_set) unsigned char first[sizeof(struct filter_set) + (FILTER_COUNTERS << FIRST_LOG)];

struct filter_set filter_all = { .counter = { 1 } };
struct filter_set *_Atomic filter_current = &filter_all;
static struct filter_set *_Atomic filter_next;
static _Atomic uint32_t growing;

static struct filter_set *set_at(void *memory, _Atomic uintptr_t *place, uint32_t log)
{
	struct filter_set *f = memory;

	f->mask = ((uintptr_t)FILTER_COUNTERS << log) - 1;
	f->place = place;
	f->log = log;
	return f;
}

void sample_filter_start(void)
{
	atomic_store(&filter_current, set_at(first, first_place, FIRST_LOG));
}

/* A set that was half copied is left alone; the next to grow begins anew. */
void sample_filter_forked(void)
{
	atomic_store(&filter_next, NULL);
	atomic_store(&growing, 0);
}

static _Atomic uintptr_t *window(struct filter_set *f, uintptr_t a)
{
	return &f->place[(uint64_t)a * 0x9e3779b97f4a7c15ull >> (64 - f->log)];
}

/* By one, up or down; what was ever full stays. */
static void count(struct filter_set *f, uintptr_t a, int by)
{
	_Atomic uint8_t *counter = filter_counter(f, a);
	uint8_t n = atomic_load(counter);
	while (n != UINT8_MAX && !atomic_compare_exchange_weak(counter, &n, (uint8_t)(n + by)))
		;
}

/* False: the window is full.  It may be there already. */
static bool put(struct filter_set *f, uintptr_t a)
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

static void take(struct filter_set *f, uintptr_t a)
{
	_Atomic uintptr_t *w = window(f, a);
	for (uint32_t i = 0; i < FILTER_WINDOW; i++) {
		uintptr_t found = a;
		if (atomic_compare_exchange_strong(&w[i], &found, 0))
			count(f, a, -1);
	}
}

/* With memory of its own; NULL: none. */
static struct filter_set *larger(const struct filter_set *than)
{
	uint32_t log = than->log + STEP_LOG;
	size_t places = sizeof(uintptr_t) * (((size_t)1 << log) + FILTER_WINDOW);
	if (log > LAST_LOG)
		return NULL;
	long memory = own_map(places + sizeof(struct filter_set) + ((size_t)FILTER_COUNTERS << log), PROT_READ | PROT_WRITE, MAP_NORESERVE);
	if (mms_is_error(memory))
		return NULL;
	return set_at((char *)memory + places, (_Atomic uintptr_t *)memory, log);
}

static bool copy(struct filter_set *from, struct filter_set *to)
{
	size_t n = ((size_t)1 << from->log) + FILTER_WINDOW - 1;
	for (size_t i = 0; i < n; i++) {
		uintptr_t a = atomic_load(&from->place[i]);
		if (a && !put(to, a))
			return false;
	}
	return true;
}

static void grow(struct filter_set *old)
{
	uint64_t mask = mms_signals_block(); /* a handler would find it growing for good */
	uint32_t idle = 0;
	if (atomic_compare_exchange_strong(&growing, &idle, 1)) {
		struct filter_set *new = atomic_load(&filter_current) == old ? larger(old) : NULL;
		if (new) {
			atomic_store(&filter_next, new);
			if (copy(old, new))
				atomic_store(&filter_current, new);
			atomic_store(&filter_next, NULL);
		}
		atomic_store(&growing, 0);
	}
	mms_signals_set(mask);
}

/* True when there is another set than `old`. */
static bool make_room(struct filter_set *old)
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
	struct filter_set *f = atomic_load(&filter_current);
	uintptr_t a = (uintptr_t)p;
	if (f == &filter_all)
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
		struct filter_set *f = atomic_load(&filter_current);
		if (f == &filter_all)
			return true;
		if (!put(f, a)) {
			if (!make_room(f))
				return false;
			continue;
		}
		struct filter_set *next = atomic_load(&filter_next);
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
	struct filter_set *f = atomic_load(&filter_current), *next = atomic_load(&filter_next);
	if (f != &filter_all)
		take(f, (uintptr_t)p);
	if (next)
		take(next, (uintptr_t)p);
}
