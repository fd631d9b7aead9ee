/*
 * sums.h - old ended processes become sums (model_sum_up): what the collector
 * must tell the model for that, and what it forgets afterwards.
 */
#ifndef COLLECT_SUMS_H
#define COLLECT_SUMS_H

#include "collect/cow.h"
#include "collect/watch.h"

struct sums_when {
	size_t max; /* processes */
	bool over;  /* the recording is: nothing will come any more */
};

/* Where model_has_too_many.  Between two rounds, just before a flush, and only then. */
void sums_take(struct model *m, struct watch *w, struct cows *cows, const struct stack_source *stacks,
	const struct sums_when *when);

#endif
