/*
 * cow_private.h - one fork, between cow.c (records), cow_ask.c (questions from
 * outside) and cow_result.c (classes and rows).  Private to collect/.
 */
#ifndef COLLECT_COW_PRIVATE_H
#define COLLECT_COW_PRIVATE_H

#include "collect/cow.h"
#include "mirror/page_shadow.h"
#include "store/cow.h"

enum { PARENT, CHILD, SIDES };

/* A plane for each: */
enum cow_plane {
	COW_ARMED,   /* protected right after the fork */
	COW_WRITTEN, /* of these, written by this side */
	COW_FIRST,   /* of these, before this process forked again */
	COW_GONE,    /* armed, and not there at the last look */
	COW_HUGE,    /* armed, in a 2 MiB entry */
	COW_PLANES
};

struct cow_side {
	uint64_t process; /* number; 0: not known yet */
	bool armed;       /* its record is there, and something is protected */
	bool told;        /* its last word was read */
	bool died;        /* it ended without one */
	bool asked;       /* after the other side ended */
	bool lost;        /* the protection was gone at the last look: only what was seen before counts */
	uint64_t gone_ns; /* when it was first seen gone: its last word may still be on the way */
	int error;        /* why nothing is protected */
	uint64_t cost_ns, window;
	uint64_t faults_from, faults; /* minor faults at the arming, and latest; STORE_UNKNOWN */
	uint64_t n_new;   /* written now, not armed: never shared */
	bool new_known;
	uint32_t chunks, chunks_armed, refused, n_areas;
	struct page_plane plane[COW_PLANES];
};

struct cow_area {
	struct mms_cow_area a;
	char *name;
};

struct cow_fork {
	uint64_t stamp, parent; /* key: begin of the fork, number of who forked */
	uint64_t id;            /* of its row; 0: its record did not come yet */
	uint64_t t_ns, end_ns;
	uint32_t watch;         /* enum mms_watch */
	bool over, changed, released;
	bool holds;             /* the parent's blocks (model_blocks_hold) */
	unsigned n_asked;
	uint64_t ending_ns; /* when the first side was found ended; 0: both go on */
	uint64_t next_ask_ns;
	/* Minor faults of the parent between the child's end and the last look:
	 * what it wrote then was no break.  STORE_UNKNOWN. */
	uint64_t late;
	struct cow_side side[SIDES];
	struct cow_area *areas;
	size_t n_areas, areas_room;
	struct store_cow_fork row;
	char why[200];
};

/* What a process tells of itself, until the record that closes it. */
struct cow_process {
	struct page_plane written, clean, huge;
	struct cow_area *areas;
	size_t n_areas, areas_room;
	struct cow_fork *newest; /* fork for which it protected its pages last */
	int newest_side;
	bool ended;              /* its last word was read: */
	uint64_t faults;         /* minor faults; STORE_UNKNOWN */
	uint64_t parent_faults;  /* of who forked it, then; 0: not known */
};

/* The pages in `written` and `clean` are what process `number` has now:
 * credits every fork that is not over.  whole: pages that are in neither are
 * gone. */
void cow_credit(struct cows *c, uint64_t number, const struct page_plane *written,
	const struct page_plane *clean, bool whole);

/* Adds to *to the pages of `from` that are in `mask` too. */
void cow_plane_add_common(struct page_plane *to, const struct page_plane *from, const struct page_plane *mask);
void cow_plane_free(struct page_plane *p);

/* Asks one side from outside; false: it is gone or may not be asked. */
bool cow_ask(struct cows *c, struct cow_fork *f, int side);
/* Minor faults of a process now; STORE_UNKNOWN. */
uint64_t cow_ask_faults(struct cows *c, uint64_t number);
/* Tells a process that its latest watched fork is over. */
void cow_tell_over(struct cows *c, const struct cow_fork *f, int side);
bool cow_is_gone(struct cows *c, uint64_t number);

/* The fork is over: classes, rows.  Called once. */
void cow_result(struct cows *c, struct cow_fork *f, uint64_t now_ns);
void cow_sample(struct cows *c, struct cow_fork *f, uint64_t now_ns);
void cow_fork_release(struct cow_fork *f);

#endif
