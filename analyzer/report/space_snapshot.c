/*
 * space_snapshot.c - the address space as a snapshot found it.
 *
 * The areas are those that looks saw at its time; what is in memory of the
 * writable ones, page by page, is what the snapshot saw.  Of the others nothing
 * is known at that moment.  Called by maps.
 */
#include <stdlib.h>
#include <string.h>

#include <mmscope/pages.h>

#include "report/alloc.h"
#include "report/space.h"
#include "report_sql.h"

bool space_snapshot_find(struct answer *a, const char *name, struct space_snapshot *ret)
{
	struct query *q = answer_query(a, sql_snapshot_named);
	query_bind_text(q, 1, name);
	bool found = answer_row(a, q);
	if (found)
		*ret = (struct space_snapshot){query_int(q, 0), answer_find(a, query_int(q, 1)), query_int(q, 2),
			query_int(q, 3)};
	query_close(q);
	return found && ret->process;
}

/* The area that begins where one of the snapshot did; what else overlaps came
 * from a look that was made before it changed, and goes. */
static struct space_area *area_for(struct space *s, uint64_t start, uint64_t end)
{
	struct space_area *found = NULL;
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct space_area *x = &s->area[i];
		if (x->start == start || x->end <= start || x->start >= end) {
			found = x->start == start ? &s->area[n] : found;
			s->area[n++] = *x;
			continue;
		}
		free(x->kind);
		free(x->name);
	}
	s->n = n;
	return found;
}

static void count(struct space_area *x, const void *states, size_t size)
{
	struct mms_page_reader r;
	uint64_t page, n;
	enum mms_page_state state;
	mms_pages_begin(&r, states, size, x->start / SPACE_PAGE);
	while (mms_pages_next(&r, &page, &n, &state)) {
		x->present += state == MMS_PAGE_PRESENT || state == MMS_PAGE_HUGE ? (int64_t)n : 0;
		x->huge += x->huge >= 0 && state == MMS_PAGE_HUGE ? (int64_t)n : 0;
		x->zero += x->zero >= 0 && state == MMS_PAGE_ZERO ? (int64_t)n : 0;
		x->swapped += state == MMS_PAGE_SWAPPED ? n : 0;
		x->touched += state != MMS_PAGE_ABSENT ? n : 0;
	}
}

static void take(struct space *s, struct query *q)
{
	uint64_t start = (uint64_t)query_int(q, 0), end = (uint64_t)query_int(q, 1);
	struct space_area *x = area_for(s, start, end);
	size_t size;
	if (!x) {
		XGROW(s->area, s->n, s->capacity);
		x = &s->area[s->n++];
		*x = (struct space_area){.start = start, .perms = "rw-p", .pgoff = -1, .kind = xstrdup(query_text(q, 2)),
			.name = xstrdup(""), .born_ns = s->look_ns};
		if (strcmp(x->kind, "other") == 0)
			memcpy(x->kind, "?", 2);
	}
	x->end = end;
	x->present = 0;
	x->zero = x->zero < 0 ? -1 : 0; /* a kernel that does not tell them did not then */
	x->huge = x->huge < 0 ? -1 : 0;
	x->swapped = x->touched = 0;
	const void *states = query_blob(q, 4, &size);
	if (states)
		count(x, states, size);
	else
		x->present = query_int(q, 3) / SPACE_PAGE;
}

static int by_start(const void *left, const void *right)
{
	const struct space_area *a = left, *b = right;
	return a->start < b->start ? -1 : a->start > b->start;
}

void space_as_in_snapshot(struct space *s, struct answer *a, const struct space_snapshot *snapshot)
{
	for (size_t i = 0; i < s->n; i++)
		s->area[i].present = -1;
	s->n_touches = 0;
	s->look_ns = snapshot->t_ns;
	struct query *q = answer_query(a, sql_snapshot_pages);
	query_bind(q, 1, snapshot->id);
	while (answer_row(a, q))
		take(s, q);
	query_close(q);
	if (s->n)
		qsort(s->area, s->n, sizeof(*s->area), by_start);
}
