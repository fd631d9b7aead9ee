/*
 * snapshot.h - a look at a running process: which of its blocks can be
 * reached, how full its areas are, where its threads stand.
 *
 * One at a time.  Asked for through the doorbell (mmscope snapshot).
 */
#ifndef COLLECT_SNAPSHOT_H
#define COLLECT_SNAPSHOT_H

#include <stdbool.h>

#include "collect/doorbell.h"
#include "collect/drain.h"
#include "collect/spaces.h"
#include "collect/watch.h"
#include "store/writer.h"

struct snapshot; /* the one that is being made */

struct snapshots {
	const struct mms_session *session;
	struct model *model;
	struct drain *drain;
	const struct watch *watch;
	const struct stack_source *stacks;
	struct spaces *spaces;
	struct snapshot *now; /* NULL: none */
};

/* Begins; the model is then what it was when the process stood still.  Takes
 * the caller's descriptor. */
void snapshot_asked(struct snapshots *s, const struct bell_event *e);

/* In each round.  True when one is ready: its rows have been written to store
 * (NULL: the caller is told so), and a flush makes them visible; then
 * snapshot_answer. */
bool snapshot_round(struct snapshots *s, struct store *store);
void snapshot_answer(struct snapshots *s);

/* Waits for the one that is being made, and writes and answers it. */
void snapshot_finish(struct snapshots *s, struct store *store);

#endif
