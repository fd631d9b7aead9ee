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
#include "report/judged.h"
#include "report/measure.h"

struct side_site {
	char id[32]; /* "" where the stack was not captured */
	char own[16];
	const struct capture_stack *stack; /* the one that allocated most */
	int64_t value[N_SITE_MEASURES];
	double slack[N_SITE_MEASURES]; /* how far an estimate may be off; 0: it is none */
	uint64_t left[N_REACH]; /* live bytes by verdict, without what is suppressed */
	bool cow_at_most; /* pages are counted once for each of its stacks that has a block on them */
	int64_t own_peak; /* of peaks at any time: tells a peak that moved from one that grew */
};

struct side {
	struct answer a;
	struct judged judged; /* its rules; its rows are gone */
	struct side_site *site; /* by id */
	size_t n, capacity;
	double total_slack[N_SITE_MEASURES];
	char *cow_why; /* a sentence: why broken pages are not known; NULL */
	int64_t total[N_MEASURES]; /* peak: of the process with the highest one */
	bool threads;              /* two threads of one process allocated, so chance has a part in its peak */
};

/* Opens and reads; with `all` also the sites of the loader and the C and C++
 * libraries, whose figures depend on paths and environment.  What the rules
 * (NULL: none) and the built-in ones cover is in no measure of leaks.  Returns
 * 0 or the exit status, after the message. */
int side_open(struct side *s, const char *verb, const char *path, const struct suppressions *rules, bool all);
int side_close(struct side *s, int status);

/* What the difference of two estimates must exceed to be one: nearly twice as
 * much as both together may be off, since there are many sites. */
double side_slack(double a, double b);

/* True when any function of the site's stack, or its id, fits the pattern. */
bool side_site_fits(const struct side_site *site, const char *pattern);

#endif
