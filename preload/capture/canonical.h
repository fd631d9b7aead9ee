/*
 * canonical.h - one address for one place of a file, in all processes of a
 * session (mmscope/files.h).
 *
 * An executed program lies at another address each time, and a plugin that is
 * loaded again may, too.  If their stacks were told by those addresses, each
 * program executed would add its own to the session's table, without end.  So
 * where a frame is hashed, and where its node is made, its pc is that of the
 * file's place in the session.  What is compared with words on the stack stays
 * what it is.
 *
 * A pc outside of all such files (generated code, a guess into nowhere, a file
 * that cannot be told from another) means something in this process alone.
 * With the first one the process leaves the common root for good, for that of
 * its own module context, under which pcs are plain addresses.
 */
#ifndef CAPTURE_CANONICAL_H
#define CAPTURE_CANONICAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/files.h>
#include <mmscope/stacks.h>

#include "base/ours.h"

/* Root of the stacks that are captured now: MMS_CONTEXT_COMMON, or the
 * process's own module context. */
OURS extern _Atomic uint32_t canonical_root;

/* A new image: its own context until its modules are known. */
void canonical_start(uint32_t context);

/* The context that the process's own addresses are read in from now on. */
void canonical_context_is(uint32_t context);

/* The list of modules, anew: begin, add for each, end.  One thread at a time;
 * one that was left in between (in a forked child) does no harm.
 * add returns the number of the file in the session, 0: it has none. */
void canonical_begin(void);
uint32_t canonical_add(const struct mms_session *s, uint64_t identity, uint64_t start, uint64_t end);
void canonical_end(void);

/* The common root was left. */
bool canonical_is_left(void);

/* Root for a stack of these frames, asked for with `context`.  It is another
 * one when that is the common root and one of them is not canonical. */
uint32_t canonical_root_of(uint32_t context, const uint64_t *frames, size_t n);

/* The w0 of a frame's node under the common root.  Where there is none the
 * process leaves that root, and the frame's own key comes back.  hint: 0 at
 * first, then left alone; frames that follow each other lie close together. */
uint64_t canonical_common_key(uint64_t key, uint32_t *hint);

static inline uint64_t canonical_key(uint32_t context, uint64_t key, uint32_t *hint)
{
	return context == MMS_CONTEXT_COMMON ? canonical_common_key(key, hint) : key;
}

#endif
