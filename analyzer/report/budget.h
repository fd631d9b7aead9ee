/*
 * budget.h - budget files of check: one rule a line.
 *
 *     # comment
 *     leaks.definite.bytes <= 0
 *     peak.bytes <= 120 MiB
 *     site:parse_* alloc.blocks <= +5 %
 *     site:"ns::read(int, char)" live.bytes <= +64 KiB
 *
 * Operators are <=, < and ==.  A limit with + is relative to the baselines'
 * median.  Sizes may have B, KiB, MiB, GiB, TiB, kB, MB, GB, TB.
 */
#ifndef REPORT_BUDGET_H
#define REPORT_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "report/measure.h"

enum budget_operator { BUDGET_AT_MOST, BUDGET_BELOW, BUDGET_EQUAL };

struct budget_rule {
	char *text;    /* as written, without blanks at its ends and comments */
	char *pattern; /* of functions or a site id; NULL: the whole program */
	enum measure measure;
	enum budget_operator operator;
	bool relative;  /* limit is added to the baselines' median */
	bool percent;   /* limit is hundredths of per cent of it */
	int64_t limit;
	int line;
};

struct budget {
	struct budget_rule *rule;
	size_t n, capacity;
};

struct budget_error {
	int line, column; /* from 1 */
	char text[160];
};

/* Adds the rules of a text; false with *ret_error set.  What was added
 * before stays. */
bool budget_parse(struct budget *b, const char *text, struct budget_error *ret_error);
void budget_done(struct budget *b);

/* Whether value keeps to the rule; usual: median of the baselines, only used
 * by relative rules.  *ret_limit: what it was compared with. */
bool budget_holds(const struct budget_rule *r, int64_t value, int64_t usual, int64_t *ret_limit);

#endif
