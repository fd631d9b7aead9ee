/*
 * top_load.c - a moment of a recording, read from the file as it is being
 * written: three questions in one read transaction, no copy.  The collector
 * is never made to wait, the target does not know.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report/alloc.h"
#include "report/top.h"
#include "report_sql.h"

#define NAMES_SHARE 20 /* names take at most this part of the time */

int64_t top_clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void free_rows(struct top_row *row, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(row[i].exe);
		free(row[i].end);
	}
	free(row);
}

void top_done(struct top_moment *m)
{
	free_rows(m->process, m->n_process);
	free_rows(m->site, m->n_site);
	memset(m, 0, sizeof(*m));
}

static void read_row(struct top_row *r, struct query *q)
{
	*r = (struct top_row){.process_id = query_int(q, 0), .stack_id = query_int(q, 1), .pid = query_int(q, 2),
		.live_blocks = (uint64_t)query_int(q, 3), .live_bytes = (uint64_t)query_int(q, 4),
		.alloc_blocks = (uint64_t)query_int(q, 5), .peak_bytes = (uint64_t)query_int(q, 6), .rss = -1};
}

static bool read_totals(struct top_moment *m, struct capture *c)
{
	struct query *q = query_open(c, sql_top_totals);
	bool good = q && query_next(q) > 0;
	if (good) {
		m->n_processes = (uint64_t)query_int(q, 0);
		m->n_running = (uint64_t)query_int(q, 1);
		m->live_bytes = (uint64_t)query_int(q, 2);
		m->live_blocks = (uint64_t)query_int(q, 3);
		m->alloc_blocks = (uint64_t)query_int(q, 4);
		m->alloc_bytes = (uint64_t)query_int(q, 5);
		m->lost_records = (uint64_t)query_int(q, 6);
	}
	query_close(q);
	return good;
}

static bool read_processes(struct top_moment *m, struct capture *c)
{
	struct query *q = query_open(c, sql_top_processes);
	int more = q ? query_next(q) : -1;
	for (; more > 0; more = query_next(q)) {
		XGROW(m->process, m->n_process, m->process_capacity);
		struct top_row *r = &m->process[m->n_process++];
		read_row(r, q);
		if (!query_null(q, 7))
			r->rss = query_int(q, 7);
		r->exe = xstrdup(query_text(q, 8));
		r->end = xstrdup(query_text(q, 9));
		r->merged = (uint64_t)query_int(q, 10);
	}
	query_close(q);
	return more == 0;
}

static bool read_sites(struct top_moment *m, struct capture *c)
{
	struct query *q = query_open(c, sql_top_sites);
	if (q)
		query_bind(q, 1, m->n_running == 0);
	int more = q ? query_next(q) : -1;
	for (; more > 0; more = query_next(q)) {
		XGROW(m->site, m->n_site, m->site_capacity);
		read_row(&m->site[m->n_site++], q);
	}
	query_close(q);
	return more == 0;
}

static int by_key(const void *left, const void *right)
{
	const struct top_row *a = left, *b = right;
	if (a->process_id != b->process_id)
		return a->process_id < b->process_id ? -1 : 1;
	return a->stack_id < b->stack_id ? -1 : a->stack_id > b->stack_id;
}

/* What is new since the moment before counts from nothing. */
static void rate_rows(struct top_row *row, size_t n, const struct top_row *before, size_t n_before, double span_s)
{
	for (size_t i = 0; i < n; i++) {
		const struct top_row *old = n_before ? bsearch(&row[i], before, n_before, sizeof(*row), by_key) : NULL;
		row[i].rate = ((double)row[i].live_bytes - (old ? (double)old->live_bytes : 0)) / span_s;
		row[i].allocs = ((double)row[i].alloc_blocks - (old ? (double)old->alloc_blocks : 0)) / span_s;
	}
}

static void rate(struct top_moment *m, struct top_moment *before)
{
	if (!before->read || m->t_ns <= before->t_ns)
		return;
	m->span_s = (double)(m->t_ns - before->t_ns) / 1e9;
	if (before->n_process)
		qsort(before->process, before->n_process, sizeof(*before->process), by_key);
	if (before->n_site)
		qsort(before->site, before->n_site, sizeof(*before->site), by_key);
	rate_rows(m->process, m->n_process, before->process, before->n_process, m->span_s);
	rate_rows(m->site, m->n_site, before->site, before->n_site, m->span_s);
	m->rate = ((double)m->live_bytes - (double)before->live_bytes) / m->span_s;
	m->allocs = ((double)m->alloc_blocks - (double)before->alloc_blocks) / m->span_s;
}

bool top_load(struct top *t, char *reason, size_t room)
{
	struct capture *c;
	struct top_moment m = {.read = true};
	if (capture_peek(t->path, &c, reason, room) < 0)
		return false;
	m.state = capture_state(c);
	m.t_ns = capture_meta_number(c, m.state == CAPTURE_COMPLETE ? "duration_ns" : "last_flush_ns", 0);
	bool good = read_totals(&m, c) && read_processes(&m, c) && read_sites(&m, c);
	if (!good)
		snprintf(reason, room, "%s", capture_error(c));
	capture_close(c);
	/* Nothing was flushed since: the rates of that moment still hold. */
	bool news = good && !(t->now.read && m.t_ns == t->now.t_ns && m.state == t->now.state);
	if (!news) {
		top_done(&m);
		return good;
	}
	rate(&m, &t->now);
	top_done(&t->now);
	t->now = m;
	return true;
}

static _Thread_local int order_now; /* of the sort that runs */

static double key_of(const struct top_row *r)
{
	switch (order_now) {
	case TOP_BY_RATE:
		return r->rate;
	case TOP_BY_ALLOCS:
		return r->allocs;
	case TOP_BY_PEAK:
		return (double)r->peak_bytes;
	default:
		return (double)r->live_bytes;
	}
}

static int by_order(const void *left, const void *right)
{
	const struct top_row *a = left, *b = right;
	double x = key_of(a), y = key_of(b);
	if (x != y)
		return x > y ? -1 : 1;
	if (a->live_bytes != b->live_bytes)
		return a->live_bytes > b->live_bytes ? -1 : 1;
	return by_key(a, b);
}

void top_sort(struct top *t)
{
	order_now = t->order == TOP_BY_RATE && t->now.span_s <= 0 ? TOP_BY_LIVE : t->order;
	if (t->now.n_process)
		qsort(t->now.process, t->now.n_process, sizeof(*t->now.process), by_order);
	if (t->now.n_site)
		qsort(t->now.site, t->now.n_site, sizeof(*t->now.site), by_order);
}

const struct capture_stack *top_stack(struct top *t, int64_t stack_id)
{
	const struct capture_stack *stack = answer_stack(&t->names, stack_id);
	int64_t now = top_clock_ns();
	if (stack->n || !stack_id || now - t->names_ns < NAMES_SHARE * t->names_cost_ns)
		return stack;
	/* A stack that came after the names were read. */
	struct answer newer;
	if (answer_open(&newer, "top", t->path))
		return stack;
	answer_close(&t->names, 0);
	t->names = newer;
	t->names_ns = top_clock_ns();
	t->names_cost_ns = t->names_ns - now;
	return answer_stack(&t->names, stack_id);
}
