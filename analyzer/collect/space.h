/*
 * space.h - one address space, between spaces.c (records and rows) and
 * look.c (looks from outside).  Private to collect/.
 */
#ifndef COLLECT_SPACE_H
#define COLLECT_SPACE_H

#include <stdbool.h>

#include "collect/spaces.h"
#include "mirror/page_scan.h"
#include "mirror/page_shadow.h"
#include "mirror/vma_tree.h"

struct area {
	struct mms_area a; /* stack, origin, counts */
	char *name;
	uint64_t id;       /* row; 0: none yet */
	uint64_t born_ns;
	uint64_t touched;  /* pages */
	bool changed;      /* its row is older than this */
	struct touch *touch; /* touches.c */
	unsigned n_touches;
	uint8_t *pages;    /* as its row has them; NULL: not yet */
	size_t n_pages;    /* bytes */
};

struct areas {
	struct area *area; /* by address */
	size_t n, capacity;
};

struct gone {
	uint32_t stack;
	uint64_t count, bytes, touched;
};

/* A look from outside that goes on. */
struct look {
	bool on;
	struct space *next;    /* in spaces.looking */
	size_t area;           /* of coming: those before it are done */
	uint64_t at;           /* and of this one what lies below */
	struct page_scan ask;
	struct store_scan scan;
	struct mms_mm mm;      /* at the tick */
};

struct space {
	uint64_t number;
	struct look look;
	struct vma_tree owners;     /* who mapped what, from the records */
	uint64_t n_calls;           /* that told of it */
	struct areas now, coming;
	struct page_shadow pages;   /* of the newest look */
	struct page_shadow coming_pages;
	struct page_shadow ever;    /* PAGE_TOUCHED alone is used */
	bool looked;                /* there is a look */
	uint32_t n_lines;           /* areas as the kernel has them, at the newest look from outside */
	bool own_sought;
	uint64_t own_at;            /* address of the library's table of its areas; 0: not known */
	bool noreserve_known;
	uint64_t noreserve;         /* untouched bytes of such areas at the newest look */
	bool final;                 /* the process told of itself; nothing from outside any more */
	bool packed;                /* the process is over: the planes are empty, areas have their pages */
	bool no_states;             /* counts alone are known of some pages */
	int scan_error;             /* -errno of the newest look */
	uint64_t next_look_ns, rss, vm_size, minflt;
	struct gone *gone;
	size_t n_gone, gone_capacity;
};

/* Takes sp->coming as the newest look. */
void space_take(struct spaces *s, struct space *sp, const struct store_scan *scan);
/* Adds an area to sp->coming; false: no memory. */
bool space_add(struct space *sp, const struct mms_area *a, const char *name, size_t length);
void space_drop_coming(struct space *sp);

/* The row of an area; died_ns 0: it was there to the last. */
void space_write_area(struct spaces *s, const struct space *sp, struct area *x, uint64_t died_ns);

/* No look comes any more: the newest one in little memory. */
void space_pack(struct space *sp);

/* The space of a process, made when it is new; NULL: no memory. */
struct space *space_of(struct spaces *s, uint64_t number);

/* space_debts.c: the sums of the newest look. */
void space_add_up(struct space *sp);
/* space_notes.c: what the figures lack on this kernel. */
void space_notes(const struct spaces *s);

/* touches.c: the area as it is at a look; its list goes on as that of another;
 * the list as rows. */
void touches_note(struct area *x, uint64_t t_ns);
void touches_move(struct area *to, struct area *from);
void touches_write(struct spaces *s, const struct area *x);

/* look.c: gives up the look from outside that goes on, if one does. */
void look_drop(struct spaces *s, struct space *sp);

#endif
