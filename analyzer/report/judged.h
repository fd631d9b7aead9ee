/*
 * judged.h - rows with the verdict on what of them is live: evidence, rules
 * that suppress, class and sentence.  The same for leaks, report, html,
 * diff and check.
 */
#ifndef REPORT_JUDGED_H
#define REPORT_JUDGED_H

#include "report/evidence.h"
#include "report/options.h"
#include "report/suppress.h"

struct judged {
	struct evidence *evidence;           /* by row.number */
	struct suppressions rules, built_in; /* with what each suppressed */
	struct suppress_rule **known;        /* by row.number: built-in rule of the row, or NULL */
};

/* Reads files of rules: into judged.rules, before judged_load.  An exit
 * status, after the message in the name of `verb`. */
int judged_read_rules(struct suppressions *rules, const char *verb, const struct option_list *files);

/* Takes what a rule covers away from the rows (live blocks and bytes) and
 * judges the rest. */
void judged_load(struct judged *j, struct answer *a, struct rows *rows);
void judged_done(struct judged *j);

const struct evidence *judged_evidence(const struct judged *j, const struct row *row);
/* Of the loader or a library, or kept by libc on purpose: nobody's leak. */
bool judged_apart(const struct judged *j, const struct row *row);
/* The rules that were used: under a heading, and as the array "suppressions". */
void judged_print_rules(const struct judged *j);
void judged_rules_json(struct json *json, const struct judged *j);
/* As qsort wants it: the program's own first, then by class, score, size. */
int judged_compare(const struct judged *j, const struct row *a, const struct row *b);

/* Live blocks by whether something points to them. */
struct judged_totals {
	uint64_t blocks[N_REACH], bytes[N_REACH];
	uint64_t live_blocks, live_bytes, apart_blocks, apart_bytes;
	size_t sites, apart_sites;
	bool examined; /* some block has a verdict */
};
void judged_add(const struct judged *j, const struct row *row, struct judged_totals *t);
/* The members "definite" to "unclassified"; null where nothing was examined. */
void judged_reach_json(struct json *j, const struct judged_totals *t);

#endif
