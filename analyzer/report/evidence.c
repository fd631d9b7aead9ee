/*
 * evidence.c - see evidence.h.  Three passes over the database: lives of
 * freed blocks, the blocks that are live, and the series, from which the
 * minima of at most 60 spans are taken.  Called by leaks.
 */
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/evidence.h"
#include "report_sql.h"

#define SPANS 60           /* as the ranking was measured with */
#define MAX_BUCKETS 600    /* of a series */
#define WATCHED_SHARE 0.1  /* of the life of the process; younger sites are not judged */

struct loader {
	struct answer *a;
	const struct rows *rows;
	struct evidence *evidence;
	const struct row **row; /* by number */
	/* By number: lives of freed blocks, and minima by span. */
	uint32_t (*lives)[VERDICT_LIVES];
	double (*minimum)[SPANS];
	uint64_t *bucket_ns; /* the widest of the row's series; 0: has none */
	uint64_t *start_ns;  /* of the first of them: a site has none before it is worth one */
};

static int64_t end_of(const struct answer *a, const struct answer_process *p)
{
	return p->end_ns >= 0 ? p->end_ns : a->duration_ns;
}

static ptrdiff_t number_of(const struct loader *l, struct query *q)
{
	return rows_number(l->rows, query_int(q, 0), query_int(q, 1));
}

static void add_lives(uint32_t *to, const uint8_t *blob, size_t size)
{
	for (size_t i = 0; i < VERDICT_LIVES && 4 * i + 4 <= size; i++) {
		uint32_t n;
		memcpy(&n, blob + 4 * i, sizeof(n)); /* little-endian, as the machine is */
		to[i] = n > UINT32_MAX - to[i] ? UINT32_MAX : to[i] + n;
	}
}

static void load_lives(struct loader *l)
{
	struct query *q = answer_query(l->a, sql_leak_lives);
	while (answer_row(l->a, q)) {
		ptrdiff_t number = number_of(l, q);
		size_t size = 0;
		if (number < 0)
			continue;
		const uint8_t *blob = query_blob(q, 2, &size);
		if (blob)
			add_lives(l->lives[number], blob, size);
		struct evidence *e = &l->evidence[number];
		uint64_t last_ns = (uint64_t)query_int(q, 3);
		if (query_null(q, 4) || (e->thread && last_ns < e->last_ns))
			continue;
		e->last_ns = last_ns;
		e->thread = query_int(q, 4);
		e->tid = query_int(q, 5);
		const char *name = query_text(q, 6);
		size_t n = name ? strnlen(name, sizeof(e->thread_name) - 1) : 0;
		memcpy(e->thread_name, name ? name : "", n);
		e->thread_name[n] = 0;
	}
	query_close(q);
}

static void begin_facts(struct loader *l, const struct row *row)
{
	struct verdict_facts *f = &l->evidence[row->number].facts;
	f->begin_ns = (uint64_t)(row->process->begin_ns > 0 ? row->process->begin_ns : 0);
	f->end_ns = (uint64_t)end_of(l->a, row->process);
	f->free_blocks = row->free_blocks;
	f->merged = row->process->merged != 0;
	f->running = capture_state(l->a->capture) == CAPTURE_RECORDING && strcmp(row->process->end, "running") == 0;
	f->usual_life_ns = verdict_usual_life(l->lives[row->number], VERDICT_LIVES);
}

/* No more blocks than the site has: a database may contradict itself. */
static bool has_room(const struct verdict_facts *f, const struct row *row, uint64_t size)
{
	return f->listed_blocks < row->live_blocks && f->listed_bytes + size <= row->live_bytes;
}

static void load_blocks(struct loader *l)
{
	struct query *q = answer_query(l->a, sql_leak_blocks);
	while (answer_row(l->a, q)) {
		ptrdiff_t number = number_of(l, q);
		uint64_t size = (uint64_t)query_int(q, 2), born = (uint64_t)query_int(q, 3);
		if (number < 0)
			continue;
		struct verdict_facts *f = &l->evidence[number].facts;
		if (!has_room(f, l->row[number], size))
			continue;
		enum reach reach = reach_of_word(query_text(q, 4));
		f->blocks[reach]++;
		f->bytes[reach] += size;
		f->oldest_ns = !f->listed_blocks || born < f->oldest_ns ? born : f->oldest_ns;
		f->youngest_ns = born > f->youngest_ns ? born : f->youngest_ns;
		f->listed_blocks++;
		f->listed_bytes += size;
		if (f->usual_life_ns && f->end_ns > born && f->end_ns - born > f->usual_life_ns) {
			f->old_blocks++;
			f->old_bytes += size;
		}
	}
	query_close(q);
}

/* Of merged processes, and what found no room in the list. */
static void load_left(struct loader *l)
{
	struct query *q = answer_query(l->a, sql_left_blocks);
	while (answer_row(l->a, q)) {
		ptrdiff_t number = number_of(l, q);
		if (number < 0)
			continue;
		struct verdict_facts *f = &l->evidence[number].facts;
		uint64_t blocks = (uint64_t)query_int(q, 3), bytes = (uint64_t)query_int(q, 4);
		enum reach reach = reach_of_word(query_text(q, 2));
		f->blocks[reach] += blocks;
		f->bytes[reach] += bytes;
	}
	query_close(q);
}

/* What is not listed was not examined. */
static void fill_up(struct evidence *e, const struct row *row)
{
	uint64_t blocks = 0, bytes = 0;
	for (int i = 0; i < N_REACH; i++) {
		blocks += e->facts.blocks[i];
		bytes += e->facts.bytes[i];
	}
	e->facts.blocks[REACH_UNCLASSIFIED] += blocks < row->live_blocks ? row->live_blocks - blocks : 0;
	e->facts.bytes[REACH_UNCLASSIFIED] += bytes < row->live_bytes ? row->live_bytes - bytes : 0;
}

