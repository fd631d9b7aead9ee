/*
 * space.c - loads the address space of one process: see space.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/space.h"
#include "report_sql.h"

static void bind(struct query *q, const struct answer_process *p, int64_t at_ns)
{
	query_bind(q, 1, p->id);
	if (at_ns < 0)
		query_bind_null(q, 2);
	else
		query_bind(q, 2, at_ns);
}

static void add_area(struct space *s, struct query *q)
{
	XGROW(s->area, s->n, s->capacity);
	struct space_area *x = &s->area[s->n++];
	*x = (struct space_area){.id = query_int(q, 0), .start = (uint64_t)query_int(q, 1),
		.end = (uint64_t)query_int(q, 2), .pgoff = query_int(q, 4), .kind = xstrdup(query_text(q, 5)),
		.name = xstrdup(query_text(q, 6)), .stack_id = query_int(q, 7), .born_ns = query_int(q, 8),
		.present = query_int(q, 9), .zero = query_int(q, 10),
		.swapped = (uint64_t)query_int(q, 11), .huge = query_int(q, 12),
		.touched = (uint64_t)query_int(q, 13)};
	snprintf(x->perms, sizeof(x->perms), "%s", query_text(q, 3));
}

static int by_start(const void *left, const void *right)
{
	const struct space_area *a = left, *b = right;
	return a->start < b->start ? -1 : a->start > b->start;
}

static void load_mm(struct space *s, struct answer *a, int64_t at_ns)
{
	struct query *q = answer_query(a, sql_mm);
	bind(q, s->process, at_ns);
	s->has_mm = answer_row(a, q);
	for (int i = 0; i < MM_FIELDS; i++)
		s->mm[i] = s->has_mm && !query_null(q, i + 1) ? query_int(q, i + 1) : -1;
	query_close(q);
}

static void load_drift(struct space *s, struct answer *a)
{
	struct query *q = answer_query(a, sql_drift);
	query_bind(q, 1, s->process->id);
	s->checks = -1;
	if (answer_row(a, q)) {
		s->checks = query_int(q, 0);
		s->differences = query_int(q, 1);
		s->left_pages = query_int(q, 2);
		s->missed = query_int(q, 3);
	}
	query_close(q);
	q = answer_query(a, sql_hidden);
	query_bind(q, 1, s->process->id);
	while (answer_row(a, q)) {
		XGROW(s->hidden, s->n_hidden, s->hidden_capacity);
		s->hidden[s->n_hidden++] = (struct space_hidden){xstrdup(query_text(q, 0)), query_int(q, 1)};
	}
	query_close(q);
}

bool space_load(struct space *s, struct answer *a, const struct answer_process *p, int64_t at_ns)
{
	*s = (struct space){.process = p};
	struct query *q = answer_query(a, sql_areas);
	bind(q, p, at_ns);
	while (answer_row(a, q))
		add_area(s, q);
	query_close(q);
	if (s->n) /* SQL orders addresses as signed numbers */
		qsort(s->area, s->n, sizeof(*s->area), by_start);
	q = answer_query(a, sql_looks);
	bind(q, p, at_ns);
	s->look_ns = -1;
	if (answer_row(a, q)) {
		s->n_looks = query_int(q, 0);
		s->look_ns = query_int(q, 1);
		s->from_outside = query_int(q, 3) != 0;
	}
	query_close(q);
	q = answer_query(a, sql_touches);
	bind(q, p, at_ns);
	while (answer_row(a, q)) {
		XGROW(s->touch, s->n_touches, s->touches_capacity);
		s->touch[s->n_touches++] = (struct space_touch){query_int(q, 0), query_int(q, 1), query_int(q, 2),
			query_int(q, 3)};
	}
	query_close(q);
	load_mm(s, a, at_ns);
	load_drift(s, a);
	return s->n > 0;
}

void space_done(struct space *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->area[i].kind);
		free(s->area[i].name);
	}
	for (size_t i = 0; i < s->n_hidden; i++)
		free(s->hidden[i].class);
	free(s->area);
	free(s->hidden);
	free(s->touch);
	memset(s, 0, sizeof(*s));
}

void space_site(struct answer *a, int64_t stack_id, char ret[SPACE_ID])
{
	ret[0] = 0;
	if (!stack_id)
		return;
	struct query *q = answer_query(a, sql_stack_sites);
	query_bind(q, 1, stack_id);
	if (answer_row(a, q))
		snprintf(ret, SPACE_ID, "%s", query_text(q, 0));
	query_close(q);
}
