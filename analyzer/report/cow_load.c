/*
 * cow_load.c - forks and their copy-on-write out of the database: see cow.h.
 * Called by cow and report; NULL of the database is COW_UNKNOWN.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/cow.h"
#include "report/text.h"
#include "report_sql.h"

static int64_t number(struct query *q, int column)
{
	return query_null(q, column) ? COW_UNKNOWN : query_int(q, column);
}

static char *text_or_null(struct query *q, int column)
{
	const char *text = query_text(q, column);
	return text ? xstrdup(text) : NULL;
}

static void read_fork(struct cow_fork *f, struct answer *a, struct query *q)
{
	int c = 0;
	f->id = query_int(q, c++);
	f->parent = answer_find(a, query_int(q, c++));
	f->child = query_null(q, c) ? NULL : answer_find(a, query_int(q, c));
	c++;
	f->child_pid = number(q, c++);
	f->kind = text_or_null(q, c++);
	f->t_ns = query_int(q, c++);
	f->pause_ns = query_int(q, c++);
	f->stack_id = query_int(q, c++);
	f->method = text_or_null(q, c++);
	f->exact = (int)number(q, c++);
	f->why = text_or_null(q, c++);
	f->share = query_null(q, c) ? -1 : query_real(q, c);
	c++;
	f->areas = number(q, c++);
	f->page_tables = number(q, c++);
	f->arm_parent_ns = number(q, c++);
	f->arm_child_ns = number(q, c++);
	for (size_t i = 0; i < COW_NUMBERS; i++)
		f->n[i] = number(q, c++);
	f->merged = (uint64_t)query_int(q, c++);
	f->watched = f->method && strcmp(f->method, "none") != 0;
}

const char *cow_why_not(const struct cow_fork *f)
{
	if (f->why)
		return f->why;
	return f->method ? "No reason is known." : "The recording holds nothing about it.";
}

static void count_unwatched(struct cow *c, const struct cow_fork *f)
{
	const char *why = cow_why_not(f);
	size_t i = 0;
	while (i < c->n_unwatched && strcmp(c->unwatched[i].why, why) != 0)
		i++;
	if (i == c->n_unwatched) {
		XGROW(c->unwatched, c->n_unwatched, c->unwatched_capacity);
		c->unwatched[c->n_unwatched++] = (struct cow_unwatched){why, 0};
	}
	c->unwatched[i].n += f->merged ? f->merged : 1;
}

static int by_count(const void *left, const void *right)
{
	const struct cow_unwatched *a = left, *b = right;
	if (a->n != b->n)
		return a->n > b->n ? -1 : 1;
	return strcmp(a->why, b->why);
}

void cow_load(struct cow *c, struct answer *a)
{
	*c = (struct cow){.n = 0};
	struct query *q = answer_query(a, sql_cow_forks);
	while (answer_row(a, q)) {
		XGROW(c->fork, c->n, c->capacity);
		read_fork(&c->fork[c->n++], a, q);
	}
	query_close(q);
	for (size_t i = 0; i < c->n; i++) {
		uint64_t forks = c->fork[i].merged ? c->fork[i].merged : 1;
		c->n_all += forks;
		c->n_watched += c->fork[i].watched ? forks : 0;
		if (!c->fork[i].watched)
			count_unwatched(c, &c->fork[i]);
	}
	if (c->n_unwatched)
		qsort(c->unwatched, c->n_unwatched, sizeof(*c->unwatched), by_count);
}

void cow_done(struct cow *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->fork[i].kind);
		free(c->fork[i].method);
		free(c->fork[i].why);
	}
	free(c->fork);
	free(c->unwatched);
}

int64_t cow_bytes_copied(const struct cow_fork *f)
{
	return f->n[COW_COPIES] < 0 || f->n[COW_PAGE_SIZE] < 0 ? COW_UNKNOWN
		: f->n[COW_COPIES] * f->n[COW_PAGE_SIZE];
}

const char *cow_method_text(const struct cow_fork *f)
{
	static const struct {
		const char *word, *text;
	} words[] = {
		{"userfaultfd", "write protection (userfaultfd)"},
		{"soft-dirty", "soft-dirty bits"},
		{"witness", "a witness process"},
		{"pfn", "page frame numbers"},
		{"totals", "counts of page faults"},
	};
	for (size_t i = 0; f->method && i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(f->method, words[i].word) == 0)
			return words[i].text;
	return f->method ? f->method : "nothing";
}

/* ---- parts ---- */

