/*
 * html_data.c - see html_data.h.  One pass over each table; texts, frames and
 * stack nodes are numbered as they are met (intern.h) and written last.
 *
 * Called by the verb html; writes nothing but JSON.
 */
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/answer.h"
#include "report/html_data.h"
#include "report/intern.h"
#include "report/judged.h"
#include "report/oom_judge.h"
#include "report/render.h"
#include "report_sql.h"

#define MAX_BUCKETS 1024
#define TIME_STEPS 1200 /* of samples: about one for each pixel */
#define NAME_WIDTH 4000
#define NO_NODE UINT32_MAX

enum frame_flag { FRAME_INLINED = 1, FRAME_GUESSED = 2 };

struct page {
	struct answer *a;
	struct json j;
	struct rows rows;
	struct judged judged;
	struct intern texts, frames, nodes;
};

static uint32_t text_number(struct page *p, const char *text)
{
	return intern_text(&p->texts, text ? text : "");
}

static uint32_t frame_number(struct page *p, const struct capture_frame *f)
{
	char *name = render_frame_name(f, NAME_WIDTH);
	uint32_t key[5] = {text_number(p, name), text_number(p, f->file), (uint32_t)f->line,
		text_number(p, f->module),
		(f->inlined ? FRAME_INLINED : 0u) | (f->guessed ? FRAME_GUESSED : 0u)};
	free(name);
	return intern_tuple(&p->frames, key);
}

/* The innermost node of a stack; its parents are numbered before it. */
static uint32_t node_number(struct page *p, const struct capture_stack *stack)
{
	uint32_t node = NO_NODE;
	for (size_t i = stack->n; i-- > 0;) {
		uint32_t key[2] = {node, frame_number(p, &stack->frames[i])};
		node = intern_tuple(&p->nodes, key);
	}
	return node;
}

static void number(struct page *p, uint64_t value)
{
	json_u64(&p->j, NULL, value);
}

/* -1 for what has no number. */
static void node_json(struct page *p, const char *key, const struct capture_stack *stack)
{
	uint32_t n = node_number(p, stack);
	json_i64(&p->j, key, n == NO_NODE ? -1 : (int64_t)n);
}

/* "columns": the names in `words`, separated by blanks. */
static void columns(struct page *p, const char *words)
{
	json_array(&p->j, "columns");
	while (*words) {
		size_t n = strcspn(words, " ");
		json_bytes(&p->j, NULL, words, n);
		words += n + (words[n] == ' ');
	}
	json_end(&p->j);
}

static void known(struct json *j, const char *key, int64_t value)
{
	if (value < 0)
		json_null(j, key);
	else
		json_i64(j, key, value);
}

static void process_json(struct json *j, const struct answer_process *p)
{
	json_object(j, NULL);
	json_i64(j, "id", p->id);
	known(j, "pid", p->merged ? -1 : p->pid);
	json_u64(j, "merged", p->merged);
	known(j, "parent_id", p->parent_id > 0 ? p->parent_id : -1);
	json_string(j, "exe", p->name);
	json_array(j, "argv");
	for (size_t i = 0; i < p->n_argv; i++)
		json_string(j, NULL, p->argv[i]);
	json_end(j);
	json_string(j, "begin", p->begin);
	json_string(j, "end", p->end);
	json_i64(j, "begin_ns", p->begin_ns);
	known(j, "end_ns", p->end_ns);
	known(j, "status", p->status);
	json_bool(j, "followed", p->followed);
	json_u64(j, "peak_bytes", p->peak_bytes);
	json_u64(j, "peak_ns", p->peak_ns);
	json_u64(j, "live_blocks", p->live_blocks);
	json_u64(j, "live_bytes", p->live_bytes);
	json_u64(j, "alloc_blocks", p->alloc_blocks);
	json_u64(j, "alloc_bytes", p->alloc_bytes);
	json_u64(j, "inherited_blocks", p->inherited_blocks);
	json_u64(j, "inherited_bytes", p->inherited_bytes);
	json_u64(j, "inherited_freed", p->inherited_freed);
	known(j, "hiwater_rss", p->hiwater_rss);
	json_end(j);
}

