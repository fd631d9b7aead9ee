/*
 * cow_private.h - one fork, between cow.c (records), cow_ask.c (questions from
 * outside) and cow_result.c (classes and rows).  Private to collect/.
 */
#ifndef COLLECT_COW_PRIVATE_H
#define COLLECT_COW_PRIVATE_H

#include "collect/cow.h"
#include "mirror/page_shadow.h"
#include "model/cow_estimate.h"
#include "model/cow_sites.h"
#include "store/cow.h"

enum { PARENT, CHILD, SIDES };

/* A plane for each: */
enum cow_plane {
	COW_ARMED,   /* protected right after the fork */
	COW_WRITTEN, /* of these, written by this side */
	COW_FIRST,   /* of these, before this process forked again */
	COW_GONE,    /* armed, and not there at the last look; made when the fork is over */
	COW_HUGE,    /* armed, in a 2 MiB entry */
	COW_NEW,     /* not armed, and there: never shared; of the pieces that are watched */
	COW_CAME,    /* the same in areas that came after the newest fork: all of it */
	COW_SWAPPED, /* armed, and in swap at a look: neither being alone with a page nor its frame
	              * tells anything from then on */
	COW_JOINED,  /* armed, and joined by the kernel to a 2 MiB entry that this side has for itself: reads as
	              * at the fork, and may have been written all the same */
	COW_PLANES
};

struct cow_side {
	uint64_t process; /* number; 0: not known yet */
	bool armed;       /* its record is there, and something is protected */
	bool told;        /* its last word was read */
	bool died;        /* it ended without one */
	bool asked;       /* after the other side ended */
	uint64_t seen_ns; /* when it was last looked at from outside; 0: never */
	bool lost;        /* the protection was gone at the last look: only what was seen before counts */
	uint64_t gone_ns; /* when it was first seen gone: its last word may still be on the way */
	unsigned gone_round; /* number of that round */
	int error;        /* why nothing is protected */
	uint64_t cost_ns, window;
	uint64_t faults_from, faults; /* minor faults at the fork, and latest; STORE_UNKNOWN */
	uint64_t faults_begin;        /* where the program went on after it; STORE_UNKNOWN */
	bool new_known;
	bool looked;      /* its process was looked at as a whole since */
	uint32_t refused, n_areas;
	/* As in struct mms_cow_arm: */
	uint32_t share;
	uint64_t pages, resident, anonymous, page_tables;
	struct page_plane plane[COW_PLANES];
};

struct cow_area {
	struct mms_cow_area a;
	char *name;
};

/* Figures of a fork that can be estimates. */
enum cow_range_of { COW_RANGE_PARENT, COW_RANGE_CHILD, COW_RANGE_BOTH, COW_RANGE_STILL, COW_RANGE_NEW_PARENT,
	COW_RANGE_NEW_CHILD, COW_RANGE_COPIES, COW_RANGES };

/* A third process that holds the memory of the fork (preload/wrap/witness.c). */
struct cow_witness {
	int pid;                 /* 0: there is none */
	int pidfd, mem_fd;       /* -1: not open */
	bool opened;             /* or tried */
	bool no_zero;            /* the kernel does not tell which page is the zero page */
	struct cow_sites *sites; /* the blocks of the fork; gets what changed; NULL: nobody compares */
};

/* cow_frames.c: the frames that pages of a process were in, in its order. */
struct cow_frames {
	struct cow_run *run;
	size_t n_runs;
	uint64_t *frame; /* 0: the page was not there */
};

struct cow_fork {
	uint64_t stamp, parent; /* key: begin of the fork, number of who forked */
	uint64_t id;            /* of its row; 0: its record did not come yet */
	uint64_t t_ns, end_ns;
	int no_witness;         /* -errno: why there is none although one was wanted; 0 */
	int no_uffd, no_soft_dirty; /* the same of other ways */
	struct cow_frames *frames;  /* MMS_WATCH_FRAMES: of the parent, just before */
	struct cow_witness witness;
	uint64_t n_swapped;     /* pages in swap at the fork, where the way tells nothing of them: not armed */
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
	struct cow_range range[COW_RANGES]; /* where a share was watched: low and high of what is known */
	bool in_part;
	char why[640];
};

