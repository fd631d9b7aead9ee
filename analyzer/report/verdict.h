/*
 * verdict.h - what a site's live blocks are: from facts to a class, a score
 * and a sentence.
 *
 * "Not freed at the end" is no verdict.  Three kinds of evidence are put
 * together: whether anything points to the blocks, whether the site grows
 * (model/growth.h, live bytes at minima), and whether its blocks outlive
 * those it frees.  Growth alone accuses caches that fill, age alone accuses
 * what a program reads once at its start; together they do not.
 */
#ifndef REPORT_VERDICT_H
#define REPORT_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/growth.h"

/* Of a block, as in live_block.verdict; UNCLASSIFIED where that is NULL. */
enum reach { REACH_DEFINITE, REACH_INDIRECT, REACH_POSSIBLE, REACH_REACHABLE, REACH_UNCLASSIFIED, N_REACH };

/* Of a site, strongest evidence first. */
enum site_class {
	CLASS_LEAKING,    /* grows, and what it adds is lost or outlives all that is freed */
	CLASS_LOST,       /* nothing points to them */
	CLASS_GROWING,    /* grows and is reachable: a cache without a limit */
	CLASS_UNPROVEN,
	CLASS_START_UP,   /* taken at the start, kept, never more */
	CLASS_EXIT_NOISE, /* the youngest: the end came before their time */
	N_CLASSES
};

struct verdict_facts {
	uint64_t blocks[N_REACH], bytes[N_REACH]; /* live at the end; all of them */
	uint64_t free_blocks;                     /* freed before */
	uint64_t begin_ns, end_ns;                /* of the process */
	/* Of the live blocks whose birth is known. */
	uint64_t listed_blocks, listed_bytes, oldest_ns, youngest_ns;
	uint64_t old_blocks, old_bytes; /* older than usual_life_ns */
	uint64_t usual_life_ns;         /* 99 of 100 freed blocks lived no longer; 0: none was freed */
	struct growth growth;           /* of the live bytes at their minima */
	bool traced;                    /* live bytes over time are recorded */
	bool running;                   /* the process had not ended */
	bool merged;                    /* of many processes: times mean nothing */
};

struct verdict {
	enum site_class class;
	bool scored;  /* false: growth could not be judged */
	double score; /* bytes wasted per second, at least */
	char why[320];
};

#define VERDICT_LIVES 48 /* buckets of heap_site.life_hist; the last has no upper edge */
/* From counts by log2 of the life in ns: the upper edge of the bucket that
 * holds the 99th of 100; 0 for no counts. */
uint64_t verdict_usual_life(const uint32_t *counts, size_t n);

void verdict_judge(const struct verdict_facts *f, struct verdict *ret);

const char *reach_word(enum reach reach);       /* "definite", ... */
enum reach reach_of_word(const char *word);     /* NULL and unknown words: UNCLASSIFIED */
const char *class_word(enum site_class class);  /* "leaking", ... */

#endif
