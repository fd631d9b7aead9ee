/*
 * judge.h - whose blocks can still be reached: processes that ask to be read
 * before they end (mms_process.reach).
 */
#ifndef COLLECT_JUDGE_H
#define COLLECT_JUDGE_H

#include <stdbool.h>

#include "collect/spaces.h"
#include "collect/watch.h"

struct judge {
	const struct mms_session *session;
	struct model *model;
	struct drain *drain;
	const struct stamp_clock *clock;
	const struct stack_source *stacks;
	uint32_t n_seen; /* of header->n_reach */
	uint64_t later_ns; /* since when somebody asks whom we do not know yet; 0: nobody */
};

void judge_init(struct judge *j, const struct mms_session *session, struct model *m, struct drain *drain,
	const struct stack_source *stacks);

/* Asked before a drain_round; what was published before the question has then
 * been fed to the model when judge_round is called.  Also while later_ns. */
bool judge_is_asked(struct judge *j);

/* Reads who asks, lets them go, and puts the verdicts into the model.  store
 * may be NULL: reasons are not told then. */
void judge_round(struct judge *j, const struct watch *w, const struct spaces *spaces, struct store *store);

/* Before the store is finished: says whose blocks nobody judged. */
void judge_finish(const struct judge *j, struct store *store);

#endif
