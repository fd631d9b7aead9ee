/*
 * match.h - which sites of two recordings are the same place in the program.
 *
 * First the stable id, and between two snapshots of one recording nothing
 * else.  What is left on either side is compared by function
 * names: a stack goes with another when one of the two is the other with
 * frames left out (inlined, called as a tail, moved into another file), the
 * longest common suffix - callers, counted from main inwards - deciding where
 * several would fit.  So that a new site is never taken for an old one, at
 * least half of the longer stack must be common, and in addition either the
 * innermost function or the number of allocations and their bytes.
 * Several stacks that end in the whole of one other go with it where their
 * figures add up to its own.  A site of one side may answer to several of the other: two callers that
 * became one, or the other way round.
 */
#ifndef REPORT_MATCH_H
#define REPORT_MATCH_H

#include "report/side.h"

/* One place, with its sites on either side. */
struct place {
	const struct side_site *older, *newer; /* those that allocated most; NULL: none */
	size_t n_older, n_newer;
	int64_t old_value[N_SITE_MEASURES], new_value[N_SITE_MEASURES]; /* sums */
	int64_t old_own_peak, new_own_peak;
	uint64_t old_left[N_REACH], new_left[N_REACH];
	bool old_at_most, new_at_most; /* M_COW_PAGES: some may be counted twice */
	bool by_id; /* each site has its own id on the other side */
	size_t n_common, n_suffix; /* function names in common, those from main inwards */
	size_t n_longer;           /* function names of the longer stack */
	char *gone;                /* a function that is in one stack only; or NULL */
};

struct match {
	struct place *place;
	size_t n;
	size_t *of_old, *of_new; /* index of the place of each site */
};

void match_sites(struct match *m, const struct side *older, const struct side *newer);
void match_done(struct match *m);

/* "5 of 6 function names agree ..."; to be freed.  NULL for a match by id. */
char *match_explain(const struct place *p);

/* new - old; 0 where either is not known.  A peak counts as changed only where
 * the site's share of the program's peak and its own highest value changed in
 * the same direction: otherwise only the moment of the peak moved. */
int64_t place_change(const struct place *p, enum measure m);

#endif
