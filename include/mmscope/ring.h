/*
 * ring.h - ring blocks and the publish protocol.
 *
 * A block is one 64 KiB cell:
 *
 *   [0, 256)         struct mms_block: who writes here, since when
 *   [256, 65280)     4064 records of 16 bytes
 *   [65280, 65536)   guard, never handed out: reservations that overshoot
 *
 * A thread reserves with one unlocked xadd on its private cursor (atomic
 * against signals of the same thread, which is all that is needed: no other
 * thread uses this cursor), writes the record, and publishes it by storing
 * the first word last.  That word carries the block's generation (1..3), so a
 * record is valid exactly when its generation equals the block's: no commit
 * index, no zeroing of whole blocks between uses.
 *
 *   target:     p = xadd(cursor, len)
 *               if mms_cursor_spent(p): slow path (full, forked child, new
 *                                       thread, switched off: ONE test)
 *               payload slots; w1 relaxed; w0 release
 *   collector:  a block is new when owner != 0 and base_stamp != 0 (acquire);
 *               reads w0 acquire until the generation differs;
 *               all read and closed (or the thread dead): gen = gen % 3 + 1,
 *               base_stamp = 0, owner = 0 (release)
 *               partly used: the unused rest is zeroed first
 *
 * The generation is taken from the block that p lies in, never from thread
 * state: a signal handler may have switched the block between two lines.
 * For the same reason the test uses bits of p only.
 *
 * Holes: a record that was reserved but never published (siglongjmp out of a
 * handler that interrupted us, a thread killed in the middle).  The reader
 * skips a hole that has a valid record behind it, or lies in a closed block,
 * after 100 ms; at once when the thread is dead, or when targets wait for
 * blocks.  A block with a hole is not recycled while its thread lives, and what
 * is published there late is read then; a thread that leaves so many that half
 * the ring is held by them gets no more blocks (mms_thread.barred).
 *
 * owner[cell]: 0 free; else bits 0..23 thread slot + 1 (0: a slotless thread),
 * bits 24..47 process slot + 1, bit 63 set.  Set by one CAS of the target.
 */
#ifndef MMSCOPE_RING_H
#define MMSCOPE_RING_H

#include "session.h"

#define MMS_BLOCK_FIRST 256u
#define MMS_BLOCK_END 65280u
#define MMS_RECORDS_PER_BLOCK ((MMS_BLOCK_END - MMS_BLOCK_FIRST) / 16u)
_Static_assert(MMS_RECORDS_PER_BLOCK == 4064, "records per block");

#define MMS_OWNER_TAKEN (1ull << 63)

enum mms_closed {
	MMS_BLOCK_OPEN = 0,
	MMS_BLOCK_CLOSED = 1,   /* the writer went on to another block */
	MMS_BLOCK_RETURNED = 2, /* the writer is at its end: give back soon */
};

struct mms_block {
	_Atomic uint64_t base_stamp; /* T: full clock at hand-out, last, release; C clears */
	uint64_t process_number;     /* T: mms_process.number */
	uint32_t pid;
	uint32_t tid;
	uint32_t thread_seq;         /* T: n-th block of this thread */
	uint32_t gen;                /* 1..3; changed by C only while the block is free */
	_Atomic uint32_t closed;     /* T: enum mms_closed */
	uint32_t thread_number;      /* T: unique in the process, 1 = first seen */
	uint32_t saved;              /* C: the database has what lies below this offset; 0: nothing.
	                              * For `recover` after the collector was killed */
	uint32_t pad32;
	uint64_t saved_ticks;        /* C: no stamp behind it is below this */
	uint64_t tcb;                /* T: thread pointer; its stack and TLS lie below it */
	uint8_t pad[MMS_BLOCK_FIRST - 64];
};
_Static_assert(sizeof(struct mms_block) == MMS_BLOCK_FIRST, "block header");

/* True when the reservation at p did not fit: also for the sentinel cursors
 * (0, and anything in a wiped page). */
static inline int mms_cursor_spent(uintptr_t p)
{
	return (uint32_t)((p & 0xffffu) - MMS_BLOCK_FIRST) >= MMS_BLOCK_END - MMS_BLOCK_FIRST;
}

static inline struct mms_block *mms_block_of(uintptr_t p)
{
	return (struct mms_block *)(p & ~(uintptr_t)0xffff);
}

static inline uint64_t mms_owner_word(uint32_t process_slot, uint32_t thread_slot_plus_1)
{
	return MMS_OWNER_TAKEN | (uint64_t)(process_slot + 1) << 24 | thread_slot_plus_1;
}
static inline uint32_t mms_owner_process(uint64_t owner)
{
	return (uint32_t)(owner >> 24 & 0xffffff) - 1;
}
static inline uint32_t mms_owner_thread_plus_1(uint64_t owner)
{
	return (uint32_t)(owner & 0xffffff);
}

#endif
