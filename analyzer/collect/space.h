/*
 * space.h - one address space, between spaces.c (records and rows) and
 * look.c (looks from outside).  Private to collect/.
 */
#ifndef COLLECT_SPACE_H
#define COLLECT_SPACE_H

#include <stdbool.h>

#include "collect/spaces.h"
#include "mirror/page_shadow.h"
#include "mirror/vma_tree.h"

struct area {
	struct mms_area a; /* stack, origin, counts */
	char *name;
	uint64_t id;       /* row; 0: none yet */
	uint64_t born_ns;
	uint64_t touched;  /* pages */
	bool changed;      /* its row is older than this */
};

struct areas {
	struct area *area; /* by address */
	size_t n, capacity;
};

struct gone {
	uint32_t stack;
	uint64_t count, bytes, touched;
};

struct space {
	uint64_t number;
	struct vma_tree owners;     /* who mapped what, from the records */
	struct areas now, coming;
	struct page_shadow pages;   /* of the newest look */
	struct page_shadow coming_pages;
	struct page_shadow ever;    /* PAGE_TOUCHED alone is used */
	bool looked;                /* there is a look */
	bool final;                 /* the process told of itself; nothing from outside any more */
	bool no_states;             /* counts alone are known of some pages */
	int scan_error;             /* -errno of the newest look */
	uint64_t rss_now;           /* bytes, at the tick of the look */
	uint64_t next_look_ns, rss, vm_size, minflt;
	struct gone *gone;
	size_t n_gone, gone_capacity;
};

/* Takes sp->coming as the newest look. */
void space_take(struct spaces *s, struct space *sp, const struct store_scan *scan);
/* Adds an area to sp->coming; false: no memory. */
bool space_add(struct space *sp, const struct mms_area *a, const char *name, size_t length);
void space_drop_coming(struct space *sp);

/* look.c: fills sp->coming from /proc/PID.  0 or -errno. */
int look_outside(struct space *sp, int proc_fd, struct store_scan *scan);

#endif
