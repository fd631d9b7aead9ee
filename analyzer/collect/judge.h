/*
 * judge.h - whose blocks can still be reached: processes that ask to be read
 * before they end (mms_process.reach).
 */
#ifndef COLLECT_JUDGE_H
#define COLLECT_JUDGE_H

#include <stdbool.h>

#include "collect/reader.h"
#include "collect/spaces.h"
#include "collect/watch.h"

struct judge {
	const struct mms_session *session;
	struct model *model;
	struct drain *drain;
	const struct stamp_clock *clock;
	const struct stack_source *stacks;
	struct reader *reader; /* NULL in recover */
	struct reading *kept; /* was copied; what it said of itself has not been read yet */
	bool more; /* copies may wait: the next round comes at once */
	uint64_t drained; /* stamp */
	uint32_t n_seen; /* of those that the reader left to us */
	uint64_t later_ns; /* since when somebody asks whom we do not know yet; 0: nobody */
};

void judge_init(struct judge *j, const struct mms_session *session, struct model *m, struct drain *drain,
	const struct stack_source *stacks);

/* Begins a round: drains to the oldest copy that was made and puts its verdicts
 * into the model, or to the moment of the call.  Returns the records. */
uint64_t judge_drain(struct judge *j, struct spaces *spaces, struct store *store);

/* Asked before judge_drain; what was published before the question has then
 * been fed to the model when judge_round is called.  Also while later_ns. */
bool judge_is_asked(struct judge *j);

/* Reads whom the reader left to us, lets them go, and puts the verdicts into the
 * model.  store may be NULL: reasons are not told then. */
void judge_round(struct judge *j, const struct watch *w, struct spaces *spaces, struct store *store);

/* Before the store is finished: says whose blocks nobody judged. */
void judge_finish(const struct judge *j, struct store *store);

void judge_done(struct judge *j);

#endif
