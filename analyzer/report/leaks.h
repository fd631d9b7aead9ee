/*
 * leaks.h - what the files of `mmscope leaks` share: leaks.c asks and judges,
 * leaks_json.c and leaks_text.c say it.
 */
#ifndef REPORT_LEAKS_H
#define REPORT_LEAKS_H

#include "report/judged.h"
#include "report/mappings.h"

struct leaks {
	struct answer a;
	struct rows rows; /* those with live blocks that no rule suppressed */
	struct judged judged;
	struct mappings mappings;
	int64_t limit, frames, pid; /* limit, frames: -1 not given; 0 all */
};

/* Of rows [from, to). */
struct judged_totals leaks_totals(const struct leaks *l, size_t from, size_t to);

void leaks_json(struct leaks *l);
void leaks_text(struct leaks *l);
/* A suppressions file for what is shown; valgrind: in its syntax. */
void leaks_suppressions(const struct leaks *l, bool valgrind);

#endif
