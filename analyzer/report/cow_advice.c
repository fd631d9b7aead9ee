/*
 * cow_advice.c - what can be done about copied pages, where it is warranted
 * and only then.  One function a rule; each says when it speaks, and is silent
 * when what it stands on was not measured.  Pure: called by the verb cow and
 * by its unit test.
 */
#include <stdio.h>

#include "report/alloc.h"
#include "report/cow.h"
#include "report/text.h"

/* Below this nothing is worth a change of the program. */
#define LEAST_PAGES 256

int64_t cow_union(int64_t parent, int64_t child, int64_t both)
{
	if (parent < 0 || child < 0)
		return parent < 0 ? child : parent;
	return parent + child - (both > 0 ? both : 0);
}

int64_t cow_broken(const struct cow_fork *f)
{
	return cow_union(f->n[COW_PARENT], f->n[COW_CHILD], f->n[COW_BOTH]);
}

static int64_t bytes_of(const struct cow_fork *f, int64_t pages)
{
	return pages * (f->n[COW_PAGE_SIZE] > 0 ? f->n[COW_PAGE_SIZE] : 4096);
}

/* At least half of what was broken ended as it was, and no less than 1 MiB:
 * reference counts that went up and down, or marks of a collector. */
static char *identical(const struct cow_fork *f)
{
	char pages[TEXT_NUMBER], all[TEXT_NUMBER], size[TEXT_NUMBER];
	int64_t broken = cow_broken(f), same = f->n[COW_IDENTICAL_PAGES];
	if (same < LEAST_PAGES || same * 2 < broken)
		return NULL;
	return xasprintf("%s of %s broken pages (%s) hold the bytes they held at the fork: they were copied for "
			 "writes that were taken back, as reference counts and the marks of a garbage collector "
			 "are. Taking objects out of the collector's reach before the fork (gc.freeze in Python) "
			 "helps against its passes; it does not help where objects are only read, since that "
			 "counts references: those are spared only when the child does not touch them.",
		text_count(pages, (uint64_t)same), text_count(all, (uint64_t)broken),
		text_size(size, (uint64_t)bytes_of(f, same)));
}

/* Several sites, each of whose broken pages are mostly changed by little, and
 * together no less than 1 MiB: their counters would fit into few pages. */
static char *counters(const struct cow_fork *f, const struct cow_parts *p)
{
	char sites[TEXT_NUMBER], pages[TEXT_NUMBER], size[TEXT_NUMBER], changed[TEXT_NUMBER];
	uint64_t n = 0, bytes = 0;
	if (f->n[COW_COUNTER_PAGES] < LEAST_PAGES || f->n[COW_COUNTER_PAGES] * 2 < cow_broken(f))
		return NULL;
	for (size_t i = 0; i < p->n_places; i++) {
		const struct cow_place *x = &p->place[i];
		if (x->stack_id && x->counters > 0 && x->counters * 2 >= cow_union(x->parent, x->child, x->both)) {
			n++;
			bytes += x->changed > 0 ? (uint64_t)x->changed : 0;
		}
	}
	if (n == 0)
		return NULL;
	return xasprintf("%s %s small counters on %s pages: %s changed and %s were copied. Counters that lie "
			 "together, apart from what is only read, would be copied alone.",
		text_count(sites, n), n == 1 ? "site puts" : "sites put",
		text_count(pages, (uint64_t)f->n[COW_COUNTER_PAGES]), text_size(changed, bytes),
		text_size(size, (uint64_t)bytes_of(f, f->n[COW_COUNTER_PAGES])));
}

/* One site with blocks of 64 KiB and more holds half of what the parent broke,
 * and no less than 1 MiB: a table that is rehashed, a buffer that is refilled. */
static char *table(const struct cow_fork *f, const struct cow_parts *p, const struct cow_place **ret_place)
{
	char pages[TEXT_NUMBER], size[TEXT_NUMBER];
	for (size_t i = 0; i < p->n_places; i++) {
		const struct cow_place *x = &p->place[i];
		if (!x->stack_id || x->parent < LEAST_PAGES || x->parent * 2 < f->n[COW_PARENT] ||
			x->blocks < 1 || x->bytes / x->blocks < 64 << 10)
			continue;
		*ret_place = x;
		return xasprintf("The parent broke %s (%s pages) in big blocks of one site: a table that is rehashed or "
				 "a buffer that is filled again while the child lives. Putting that off until the "
				 "child has ended keeps it shared.",
			text_size(size, (uint64_t)bytes_of(f, x->parent)), text_count(pages, (uint64_t)x->parent));
	}
	return NULL;
}

char *cow_advice(enum cow_rule rule, const struct cow_fork *f, const struct cow_parts *p,
	const struct cow_place **ret_place)
{
	*ret_place = NULL;
	switch (rule) {
	case COW_RULE_IDENTICAL:
		return identical(f);
	case COW_RULE_COUNTERS:
		return counters(f, p);
	case COW_RULE_TABLE:
		return table(f, p, ret_place);
	default:
		return NULL;
	}
}