static void processes_json(struct page *p)
{
	known(&p->j, "main", p->a->main ? p->a->main->id : -1);
	json_array(&p->j, "processes");
	for (size_t i = 0; i < p->a->n_processes; i++)
		process_json(&p->j, &p->a->processes[i]);
	json_end(&p->j);
}

/* What leaks says of the row; "" for one with nothing live, and for blocks
 * that are not the program's own. */
static void verdict_json(struct page *p, const struct row *r)
{
	const struct evidence *e = judged_evidence(&p->judged, r);
	bool apart = r->live_blocks == 0 || judged_apart(&p->judged, r);
	number(p, text_number(p, apart ? "" : class_word(e->verdict.class)));
	number(p, text_number(p, apart ? "" : e->verdict.why));
	for (int i = 0; i < N_REACH; i++)
		number(p, e->facts.bytes[i]);
}

static void row_json(struct page *p, const struct row *r)
{
	number(p, (uint64_t)r->process->id);
	node_json(p, NULL, r->stack);
	number(p, text_number(p, r->id));
	number(p, text_number(p, r->own));
	number(p, r->stack->truncated);
	number(p, r->alloc_blocks);
	number(p, r->alloc_bytes);
	number(p, r->live_blocks);
	number(p, r->live_bytes);
	number(p, r->peak_blocks);
	number(p, r->peak_bytes);
	number(p, r->temporary_blocks);
	number(p, r->min_size);
	number(p, r->max_size);
	number(p, r->first_ns);
	number(p, r->last_ns);
	verdict_json(p, r);
}

static void rows_json(struct page *p)
{
	json_object(&p->j, "sites");
	columns(p, "process node id own truncated alloc_blocks alloc_bytes live_blocks live_bytes "
		   "peak_blocks peak_bytes temporary_blocks min_bytes max_bytes first_ns last_ns class why "
		   "definite_bytes indirect_bytes possible_bytes reachable_bytes unclassified_bytes");
	json_array(&p->j, "data");
	for (size_t i = 0; i < p->rows.n; i++)
		row_json(p, &p->rows.row[i]);
	json_end(&p->j);
	json_end(&p->j);
}

static void series_json(struct page *p, struct query *q)
{
	struct capture_bucket bucket[MAX_BUCKETS];
	size_t size;
	const void *data = query_blob(q, 4, &size);
	int n = capture_series(data, size, bucket, MAX_BUCKETS);
	json_object(&p->j, NULL);
	json_i64(&p->j, "process", query_int(q, 0));
	if (query_int(q, 1) < 0)
		json_null(&p->j, "node");
	else
		node_json(p, "node", answer_stack(p->a, query_int(q, 1)));
	json_i64(&p->j, "start_ns", query_int(q, 2));
	json_i64(&p->j, "bucket_ns", query_int(q, 3));
	json_array(&p->j, "max");
	for (int i = 0; i < n; i++)
		number(p, bucket[i].max);
	json_end(&p->j);
	json_array(&p->j, "last");
	for (int i = 0; i < n; i++)
		number(p, bucket[i].last);
	json_end(&p->j);
	json_end(&p->j);
}

/* ---- limits ---- */

static void or_null(struct json *j, const char *key, bool known, double value)
{
	if (known)
		json_double(j, key, value);
	else
		json_null(j, key);
}

/* What the chart needs: usage over time, the line that was fitted to it and
 * when that meets the limit.  Times in seconds. */
static void binding_json(struct json *j, const struct oom_limit *l)
{
	char *name = oom_limit_name(l);
	json_string(j, "limit", name);
	free(name);
	json_bool(j, "areas", l->counts);
	json_u64(j, "limit_bytes", l->limit);
	json_i64(j, "headroom_bytes", l->headroom);
	json_string(j, "growth", oom_growth_word(&l->growth));
	or_null(j, "level", l->has_time, l->growth.level);
	or_null(j, "per_s", l->has_time, l->growth.per_s);
	or_null(j, "point_s", l->has_time, l->time.point_s);
	or_null(j, "low_s", l->has_time, l->time.low_s);
	or_null(j, "high_s", l->has_time, l->time.high_s);
	json_array(j, "usage");
	for (size_t i = 0; i < l->n_points; i++) {
		json_double(j, NULL, l->points[i].t_s);
		json_double(j, NULL, l->points[i].value);
	}
	json_end(j);
}

