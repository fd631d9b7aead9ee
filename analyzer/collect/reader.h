/*
 * reader.h - copies the memory of processes that wait to be read before they
 * end, in a thread of its own.
 */
#ifndef COLLECT_READER_H
#define COLLECT_READER_H

#include "collect/copy.h"
#include "collect/doorbell.h"
#include "collect/stamp.h"

/* One that was copied, and has gone on. */
struct reading {
	uint64_t number; /* of the process */
	uint64_t stamp;  /* it stood still then: its later records are from after the copy */
	int result;      /* of copy_read */
	struct copy copy;
	struct reading *next;
};

struct reader;

int reader_start(const struct mms_session *session, struct doorbell *bell, const struct stamp_clock *clock,
	struct reader **ret);
void reader_stop(struct reader *r); /* what was copied can still be taken */
void reader_free(struct reader *r);

/* The oldest; NULL: there is none.  The caller gives it to reading_free. */
struct reading *reader_take(struct reader *r);
void reading_free(struct reading *x);

/* How many processes were left to the main loop (MMS_REACH_LATER). */
uint32_t reader_left(const struct reader *r);

#endif
