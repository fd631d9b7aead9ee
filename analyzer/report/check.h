/*
 * check.h - the outcome of a check, and the forms in which it is written.
 *
 * A rule is one test: a measure against the noise of the baselines, or one
 * line of a budget file.  A finding is what broke a rule: the whole program,
 * or a site with its stack.
 */
#ifndef REPORT_CHECK_H
#define REPORT_CHECK_H

#include <stdio.h>

#include "report/baseline.h"
#include "report/budget.h"

enum check_state { CHECK_OK, CHECK_FAILED, CHECK_UNKNOWN };

struct check_finding {
	const struct side_site *site;
	int64_t value, usual, limit; /* usual, limit: UNKNOWN where sites have none of their own */
	bool is_new; /* in no baseline */
};

struct check_rule {
	enum check_state state;
	enum measure measure;
	char *name;       /* "peak.bytes within noise", or the line of the budget */
	const char *file; /* of the budget; NULL: a rule of the baselines */
	int line;
	int64_t value, usual, limit; /* of the whole program, or of the pattern's sites */
	bool total_failed; /* not only single sites */
	struct check_finding *finding;
	size_t n_findings, cap_findings;
};

struct check {
	struct side now;
	struct side *baseline;
	size_t n_baselines;
	struct check_rule *rule;
	size_t n_rules, cap_rules, n_failed, n_unknown;
};

/* One sentence: "peak.bytes is 1.2 MiB, 1.0 MiB is allowed (usual: ...)". */
char *check_rule_text(const struct check *c, const struct check_rule *r);
char *check_finding_text(const struct check_rule *r, const struct check_finding *f);
/* Where to look: the innermost frame with a line inside the project, else with
 * a line; NULL.  The path is relative to the project where it can be (free it). */
const struct capture_frame *check_place(const struct side_site *site, char **ret_path);

void check_print_text(struct check *c);
void check_print_json(struct check *c);
void check_write_markdown(struct check *c, FILE *out);
void check_write_github(struct check *c, FILE *out);
void check_write_junit(struct check *c, FILE *out);
void check_write_sarif(struct check *c, FILE *out);

#endif
