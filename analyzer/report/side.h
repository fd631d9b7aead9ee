/*
 * side.h - one recording as diff and check see it: measures of the whole
 * program and of each site.
 *
 * A site is summed over all processes: a program that forks one worker more
 * has no new sites.  What a recording did not measure is UNKNOWN, never zero,
 * and is compared with nothing.
 */
#ifndef REPORT_SIDE_H
#define REPORT_SIDE_H

#include "report/answer.h"

/* The first ones, to N_SITE_MEASURES, are known for each site too.  They stand
 * in the order in which a difference weighs. */
enum measure {
	M_LIVE_BYTES,
	M_LIVE_BLOCKS,
	M_PEAK_BYTES,
	M_ALLOC_BYTES,
	M_ALLOC_BLOCKS,
	M_TEMPORARY_BLOCKS,
	M_NEVER_BYTES,
	M_COW_PAGES,
	N_SITE_MEASURES,
	M_RSS_PEAK = N_SITE_MEASURES,
	M_DEFINITE_BYTES,
	M_DEFINITE_BLOCKS,
	M_INDIRECT_BYTES,
	M_INDIRECT_BLOCKS,
	M_POSSIBLE_BYTES,
	M_POSSIBLE_BLOCKS,
	M_REACHABLE_BYTES,
	M_REACHABLE_BLOCKS,
	M_UNCLASSIFIED_BYTES,
	M_UNCLASSIFIED_BLOCKS,
	N_MEASURES
};
#define UNKNOWN (-1)

enum measure_unit { UNIT_BYTES, UNIT_BLOCKS, UNIT_PAGES };
struct measure_words {
	const char *name;  /* in budget files: "live.bytes" */
	const char *key;   /* in JSON: "live_bytes" */
	const char *title; /* for people: "live at end" */
	enum measure_unit unit;
};
extern const struct measure_words measures[N_MEASURES];

/* "12.0 KiB", "1,204", "not known"; the sign is given in texts of changes. */
#define MEASURE_TEXT 48
char *measure_text(char buffer[MEASURE_TEXT], enum measure m, int64_t value);
char *measure_change_text(char buffer[MEASURE_TEXT], enum measure m, int64_t change);

struct side_site {
	char id[32]; /* "" where the stack was not captured */
	char own[16];
	const struct capture_stack *stack; /* the one that allocated most */
	int64_t value[N_SITE_MEASURES];
	int64_t own_peak; /* of peaks at any time: tells a peak that moved from one that grew */
};

struct side {
	struct answer a;
	struct side_site *site; /* by id */
	size_t n, capacity;
	int64_t total[N_MEASURES]; /* peak: of the process with the highest one */
};

/* Opens and reads; with `all` also the sites of the loader and the C and C++
 * libraries, whose figures depend on paths and environment.  Returns 0 or the
 * exit status, after the message. */
int side_open(struct side *s, const char *verb, const char *path, bool all);
int side_close(struct side *s, int status);

/* True when any function of the site's stack, or its id, fits the pattern. */
bool side_site_fits(const struct side_site *site, const char *pattern);

#endif
