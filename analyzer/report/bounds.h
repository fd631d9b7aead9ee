/*
 * bounds.h - how far an amount can be from the figure.
 *
 * Where every block was recorded the bounds are the figure itself; where
 * blocks were sampled they are the 95 % interval; where records were lost or
 * heap events were not recorded for a while nobody knows.
 */
#ifndef REPORT_BOUNDS_H
#define REPORT_BOUNDS_H

#include "report/json.h"

struct bounds {
	uint64_t low, high;
	bool unknown; /* neither of them is known */
};
struct answer;

/* samples, live_samples and bounds of a row or a process. */
struct sampled {
	uint64_t samples, live_samples, peak_samples;
	struct bounds alloc, live, peak, alloc_blocks, live_blocks;
};
/* The figures that these are the bounds of, in their order. */
#define SAMPLED_FIGURES 5
struct figures {
	uint64_t of[SAMPLED_FIGURES];
};

/* Of figures that were recorded whole, or of which nothing is known. */
struct sampled sampled_whole(const struct answer *a, const struct figures *f);

/* Reads the thirteen columns from `column` on, as the SQL texts order them.  Where
 * they are NULL nothing is changed. */
struct query;
void sampled_read(struct sampled *s, const struct answer *a, struct query *q, int column);

/* Adds what is independent of it: half widths add up by their squares (Zou and
 * Donner 2008).  a and b are the figures. */
void bounds_add(struct bounds *to, uint64_t a, const struct bounds *from, uint64_t b);
void sampled_add(struct sampled *to, const struct figures *a, const struct sampled *from, const struct figures *b);

/* KEY_low and KEY_high, null when they are not known. */
void bounds_json(struct json *j, const char *key, const struct bounds *b);

/* It may well be more than twice the figure: seven samples or less, as a rule. */
bool bounds_are_wide(const struct bounds *b, uint64_t figure);

/* "34 samples: 1.54 to 2.98 MiB"; with a word more when that says little.  To be freed. */
char *bounds_text(uint64_t samples, const struct bounds *b, uint64_t figure);

/* "~" before figures that are estimates, else "". */
const char *about(const struct answer *a);

#endif
