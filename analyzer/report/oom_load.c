/*
 * oom_load.c - what the database knows of a process's limits at a moment.
 *
 * Called by oom_judge.c.  Reads ticks up to the moment and nothing later,
 * with one exception: the counters of kills, which move when it is over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/oom_load.h"
#include "report_sql.h"

#define UNLIMITED 0x7ffffffffffff000ull /* collect/limit.h writes it for a cgroup without a limit */
#define DYING_NS 5000000000ll /* between the kill and the end memory is given back: 0.1 s a GiB */
#define WINDOW_NS 600000000000ll /* growth is that of the last ten minutes */
#define FLOORS 120

static int64_t known(struct query *q, int column)
{
	return query_null(q, column) ? OOM_UNKNOWN : query_int(q, column);
}

static bool is_special(const char *kind)
{
	static const char *const word[] = {"RLIMIT_STACK", "RLIMIT_MEMLOCK", "max_map_count"};
	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		if (strcmp(kind, word[i]) == 0)
			return true;
	return false;
}

static bool is_of_threads(const char *kind)
{
	return strcmp(kind, "RLIMIT_NPROC") == 0 || strcmp(kind, "pids") == 0 || strcmp(kind, "threads-max") == 0;
}

static bool only_tells(const char *kind)
{
	return is_of_threads(kind) || strcmp(kind, "committed") == 0 || strcmp(kind, "cgroup2.swap") == 0 ||
		strcmp(kind, "hugetlb") == 0;
}

static struct oom_limit *limit_of(struct oom *o, const char *kind, const char *path)
{
	for (size_t i = o->n_limits; i-- > 0;)
		if (strcmp(o->limits[i].kind, kind) == 0 && strcmp(o->limits[i].path, path) == 0)
			return &o->limits[i];
	XGROW(o->limits, o->n_limits, o->cap_limits);
	struct oom_limit *l = &o->limits[o->n_limits++];
	*l = (struct oom_limit){.kind = xstrdup(kind), .path = xstrdup(path), .special = is_special(kind),
		.tells = only_tells(kind), .kills_before = OOM_UNKNOWN, .peak = OOM_UNKNOWN,
		.counts = strcmp(kind, "max_map_count") == 0 || is_of_threads(kind), .threads = is_of_threads(kind), .new_failures = OOM_UNKNOWN, .new_kills = OOM_UNKNOWN,
		.failures = OOM_UNKNOWN, .oom_kills = OOM_UNKNOWN};
	return l;
}

/* A counter's value, and how far it has come since its first one. */
static void count_up(int64_t now, int64_t *value, int64_t *moved)
{
	if (now == OOM_UNKNOWN)
		return;
	*moved = *value == OOM_UNKNOWN ? 0 : *moved + (now > *value ? now - *value : 0);
	*value = now;
}

static void add_tick(struct oom_limit *l, struct query *q)
{
	l->limit = (uint64_t)query_int(q, 3);
	l->usage = (uint64_t)query_int(q, 4);
	l->reclaimable = (uint64_t)query_int(q, 5);
	l->unlimited = l->limit >= UNLIMITED;
	l->headroom = (int64_t)l->limit - (int64_t)l->usage + (int64_t)l->reclaimable;
	l->residue = known(q, 6);
	l->swap = known(q, 7);
	l->stall_us = known(q, 10);
	l->full_stall_us = known(q, 11);
	XGROW(l->points, l->n_points, l->cap_points);
	l->points[l->n_points++] = (struct growth_point){(double)query_int(q, 2) / 1e9,
		(double)l->usage - (double)l->reclaimable};
	l->peak = known(q, 12);
	if (l->peak == OOM_UNKNOWN)
		return;
	XGROW(l->peaks, l->n_peaks, l->cap_peaks);
	l->peaks[l->n_peaks++] = (struct growth_point){(double)query_int(q, 2) / 1e9, (double)l->peak};
}

/* The last count before the process was about to end, else the first. */
static void count_before(const struct oom *o, struct oom_limit *l, int64_t t_ns, int64_t kills)
{
	bool early = o->process->end_ns < 0 || t_ns <= o->process->end_ns - DYING_NS;
	if (kills != OOM_UNKNOWN && (l->kills_before == OOM_UNKNOWN || early))
		l->kills_before = kills;
}