static void risks_json(struct page *p)
{
	json_array(&p->j, "risks");
	for (size_t i = 0; i < p->a->n_processes; i++) {
		struct oom o;
		if (oom_judge(&o, p->a, &p->a->processes[i], -1) && o.binding) {
			json_object(&p->j, NULL);
			json_i64(&p->j, "process", p->a->processes[i].id);
			json_string(&p->j, "verdict", oom_verdict_word(o.verdict));
			json_array(&p->j, "reasons");
			for (size_t k = 0; k < o.n_reasons; k++)
				json_string(&p->j, NULL, o.reasons[k]);
			json_end(&p->j);
			binding_json(&p->j, o.binding);
			json_end(&p->j);
		}
		oom_done(&o);
	}
	json_end(&p->j);
}

/* Numbers of a row, columns [from, to); NULL stays null. */
static void cells(struct page *p, struct query *q, int from, int to)
{
	for (int i = from; i < to; i++)
		if (query_null(q, i))
			json_null(&p->j, NULL);
		else
			json_i64(&p->j, NULL, query_int(q, i));
}

/* Numbers of a query as one flat array. */
static void flat_json(struct page *p, const char *key, const char *names, const char *sql, int64_t step)
{
	struct query *q = answer_query(p->a, sql);
	int n = 1;
	for (const char *c = names; *c; c++)
		n += *c == ' ';
	if (step)
		query_bind(q, 1, step);
	json_object(&p->j, key);
	columns(p, names);
	json_array(&p->j, "data");
	while (answer_row(p->a, q))
		cells(p, q, 0, n);
	json_end(&p->j);
	json_end(&p->j);
	query_close(q);
}

static void time_json(struct page *p)
{
	int64_t step = p->a->duration_ns / TIME_STEPS + 1;
	json_object(&p->j, "time");
	json_array(&p->j, "series");
	struct query *q = answer_query(p->a, sql_html_series);
	while (answer_row(p->a, q))
		series_json(p, q);
	query_close(q);
	json_end(&p->j);
	flat_json(p, "samples", "process t_ns rss vm_size majflt minflt", sql_html_samples, step);
	flat_json(p, "scans", "process t_ns areas pages present zero swapped", sql_html_scans, step);
	json_end(&p->j);
}

/* Areas or sites of the forks. */
static void cow_parts_json(struct page *p, const char *key, const char *sql)
{
	struct query *q = answer_query(p->a, sql);
	json_object(&p->j, key);
	columns(p, "fork rows kind name node intervals pages_shared parent_broke child_broke both_broke bytes_changed");
	json_array(&p->j, "data");
	while (answer_row(p->a, q)) {
		json_i64(&p->j, NULL, query_int(q, 0));
		json_i64(&p->j, NULL, query_int(q, 1));
		number(p, text_number(p, query_text(q, 2)));
		number(p, text_number(p, query_text(q, 3)));
		node_json(p, NULL, answer_stack(p->a, query_int(q, 4)));
		number(p, text_number(p, query_text(q, 5)));
		cells(p, q, 6, 11);
	}
	json_end(&p->j);
	json_end(&p->j);
	query_close(q);
}

