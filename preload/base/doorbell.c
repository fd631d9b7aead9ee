/*
 * doorbell.c - rings for the collector, or keeps silent.
 *
 * Raw system calls, never waits.  Called by capture/ whenever a process slot
 * was claimed, silenced by the wrappers that see a filter being installed.
 */
#include "doorbell.h"

#include <stdatomic.h>

#include <mmscope/launch.h>

#include "sys.h"

static _Atomic bool silent;
static _Atomic bool mute;

void doorbell_mute(void)
{
	atomic_store_explicit(&mute, true, memory_order_relaxed);
}

void doorbell_silence(void)
{
	atomic_store_explicit(&silent, true, memory_order_relaxed);
}

bool doorbell_is_silent(void)
{
	return atomic_load_explicit(&silent, memory_order_relaxed);
}

void doorbell_ring(const struct mms_session *s, uint32_t slot, uint32_t begin, uint64_t number)
{
	if (doorbell_is_silent() || atomic_load_explicit(&mute, memory_order_relaxed))
		return;
	/* A full queue means that the collector is about to empty it. */
	for (int i = 0; i < 4; i++) {
		if (mms_doorbell_ring(s->header, slot, begin, number) != -EAGAIN)
			return;
		mms_sched_yield();
	}
}