void oom_load_limits(struct oom *o, struct answer *a, int64_t until_ns)
{
	struct query *q = answer_query(a, sql_oom_limits);
	query_bind(q, 1, o->process->id);
	query_bind(q, 2, o->place);
	query_bind(q, 3, until_ns);
	while (answer_row(a, q)) {
		struct oom_limit *l = limit_of(o, query_text(q, 0), query_text(q, 1));
		count_up(known(q, 8), &l->failures, &l->new_failures);
		count_up(known(q, 9), &l->oom_kills, &l->new_kills);
		count_before(o, l, query_int(q, 2), known(q, 9));
		if (query_int(q, 2) <= o->t_ns)
			add_tick(l, q);
	}
	query_close(q);
}

bool oom_load_debts(struct oom *o, struct answer *a, int64_t until_ns)
{
	struct query *q = answer_query(a, sql_oom_debts);
	query_bind(q, 1, o->process->id);
	query_bind(q, 2, until_ns);
	bool found = answer_row(a, q);
	if (found) {
		o->place = query_int(q, 0);
		o->t_ns = query_int(q, 1);
		o->touch = known(q, 2);
		o->page_tables = known(q, 3);
		o->private_bytes = known(q, 4);
		o->threads = known(q, 5);
		o->swap = known(q, 6);
		o->stack = known(q, 7);
		o->cow = known(q, 8);
		o->cow_huge = known(q, 9);
		o->noreserve = known(q, 10);
		if (o->noreserve != OOM_UNKNOWN) /* inside touch in the table */
			o->touch -= o->noreserve;
	}
	query_close(q);
	return found;
}

/* The floor: the least of each of at most FLOORS parts of equal count. */
static size_t floor_of(struct growth_point *points, size_t n)
{
	size_t parts = n < FLOORS ? n : FLOORS;
	for (size_t i = 0; i < parts; i++) {
		struct growth_point least = points[i * n / parts];
		for (size_t j = i * n / parts + 1; j < (i + 1) * n / parts; j++)
			least = points[j].value < least.value ? points[j] : least;
		points[i] = least;
	}
	return parts;
}

void oom_load_live(struct oom *o, struct answer *a)
{
	struct growth_point *points = NULL;
	size_t n = 0, capacity = 0;
	struct query *q = answer_query(a, sql_oom_live);
	query_bind(q, 1, o->process->id);
	query_bind(q, 2, o->t_ns);
	query_bind(q, 3, o->t_ns - WINDOW_NS);
	while (answer_row(a, q)) {
		XGROW(points, n, capacity);
		points[n++] = (struct growth_point){(double)query_int(q, 0) / 1e9, (double)query_int(q, 1)};
	}
	query_close(q);
	o->has_live = n > 0 && growth_recent(points, floor_of(points, n), &o->live) == 0;
	free(points);
}

void oom_load_victims(struct oom *o, struct answer *a)
{
	struct query *q = answer_query(a, sql_oom_victims);
	query_bind(q, 1, o->place);
	query_bind_text(q, 2, o->killing->path);
	query_bind(q, 3, o->t_ns);
	while (answer_row(a, q) && o->n_victims < sizeof(o->victims) / sizeof(o->victims[0]))
		o->victims[o->n_victims++] = (struct oom_victim){query_int(q, 1), query_int(q, 3), query_int(q, 4),
			query_int(q, 5), xstrdup(query_text(q, 2))};
	query_close(q);
}

void oom_load_failures(struct oom *o, struct answer *a, int64_t until_ns)
{
	struct query *q = answer_query(a, sql_oom_failures);
	query_bind(q, 1, o->process->id);
	query_bind(q, 2, until_ns);
	while (answer_row(a, q)) {
		o->death.failed_allocs++;
		o->death.failed_t_ns = query_int(q, 0);
		o->death.failed_size = query_int(q, 1);
		o->death.too_many = o->death.failed_size == 0 && query_int(q, 2) == EAGAIN;
		o->death.locking = o->death.failed_size && query_int(q, 2) == EAGAIN;
		o->death.failed_stack = query_int(q, 3);
		o->death.huge = query_int(q, 4);
	}
	query_close(q);
	/* The first thousand of a recording have rows; blocks are all counted. */
	if (until_ns == INT64_MAX && (int64_t)o->process->failed_allocs > o->death.failed_allocs) {
		o->death.failed_allocs = (int64_t)o->process->failed_allocs;
		o->death.some_kept = true;
	}
}
