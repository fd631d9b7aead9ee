/*
 * fake_session.h - a session in plain memory and threads that write into it,
 * by the protocol of ring.h, from one real thread and with given stamps.
 *
 * Stamps are in ticks (the session's clock_shift is 4; a full stamp is
 * ticks * 16).  The clock is CLOCK_MONOTONIC_RAW by name, 1 GHz, so that a
 * tick is 16 ns wherever the test runs.
 */
#ifndef TESTS_UNIT_FAKE_SESSION_H
#define TESTS_UNIT_FAKE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/record.h>
#include <mmscope/ring.h>
#include <mmscope/session.h>

#define FAKE_TICK_NS 16u
#define FAKE_START_TICKS (1ull << 40) /* above 38 bits: stamps are cut */

struct fake_thread {
	struct mms_session *session;
	uint64_t process;
	uint32_t process_slot, number, tid, slot;
	uint32_t cell, at; /* cell 0: no block */
};

/* n_ring ring cells.  NULL: no memory. */
struct mms_session *fake_session_new(uint32_t n_ring);
void fake_session_free(struct mms_session *s);
static inline uint64_t fake_stamp(uint64_t ticks) { return ticks << 4; }
/* ns since the capture's start, as the sinks get it. */
static inline uint64_t fake_ns(uint64_t ticks) { return (ticks - FAKE_START_TICKS) * FAKE_TICK_NS; }

/* The next of a series of numbers below n (xorshift64, Marsaglia 2003). */
static inline uint32_t fake_draw(uint64_t *seed, uint32_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 20) % n;
}

/* Fills a process slot; returns the process number. */
uint64_t fake_process(struct mms_session *s, uint64_t parent, uint32_t begin, uint32_t pid, uint64_t ticks);
struct fake_thread fake_thread(struct mms_session *s, uint64_t process, uint32_t number);
void fake_thread_dies(struct fake_thread *t);

/* Each returns false when the ring is full (nothing was written then). */
bool fake_heap(struct fake_thread *t, enum mms_op op, uint64_t address, uint64_t size, uint32_t stack, uint64_t ticks);
bool fake_long(struct fake_thread *t, enum mms_long type, const void *payload, size_t bytes, uint64_t ticks);

/* Reserves the slots of one heap record and returns where it goes; it can be
 * published later, or never. */
uint64_t *fake_reserve(struct fake_thread *t, uint64_t ticks);
void fake_publish(struct fake_thread *t, uint64_t *slot, enum mms_op op, uint64_t address, uint32_t size, uint32_t stack, uint64_t ticks);

/* Leaves the block (enum mms_closed); the next record takes another one. */
void fake_close_block(struct fake_thread *t, enum mms_closed how);

/* Number of ring cells without an owner. */
uint32_t fake_free_cells(const struct mms_session *s);

#endif