/* "name low high;name low high ..." */
static size_t read_within(struct cow_interval *x, const char *text)
{
	size_t n = 0;
	for (int used = 0; text && n < COW_WITHIN; n++, text += used) {
		long long low, high;
		if (sscanf(text, "%15[a-z_] %lld %lld%n", x[n].name, &low, &high, &used) != 3)
			break;
		x[n].low = low;
		x[n].high = high;
		used += text[used] == ';';
	}
	return n;
}

static void read_area(struct cow_area *x, struct query *q)
{
	x->start = (uint64_t)query_int(q, 0);
	x->end = (uint64_t)query_int(q, 1);
	snprintf(x->perms, sizeof(x->perms), "%s", query_text(q, 2));
	x->kind = xstrdup(query_text(q, 3));
	x->name = xstrdup(query_text(q, 4));
	x->stack_id = query_int(q, 5);
	x->shared = query_int(q, 6);
	x->parent = number(q, 7);
	x->child = number(q, 8);
	x->both = number(q, 9);
	x->huge = query_int(q, 10);
	x->changed = number(q, 11);
	x->identical = number(q, 12);
	x->counters = number(q, 13);
	x->n_within = read_within(x->within, query_text(q, 14));
}

static void read_place(struct cow_place *x, struct query *q)
{
	int64_t *to[] = {&x->shared, &x->parent, &x->child, &x->both, &x->blocks, &x->bytes, &x->false_blocks,
		&x->changed, &x->identical, &x->counters};
	x->stack_id = query_int(q, 0);
	snprintf(x->id, sizeof(x->id), "%s", query_text(q, 1));
	for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++)
		*to[i] = number(q, 2 + (int)i);
	x->n_within = read_within(x->within, query_text(q, 12));
}

static struct query *parts_query(struct answer *a, const char *sql, const struct cow_fork *f)
{
	struct query *q = answer_query(a, sql);
	query_bind(q, 1, f->id);
	return q;
}

void cow_parts_load(struct cow_parts *p, struct answer *a, const struct cow_fork *f)
{
	*p = (struct cow_parts){.n_areas = 0};
	struct query *q = parts_query(a, sql_cow_vmas, f);
	while (answer_row(a, q)) {
		XGROW(p->area, p->n_areas, p->areas_capacity);
		read_area(&p->area[p->n_areas++], q);
	}
	query_close(q);
	q = parts_query(a, sql_cow_sites, f);
	while (answer_row(a, q)) {
		XGROW(p->place, p->n_places, p->places_capacity);
		read_place(&p->place[p->n_places++], q);
	}
	query_close(q);
	q = parts_query(a, sql_cow_samples, f);
	while (answer_row(a, q)) {
		XGROW(p->point, p->n_points, p->points_capacity);
		p->point[p->n_points++] = (struct cow_point){query_int(q, 0), number(q, 1), number(q, 2),
			number(q, 3), number(q, 4), number(q, 5)};
	}
	query_close(q);
	q = parts_query(a, sql_cow_intervals, f);
	while (answer_row(a, q)) {
		XGROW(p->interval, p->n_intervals, p->intervals_capacity);
		struct cow_interval *x = &p->interval[p->n_intervals++];
		snprintf(x->name, sizeof(x->name), "%s", query_text(q, 0));
		x->low = query_int(q, 1);
		x->high = query_int(q, 2);
	}
	query_close(q);
}

void cow_parts_done(struct cow_parts *p)
{
	for (size_t i = 0; i < p->n_areas; i++) {
		free(p->area[i].kind);
		free(p->area[i].name);
	}
	free(p->area);
	free(p->place);
	free(p->point);
	free(p->interval);
}
