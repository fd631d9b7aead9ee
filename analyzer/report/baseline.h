/*
 * baseline.h - earlier recordings as a measure of what is usual, and of how
 * much a figure moves from run to run.
 */
#ifndef REPORT_BASELINE_H
#define REPORT_BASELINE_H

#include <stddef.h>
#include <stdint.h>

#include "report/match.h"

/* Files of the baselines: a folder stands for its *.db, by name. */
struct baseline_paths {
	char **path;
	size_t n, capacity;
};
/* 0 or -errno of the folder that could not be read. */
int baseline_paths_add(struct baseline_paths *p, const char *file_or_folder);
void baseline_paths_done(struct baseline_paths *p);

/* Makes the recording a baseline: it takes the place of a file, or is added
 * to a folder, where the oldest ones beyond BASELINE_KEEP go.  0 or -errno. */
#define BASELINE_KEEP 10
int baseline_update(const char *file_or_folder, const char *recording);

/* What is let pass: the largest of the three. */
struct noise_floor {
	int64_t amount;     /* bytes, blocks or pages */
	double percent;     /* of the median */
	double few_percent; /* of the median while there are fewer than three values */
};
struct noise {
	int64_t median, limit;
};
/* The limit is the median and the largest of the floor and as many standard
 * deviations as one run in 10,000 goes beyond, given that they are estimated
 * from n values.  n > 0; values are sorted. */
struct noise noise_of(int64_t *values, size_t n, const struct noise_floor *floor);

/* The sites of a recording beside those of all baselines.  Sites that answer
 * to the same site of some baseline are one group. */
struct site_group {
	const struct side_site *site; /* that allocated most */
	int64_t now[N_SITE_MEASURES], now_own_peak;
	int64_t *before;          /* [baseline * N_SITE_MEASURES + measure] */
	int64_t *before_own_peak; /* [baseline] */
};
struct site_groups {
	struct site_group *group;
	size_t n, n_baselines;
};
void site_groups_make(struct site_groups *g, const struct side *now, const struct side *baselines,
	size_t n_baselines);
void site_groups_done(struct site_groups *g);

#endif
