/*
 * measure.h - the figures that recordings are compared by: names, units, text.
 */
#ifndef REPORT_MEASURE_H
#define REPORT_MEASURE_H

#include <stdint.h>

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

/* Whole pages are touched, and which pages a small block shares with others
 * is chance: less than this says nothing about a site. */
#define NEVER_GRAIN (64 << 10)

/* Which of two sides is faster, and so writes to how many pages before the
 * other has ended, is chance too: of this many pages no baseline can tell. */
#define COW_GRAIN 64

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

#endif