/* ---- growth ---- */

static uint64_t trace_begin(const struct loader *l, const struct row *row)
{
	uint64_t begin_ns = l->evidence[row->number].facts.begin_ns, start_ns = l->start_ns[row->number];
	return start_ns > begin_ns ? start_ns : begin_ns;
}

/* Spans that the row's trace is cut into; 0: too little was watched. */
static size_t spans_of(const struct loader *l, const struct row *row)
{
	const struct verdict_facts *f = &l->evidence[row->number].facts;
	uint64_t from = trace_begin(l, row), width = l->bucket_ns[row->number];

	if (!width || f->end_ns <= from || (double)(f->end_ns - from) < WATCHED_SHARE * (double)(f->end_ns - f->begin_ns))
		return 0;
	uint64_t n = (f->end_ns - from) / width;
	return n < SPANS ? (size_t)n : SPANS;
}

struct piece {
	const struct capture_bucket *bucket;
	size_t n;
	uint64_t start_ns, width_ns;
};

/* The least value of the series from one time to another. */
static uint64_t least(const struct piece *p, uint64_t from_ns, uint64_t to_ns)
{
	if (from_ns < p->start_ns || p->n == 0)
		return 0;
	size_t from = (size_t)((from_ns - p->start_ns) / p->width_ns);
	size_t to = (size_t)((to_ns - p->start_ns + p->width_ns - 1) / p->width_ns);
	uint64_t value = p->bucket[p->n - 1].last;
	for (size_t i = from; i < to && i < p->n; i++)
		value = i == from || p->bucket[i].min < value ? p->bucket[i].min : value;
	return value;
}

static void add_piece(struct loader *l, const struct row *row, const struct piece *p)
{
	const struct verdict_facts *f = &l->evidence[row->number].facts;
	size_t n = spans_of(l, row);
	uint64_t from = trace_begin(l, row), whole = f->end_ns - from;
	for (size_t i = 0; i < n; i++)
		l->minimum[row->number][i] += (double)least(p, from + whole * i / n, from + whole * (i + 1) / n);
}

/* First the widths only, then the values. */
static void load_series(struct loader *l, bool values)
{
	static struct capture_bucket bucket[MAX_BUCKETS];
	struct query *q = answer_query(l->a, sql_leak_series);
	while (answer_row(l->a, q)) {
		ptrdiff_t number = number_of(l, q);
		size_t size = 0;
		int64_t start = query_int(q, 2), width = query_int(q, 3);
		if (number < 0 || start < 0 || width <= 0)
			continue;
		if (!values) {
			uint64_t *first = &l->start_ns[number];
			*first = !l->bucket_ns[number] || (uint64_t)start < *first ? (uint64_t)start : *first;
			if ((uint64_t)width > l->bucket_ns[number])
				l->bucket_ns[number] = (uint64_t)width;
			l->evidence[number].facts.traced = true;
			continue;
		}
		const void *blob = query_blob(q, 4, &size);
		int n = blob ? capture_series(blob, size, bucket, MAX_BUCKETS) : 0;
		const struct piece piece = {bucket, n > 0 ? (size_t)n : 0, (uint64_t)start, (uint64_t)width};
		add_piece(l, l->row[number], &piece);
	}
	query_close(q);
}

static void judge_growth(struct loader *l, const struct row *row)
{
	struct verdict_facts *f = &l->evidence[row->number].facts;
	struct growth_point point[SPANS];
	size_t n = spans_of(l, row);
	double from_s = (double)trace_begin(l, row) / 1e9, to_s = (double)f->end_ns / 1e9;
	f->growth.verdict = GROWTH_UNPROVEN;
	if (n < GROWTH_MIN_POINTS)
		return;
	for (size_t i = 0; i < n; i++)
		point[i] = (struct growth_point){from_s + (to_s - from_s) * (double)i / (double)n,
			l->minimum[row->number][i]};
	if (growth_recent(point, n, &f->growth) < 0)
		f->growth.verdict = GROWTH_UNPROVEN; /* no memory: not judged */
}

struct evidence *evidence_load(struct answer *a, const struct rows *rows)
{
	size_t n = rows->n ? rows->n : 1;
	struct loader l = {.a = a, .rows = rows, .evidence = xcalloc(n, sizeof(*l.evidence)),
		.row = xcalloc(n, sizeof(struct row *)), .lives = xcalloc(n, sizeof(*l.lives)),
		.minimum = xcalloc(n, sizeof(*l.minimum)), .bucket_ns = xcalloc(n, sizeof(*l.bucket_ns)),
		.start_ns = xcalloc(n, sizeof(*l.start_ns))};
	for (size_t i = 0; i < rows->n; i++)
		l.row[rows->row[i].number] = &rows->row[i];
	load_lives(&l);
	for (size_t i = 0; i < rows->n; i++)
		begin_facts(&l, &rows->row[i]);
	load_blocks(&l);
	load_left(&l);
	load_series(&l, false);
	load_series(&l, true);
	for (size_t i = 0; i < rows->n; i++) {
		fill_up(&l.evidence[rows->row[i].number], &rows->row[i]);
		judge_growth(&l, &rows->row[i]);
	}
	free(l.row);
	free(l.lives);
	free(l.minimum);
	free(l.bucket_ns);
	free(l.start_ns);
	return l.evidence;
}

void evidence_free(struct evidence *evidence)
{
	free(evidence);
}
