/*
 * leaks.h - what the files of `mmscope leaks` share: leaks.c asks and judges,
 * leaks_json.c and leaks_text.c say it.
 */
#ifndef REPORT_LEAKS_H
#define REPORT_LEAKS_H

#include "report/evidence.h"
#include "report/mappings.h"
#include "report/suppress.h"

struct leaks {
	struct answer a;
	struct rows rows;          /* those with live blocks that no rule suppressed */
	struct evidence *evidence; /* by row.number */
	struct mappings mappings;
	struct suppressions rules, built_in;
	struct suppress_rule **known; /* by row.number: built-in rule of the row, or NULL */
	int64_t limit, frames, pid;   /* limit, frames: -1 not given; 0 all */
};

struct leak_totals {
	uint64_t blocks[N_REACH], bytes[N_REACH];
	uint64_t live_blocks, live_bytes, apart_blocks, apart_bytes;
	size_t sites, apart_sites;
	bool examined; /* some block has a verdict */
};

/* Of rows [from, to). */
struct leak_totals leaks_totals(const struct leaks *l, size_t from, size_t to);
const struct evidence *leaks_evidence(const struct leaks *l, const struct row *row);
/* Of the loader or a library, or kept by libc on purpose. */
bool leaks_apart(const struct leaks *l, const struct row *row);

void leaks_json(struct leaks *l);
void leaks_text(struct leaks *l);
/* A suppressions file for what is shown; valgrind: in its syntax. */
void leaks_suppressions(const struct leaks *l, bool valgrind);

#endif