/* What a process tells of itself, until the record that closes it. */
struct cow_process {
	struct page_plane written, clean, huge;
	struct page_plane fresh; /* in areas that came after it protected its pages */
	struct page_plane there; /* at the last look at the whole of it */
	struct page_plane moved; /* not protected, and seen shared by a look from outside */
	uint64_t asked_ns, ask_cost_ns; /* from outside, last; 0: never */
	uint32_t asked_how; /* enum mms_watch, then */
	bool asked_ok;
	struct cow_area *areas;
	size_t n_areas, areas_room;
	bool stands;             /* still, to be compared: all that it told before is here */
	uint64_t waits_ns;       /* for that, since then; 0: it does not */
	unsigned n_waits;        /* rounds */
	bool shows_frames;       /* it stands still for that, and forks then */
	bool frames_new;         /* read, and its earlier forks were not told yet */
	struct cow_frames *frames;
	struct cow_fork *newest; /* fork for which it protected its pages last */
	int newest_side;
	bool ended;              /* its last word was read: */
	uint64_t faults;         /* minor faults; STORE_UNKNOWN */
	uint64_t parent_faults;  /* of who forked it, then; 0: not known */
};

/* Made where nothing was heard of it; NULL: no memory. */
struct cow_process *cow_process_of(struct cows *c, uint64_t number);
/* NULL: nothing was heard of it. */
struct cow_process *cow_process_find(const struct cows *c, uint64_t number);
void cow_process_done(struct cow_process *p);

/* The pages in `written` and `clean` are what process `number` has now:
 * credits every fork that is not over and is watched in this way (enum
 * mms_watch: UFFD or WITNESS).  whole: pages that are in neither are gone. */
struct cow_found {
	const struct page_plane *written, *clean;
	const struct page_plane *fresh;   /* in areas that came since; or NULL */
	const struct page_plane *swapped; /* MMS_WATCH_WITNESS: of these, in swap; or NULL */
	const struct page_plane *joined;  /* MMS_WATCH_WITNESS: alone as a whole, in 2 MiB entries; or NULL */
	uint32_t how;
	uint32_t share; /* of these pieces only, as in struct mms_cow_arm */
	bool whole;
};
void cow_credit(struct cows *c, uint64_t number, const struct cow_found *found);

/* Adds to *to the pages of `from` that are in `mask` too. */
void cow_plane_add_common(struct page_plane *to, const struct page_plane *from, const struct page_plane *mask);
/* Its sides stand still at their end to be looked at from outside. */
bool cow_is_compared(const struct cow_fork *f);
void cow_plane_take_away(struct page_plane *from, const struct page_plane *what);
void cow_plane_free(struct page_plane *p);
/* The runs of a set, to be freed; NULL: no memory. */
struct cow_run *cow_runs_of(const struct page_plane *p, size_t *ret_n);

/* ---- cow_areas.c ---- */

struct cow_span {
	uint64_t start, end;
	bool of_file;
};

/* Private writable memory of a process, each address once. */
struct cow_spans {
	struct cow_span *item;
	size_t n, room;
	bool whole; /* all there is but ours; else what the areas of its forks were */
};
void cow_spans_read(struct cow_spans *s, const struct cows *c, uint64_t number, const struct watch_process *p);
void cow_spans_done(struct cow_spans *s);

/* ---- */

/* Asks a process from outside and credits its forks that are watched in this
 * way; false: it is gone or may not be asked. */
bool cow_ask(struct cows *c, uint64_t number, uint32_t how);
/* What is known of a process from outside; NULL: nothing, or it is gone. */
struct watch_process *cow_outside(const struct cows *c, uint64_t number);

/* ---- cow_told.c ---- */

void cow_told_pages(struct cow_process *p, const struct order_note *n);
void cow_told_area(struct cow_process *p, const struct order_note *n);
void cow_told_drop(struct cow_process *p);
void cow_areas_free(struct cow_area **areas, size_t *n, size_t *room);

/* ---- cow_witness.c ---- */

/* Finds the witness and what it holds: what both sides have armed.  Called
 * when the parent's areas are there.  0 or -errno: nothing is armed. */
