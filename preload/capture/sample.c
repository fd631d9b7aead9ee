/*
 * sample.c - the countdown to the next sample, and what is told of it.
 *
 * Called by the heap wrappers when a thread's countdown is spent, and for each
 * sample's birth and end; by thread.c in a forked child.  No lock, no
 * allocation, no floating point, errno untouched.  A signal handler may come
 * in between any two lines: at worst two samples share one point.
 */
#include "sample.h"

#include <mmscope/launch.h>

#include "capture/emit.h"
#include "capture/identity.h"
#include "capture/sample_filter.h"
#include "capture/thread.h"

#define INITIAL_EXEC __attribute__((tls_model("initial-exec")))

__thread struct sample_count sample_count INITIAL_EXEC = { .left = SAMPLE_ASK };

static __thread struct {
	uint64_t process;  /* image in which this was begun; 0: never */
	uint64_t random;
	uint64_t interval; /* the countdown was drawn with it */
	uint64_t told;     /* the collector knows of; 0: nothing, or every birth */
	/* The latest sample, and the countdown and the frees when it was kept:
	 * each birth moves the one, each free the other. */
	const void *last;
	int64_t last_left;
	uint64_t last_frees;
} mine INITIAL_EXEC;

/* splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(void)
{
	uint64_t z = mine.random += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void draw(void)
{
	const struct mms_header *h = identity.session.header;
	mine.interval = atomic_load_explicit(&h->interval, memory_order_relaxed);
	sample_count.left = (int64_t)sample_distance(next_random(), mine.interval);
}

static void begin(void)
{
	mine.process = identity.number;
	mine.told = 0;
	mine.last = NULL;
	mine.random = capture_stamp() ^ identity.number << 48 ^ (uint64_t)mms_gettid() << 24;
	draw();
}

bool sample_due(size_t size)
{
	if (thread_is_new_child())
		capture_forked();
	bool known = (int64_t)((uint64_t)sample_count.left + size + 1) >= 0 && mine.process == identity.number;
	if (!known) {
		if (mine.process == identity.number)
			draw();
		else
			begin();
		if (!sample_countdown(size))
			return false;
	}
	uint64_t interval = mine.interval;
	draw();
	if (mine.told != interval) {
		struct mms_sampling note = { .interval = interval };
		emit_long(MMS_LONG_SAMPLING, 0, &note, sizeof(note), NULL, 0, NULL, 0);
		mine.told = interval;
	}
	return true;
}

bool sample_keep(const void *p)
{
	if (!sample_filter_add(p)) {
		capture_lost();
		return false;
	}
	mine.last = p;
	mine.last_left = sample_count.left;
	mine.last_frees = sample_count.frees;
	return true;
}

uint32_t sample_dying(const void *p)
{
	bool alone = mine.last == p && mine.last_left == sample_count.left && mine.last_frees == sample_count.frees;
	sample_count.frees++;
	sample_filter_remove(p);
	return alone;
}

void sample_forked(void)
{
	sample_ask();
	sample_filter_forked();
}
