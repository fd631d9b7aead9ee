/*
 * evidence.h - what is known of the live blocks of each row: facts for
 * verdict.h, the verdict, and the thread that used the site last.
 */
#ifndef REPORT_EVIDENCE_H
#define REPORT_EVIDENCE_H

#include "report/rows.h"
#include "report/verdict.h"

struct evidence {
	struct verdict_facts facts; /* blocks and bytes add up to those of the row */
	struct verdict verdict;
	int64_t thread, tid; /* that allocated or freed here last; thread 0: not known */
	uint64_t last_ns;
	char thread_name[32];
};

/* One for each row, by row.number; free it with evidence_free.  Facts only:
 * the caller takes away what is suppressed, then judges. */
struct evidence *evidence_load(struct answer *a, const struct rows *rows);
void evidence_free(struct evidence *evidence);

#endif
