/*
 * identity.h - who this process is in the session.
 */
#ifndef CAPTURE_IDENTITY_H
#define CAPTURE_IDENTITY_H

#include <stdint.h>

#include <mmscope/session.h>

#include "base/ours.h"

/* Private memory: a forked child has its parent's until identity_fork(). */
struct identity {
	struct mms_session session;
	struct mms_process *slot; /* NULL: none, this process is not recorded */
	uint64_t number;
	uint32_t index; /* of the slot */
	uint32_t pid;
	_Atomic uint32_t context;     /* module context; a child begins with its parent's */
	_Atomic uint32_t next_thread; /* number for the next thread */
};
OURS extern struct identity identity;

/* A new image: START, EXEC or SPAWN.  0, or -ENOSPC when no slot was free. */
int identity_begin(const struct mms_session *s);

/* A child of fork.  0 or -ENOSPC; then the child has no slot. */
int identity_fork(void);

#endif