static void forks_json(struct page *p)
{
	enum { FORK_NUMBERS = 16 };
	static const char *const numbers[FORK_NUMBERS] = {"page_size", "pages_shared", "parent_broke", "child_broke",
		"both_broke", "copies", "identical_pages", "exact", "error_pages", "watched_percent", "copies_low",
		"copies_high", "bytes_changed", "counter_pages", "pointer_pages", "bulk_pages"};
	struct query *q = answer_query(p->a, sql_html_forks);
	json_array(&p->j, "forks");
	while (answer_row(p->a, q)) {
		json_object(&p->j, NULL);
		json_i64(&p->j, "parent", query_int(q, 0));
		known(&p->j, "child", query_int(q, 1) > 0 ? query_int(q, 1) : -1);
		known(&p->j, "child_pid", query_int(q, 2) > 0 ? query_int(q, 2) : -1);
		json_string(&p->j, "kind", query_text(q, 3));
		json_i64(&p->j, "t_ns", query_int(q, 4));
		json_i64(&p->j, "pause_ns", query_int(q, 5));
		node_json(p, "node", answer_stack(p->a, query_int(q, 6)));
		json_i64(&p->j, "id", query_int(q, 7));
		json_string(&p->j, "method", query_text(q, 8));
		for (int i = 0; i < FORK_NUMBERS; i++)
			if (query_null(q, 9 + i))
				json_null(&p->j, numbers[i]);
			else
				json_i64(&p->j, numbers[i], query_int(q, 9 + i));
		json_string(&p->j, "why", query_text(q, 9 + FORK_NUMBERS));
		json_string(&p->j, "intervals", query_text(q, 10 + FORK_NUMBERS));
		json_end(&p->j);
	}
	query_close(q);
	json_end(&p->j);
	flat_json(p, "cow", "fork t_ns parent_broke child_broke both_broke", sql_html_cow, 0);
	cow_parts_json(p, "cow_areas", sql_html_cow_areas);
	cow_parts_json(p, "cow_sites", sql_html_cow_sites);
}

/* Addresses go as page numbers: they fit a double's 53 bits. */
static void area_json(struct page *p, struct query *q)
{
	number(p, (uint64_t)query_int(q, 0));
	number(p, (uint64_t)query_int(q, 1) >> 12);
	number(p, (uint64_t)query_int(q, 2) >> 12);
	for (int i = 3; i < 6; i++)
		number(p, text_number(p, query_text(q, i)));
	node_json(p, NULL, answer_stack(p->a, query_int(q, 6)));
	for (int i = 7; i < 13; i++)
		json_i64(&p->j, NULL, query_int(q, i));
}

static void areas_json(struct page *p)
{
	struct query *q = answer_query(p->a, sql_html_areas);
	json_object(&p->j, "areas");
	columns(p, "process start end perms kind name node born_ns died_ns present zero swapped touched");
	json_u64(&p->j, "all", (uint64_t)capture_int(p->a->capture, "SELECT count(*) FROM vma", 0));
	json_array(&p->j, "data");
	while (answer_row(p->a, q))
		area_json(p, q);
	query_close(q);
	json_end(&p->j);
	json_end(&p->j);
}

static void numbers_json(struct page *p, const char *key, const struct intern *t)
{
	json_array(&p->j, key);
	for (size_t i = 0; i < t->n * t->width; i++)
		json_i64(&p->j, NULL, t->key[i] == NO_NODE ? -1 : (int64_t)t->key[i]);
	json_end(&p->j);
}

static void tables_json(struct page *p)
{
	json_object(&p->j, "table");
	json_array(&p->j, "texts");
	for (size_t i = 0; i < p->texts.n; i++)
		json_string(&p->j, NULL, p->texts.text[i]);
	json_end(&p->j);
	numbers_json(p, "frames", &p->frames);
	numbers_json(p, "nodes", &p->nodes);
	json_end(&p->j);
}

void html_data(struct answer *a, FILE *out)
{
	struct page p = {.a = a};
	intern_init(&p.texts, 1);
	intern_init(&p.frames, 5);
	intern_init(&p.nodes, 2);
	rows_load(&p.rows, a, false, 0);
	rows_sort(&p.rows, a, BY_PEAK);
	judged_load(&p.judged, a, &p.rows);
	answer_begin_json(&p.j, a, out);
	processes_json(&p);
	rows_json(&p);
	time_json(&p);
	risks_json(&p);
	forks_json(&p);
	areas_json(&p);
	tables_json(&p);
	json_finish(&p.j);
	judged_done(&p.judged);
	rows_done(&p.rows);
	intern_done(&p.texts);
	intern_done(&p.frames);
	intern_done(&p.nodes);
}
