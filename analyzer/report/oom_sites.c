/*
 * oom_sites.c - see oom_sites.h.  Called by the verb oom.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/oom_sites.h"
#include "report_sql.h"

#define BUCKETS_MAX 600

/* The last value at or before t; 0 before the first bucket. */
static uint64_t value_at(const struct capture_bucket *bucket, int n, int64_t start_ns, int64_t width_ns, int64_t t)
{
	if (n <= 0 || t < start_ns || width_ns <= 0)
		return 0;
	int64_t i = (t - start_ns) / width_ns;
	return bucket[i < n ? i : n - 1].last;
}

static void add(struct oom_sites *s, struct answer *a, int64_t stack, const char *id, uint64_t before, uint64_t now)
{
	const struct capture_stack *frames = answer_stack(a, stack);
	s->live += now;
	if (now == 0 && before == 0)
		return;
	/* Stacks of one place in the program are one row. */
	for (size_t i = 0; id && i < s->n; i++) {
		if (strcmp(s->site[i].id, id) == 0) {
			s->site[i].live += now;
			s->site[i].grown += (int64_t)now - (int64_t)before;
			return;
		}
	}
	XGROW(s->site, s->n, s->capacity);
	struct oom_site *site = &s->site[s->n++];
	*site = (struct oom_site){.stack = frames, .live = now, .grown = (int64_t)now - (int64_t)before};
	snprintf(site->id, sizeof(site->id), "%s", id ? id : "");
}

void oom_sites_load(struct oom_sites *s, struct answer *a, const struct answer_process *p, int64_t from_ns,
	int64_t to_ns)
{
	struct capture_bucket *bucket = xcalloc(BUCKETS_MAX, sizeof(*bucket));
	struct query *q = answer_query(a, sql_oom_series);
	*s = (struct oom_sites){.from_ns = from_ns, .to_ns = to_ns};
	query_bind(q, 1, p->id);
	while (answer_row(a, q)) {
		size_t size;
		const void *data = query_blob(q, 3, &size);
		int n = capture_series(data, size, bucket, BUCKETS_MAX);
		int64_t start = query_int(q, 1), width = query_int(q, 2);
		add(s, a, query_int(q, 0), query_text(q, 4), value_at(bucket, n, start, width, from_ns),
			value_at(bucket, n, start, width, to_ns));
	}
	query_close(q);
	free(bucket);
}

static int by_growth(const void *left, const void *right)
{
	const struct oom_site *a = left, *b = right;
	return a->grown != b->grown ? (a->grown > b->grown ? -1 : 1) : strcmp(a->id, b->id);
}

static int by_size(const void *left, const void *right)
{
	const struct oom_site *a = left, *b = right;
	return a->live != b->live ? (a->live > b->live ? -1 : 1) : strcmp(a->id, b->id);
}

void oom_sites_by_growth(struct oom_sites *s)
{
	if (s->n)
		qsort(s->site, s->n, sizeof(*s->site), by_growth);
}

void oom_sites_by_size(struct oom_sites *s)
{
	if (s->n)
		qsort(s->site, s->n, sizeof(*s->site), by_size);
}

void oom_sites_done(struct oom_sites *s)
{
	free(s->site);
	*s = (struct oom_sites){0};
}