int cow_witness_open(struct cows *c, struct cow_fork *f);
/* Compares what a side wrote, as it was last asked, with the witness; the side
 * should stand still. */
void cow_witness_compare(struct cows *c, struct cow_fork *f, int side);
/* The kernel made one 2 MiB entry of pages, whoever wrote them (khugepaged,
 * MADV_COLLAPSE): those that read otherwise than at the fork were written. */
void cow_witness_joined(const struct cows *c, struct cow_fork *f, int side, const struct page_plane *joined, bool newest);
/* It is not needed any more, and ends. */
void cow_witness_end(struct cow_fork *f);

/* ---- cow_frames.c ---- */

/* Reads those of what a process told, which is about to fork. */
void cow_frames_note(struct cows *c, struct cow_process *p, uint64_t number);
/* Credits with them the forks before, while the process goes on already. */
void cow_frames_before(struct cows *c, uint64_t number);
/* Both sides have armed what the parent told.  0 or -errno. */
int cow_frames_arm(struct cow_fork *f, struct cow_process *parent);
/* Credits the forks of a process that are watched so; false: it is gone. */
bool cow_frames_ask(struct cows *c, uint64_t number);
void cow_frames_free(struct cow_frames *r);

/* Minor faults of a process now; STORE_UNKNOWN. */
uint64_t cow_ask_faults(struct cows *c, uint64_t number);
/* Tells a process that its latest watched fork is over. */
void cow_tell_over(struct cows *c, const struct cow_fork *f, int side);
bool cow_is_gone(const struct cows *c, uint64_t number);

/* What was watched of a fork, and what it says about all pages. */
struct cow_share {
	bool in_part;
	double p;                        /* a piece of 2 MiB is watched with this probability */
	uint32_t share;                  /* the same, of MMS_COW_SHARE_ALL */
	const struct page_plane *shared; /* pages that both sides watched */
	uint64_t all;                    /* those that both sides shared */
	bool all_known;                  /* told by the process; else by the pieces */
	uint64_t *piece;                 /* numbers of the pieces that hold `shared` */
	size_t n;
};
void cow_share_begin(struct cow_share *s, const struct cow_fork *f, const struct page_plane *shared);
void cow_share_end(struct cow_share *s);
/* What a page that was watched stands for. */
double cow_share_scale(const struct cow_share *s);
/* Pages of the sets plus, less those of the sets minus; NULL: no set.  Exact
 * where all was watched.  per_page: how often a page is counted at most. */
struct cow_range cow_share_pages(const struct cow_share *s, const struct page_plane *const plus[2],
	const struct page_plane *const minus[2], uint64_t per_page);
/* Pages that came after the fork: COW_NEW and COW_CAME. */
struct cow_range cow_share_new(const struct cow_share *s, const struct page_plane *fresh, const struct page_plane *came);
/* Pages of the set in an area. */
struct cow_range cow_share_area(const struct cow_share *s, const struct page_plane *p, const struct mms_cow_area *a);
/* Takes away the pages of pieces that are not in the share. */
void cow_share_only_chosen(struct page_plane *p, uint32_t share);

/* ---- cow_why.c: what was counted is in the row; fills method, exact and why ---- */

void cow_why_unwatched(struct cow_fork *f);
void cow_why(struct cow_fork *f, double share);
/* By its last word, or a look since the other side ended. */
bool cow_known_at_end(const struct cow_side *s);
/* Pages that were in swap at a look, where that hides what is written. */
uint64_t cow_count_swapped(const struct cow_fork *f);
/* Of these a side may have written any, with what was there. */
uint64_t cow_count_joined(const struct cow_fork *f);

/* ---- */

/* The fork is over: classes, rows.  Called once. */
void cow_result(struct cows *c, struct cow_fork *f, uint64_t now_ns);
/* Intervals of a fork that was watched in part; 0 or -errno. */
int cow_write_ranges(struct cows *c, const struct cow_fork *f);
void cow_sample(struct cows *c, struct cow_fork *f, uint64_t now_ns);
void cow_fork_release(struct cow_fork *f);

#endif
