/*
 * report.c - mmscope report: one screen about a whole recording.
 *
 * For somebody who has never seen mmscope: what ran, how it ended, how much
 * memory it held at most, where that came from, what was left at the end,
 * what could not be seen, and what the measuring cost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/cow.h"
#include "report/head.h"
#include "report/held.h"
#include "report/judged.h"
#include "report/oom_write.h"
#include "report/options.h"
#include "report/render.h"
#include "report/text.h"
#include "verbs.h"

/* So that it stays one screen: more of one part when another is not there. */
#define TOP_SITES 5
#define TOP_LEFT 4
#define TOP_SITES_OF_MANY 3
#define TOP_LEFT_OF_MANY 2
#define TOP_PROCESSES 4
#define TOP_NOTES 3
#define LABEL 22 /* width of the left column */

struct report {
	struct answer a;
	struct rows rows;
	struct judged judged;
	struct cow cow;
	int64_t never_touched; /* bytes of the main process; -1: not known */
	int format;
};

/* ---- JSON ---- */

static void known_json(struct json *j, const char *key, int64_t value)
{
	if (value < 0)
		json_null(j, key);
	else
		json_i64(j, key, value);
}

static void process_json(struct json *j, const struct answer_process *p)
{
	json_object(j, NULL);
	known_json(j, "pid", p->merged ? -1 : p->pid);
	known_json(j, "parent", p->parent_pid > 0 ? p->parent_pid : -1);
	json_string(j, "exe", p->exe);
	json_string(j, "begin", p->begin);
	json_string(j, "end", p->end);
	known_json(j, "status", p->status);
	if (p->followed) {
		json_u64(j, "peak_bytes", p->peak_bytes);
		json_u64(j, "live_bytes", p->live_bytes);
	} else {
		json_null(j, "peak_bytes");
		json_null(j, "live_bytes");
	}
	known_json(j, "hiwater_rss", p->hiwater_rss);
	json_i64(j, "begin_ns", p->begin_ns);
	known_json(j, "end_ns", p->end_ns);
	json_array(j, "argv");
	for (size_t i = 0; i < p->n_argv; i++)
		json_string(j, NULL, p->argv[i]);
	json_end(j);
	json_i64(j, "id", p->id);
	known_json(j, "parent_id", p->parent_id > 0 ? p->parent_id : -1);
	json_bool(j, "followed", p->followed);
	if (p->merged)
		json_u64(j, "merged", p->merged);
	json_u64(j, "live_blocks", p->live_blocks);
	json_u64(j, "alloc_blocks", p->alloc_blocks);
	json_u64(j, "alloc_bytes", p->alloc_bytes);
	json_u64(j, "free_blocks", p->free_blocks);
	json_u64(j, "inherited_blocks", p->inherited_blocks);
	json_u64(j, "inherited_bytes", p->inherited_bytes);
	json_u64(j, "lost_records", p->lost_records);
	if (p->followed) {
		bounds_json(j, "peak_bytes", &p->sampled.peak);
		bounds_json(j, "live_bytes", &p->sampled.live);
	}
	json_end(j);
}

/* Rows of the main process come first; of these, what `order` says, or for
 * BY_LIVE what leaks puts first. */
static int compare_leaks(const void *left, const void *right, void *arg)
{
	const struct row *a = left, *b = right;
	const struct report *r = arg;
	int c = (b->process == r->a.main) - (a->process == r->a.main);
	if (c == 0)
		c = (b->live_blocks > 0) - (a->live_blocks > 0);
	return c ? c : judged_compare(&r->judged, a, b);
}

static void sort(struct report *r, enum row_order order)
{
	if (order == BY_LIVE && r->rows.n)
		qsort_r(r->rows.row, r->rows.n, sizeof(*r->rows.row), compare_leaks, r);
	else
		rows_sort(&r->rows, &r->a, order);
}

/* The first rows of the main process by `order`. */
static void top_json(struct json *j, struct report *r, enum row_order order, size_t n)
{
	sort(r, order);
	json_array(j, "sites");
	for (size_t i = 0; i < r->rows.n && n > 0; i++) {
		const struct row *row = &r->rows.row[i];
		if (row->process != r->a.main || row_value(row, order) == 0)
			continue;
		json_object(j, NULL);
		json_string(j, "id", row->id[0] ? row->id : NULL);
		json_u64(j, "blocks", order == BY_PEAK ? row->peak_blocks : row->live_blocks);
		json_u64(j, "bytes", row_value(row, order));
		json_string(j, "own", row->own);
		if (order == BY_LIVE)
			json_string(j, "class", class_word(judged_evidence(&r->judged, row)->verdict.class));
		answer_stack_json(j, row->stack);
		json_end(j);
		n--;
	}
	json_end(j);
}

static void peak_json(struct json *j, struct report *r)
{
	const struct answer_process *p = r->a.main;
	json_object(j, "peak");
	answer_process_json(j, p);
	json_u64(j, "bytes", p->peak_bytes);
	json_u64(j, "t_ns", p->peak_ns);
	top_json(j, r, BY_PEAK, 5);
	json_end(j);
}

static void live_json(struct json *j, struct report *r)
{
	json_object(j, "live");
	answer_process_json(j, r->a.main);
	json_u64(j, "blocks", r->a.main->live_blocks);
	json_u64(j, "bytes", r->a.main->live_bytes);
	json_end(j);
}

/* Of one process, or of all (NULL). */
static struct judged_totals left_of(const struct report *r, const struct answer_process *p)
{
	struct judged_totals t = {{0}};
	for (size_t i = 0; i < r->rows.n; i++)
		if (r->rows.row[i].live_blocks && (!p || r->rows.row[i].process == p))
			judged_add(&r->judged, &r->rows.row[i], &t);
	return t;
}

static void leaks_json(struct json *j, struct report *r)
{
	struct judged_totals t = left_of(r, NULL);
	json_object(j, "leaks");
	judged_reach_json(j, &t);
	json_u64(j, "n_sites", t.sites);
	top_json(j, r, BY_LIVE, 5);
	json_end(j);
}

/* Private memory of the preload and the session file, in bytes; -1: not known. */
static int64_t target_bytes(struct report *r)
{
	int64_t preload = capture_meta_number(r->a.capture, "preload_bytes", -1);
	int64_t session = capture_meta_number(r->a.capture, "session_bytes", -1);
	return preload < 0 || session < 0 ? -1 : preload + session;
}

static void self_cost_json(struct json *j, struct report *r)
{
	int64_t cpu_ns = capture_meta_number(r->a.capture, "collector_cpu_ns", -1);
	json_object(j, "self_cost");
	known_json(j, "target_bytes", target_bytes(r));
	if (cpu_ns < 0)
		json_null(j, "collector_cpu_s");
	else
		json_double(j, "collector_cpu_s", (double)cpu_ns / 1e9);
	json_u64(j, "lost_records", r->a.lost_records);
	json_end(j);
}

static void oom_member(struct json *j, struct report *r)
{
	struct oom o;
	if (r->a.main && oom_judge(&o, &r->a, r->a.main, -1)) {
		json_object(j, "oom");
		oom_head_json(j, &o);
		json_end(j);
		oom_done(&o);
	} else {
		json_null(j, "oom");
	}
}

static void print_json(struct report *r)
{
	struct json j;
	answer_head_json(&j, &r->a);
	json_array(&j, "processes");
	for (size_t i = 0; i < r->a.n_processes; i++)
		process_json(&j, &r->a.processes[i]);
	json_end(&j);
	if (r->a.any_followed) {
		peak_json(&j, r);
		live_json(&j, r);
		leaks_json(&j, r);
	} else {
		json_null(&j, "peak");
		json_null(&j, "live");
		json_null(&j, "leaks");
	}
	known_json(&j, "never_touched_bytes", r->never_touched);
	cow_head_json(&j, "cow", &r->cow);
	oom_member(&j, r);
	self_cost_json(&j, r);
	json_finish(&j);
}

/* ---- text ---- */

static void label(const char *text)
{
	printf("  %-*s", LABEL, text);
}

static void print_what_ran(struct report *r)
{
	struct answer *a = &r->a;
	char time[RENDER_TIME], duration[TEXT_NUMBER];
	const char *started = render_time(time, capture_meta_number(a->capture, "start_realtime_ns", -1));
	const char *host = capture_meta(a->capture, "host");
	label("recorded");
	printf("%s%s%s, for %s\n", started ? started : "at an unknown time", host ? " on " : "",
		host ? host : "", text_duration(duration, (uint64_t)a->duration_ns));
	char *end = head_end_text(a->main);
	label("ended");
	printf("%s\n", end);
	free(end);
}

static void print_process_count(const struct answer *a)
{
	size_t forks = 0, execs = 0, spawned = 0, failed = 0, killed = 0;
	for (size_t i = 0; i < a->n_processes; i++) {
		const struct answer_process *p = &a->processes[i];
		uint64_t n = answer_processes(p);
		forks += strcmp(p->begin, "fork") == 0 ? n : 0;
		execs += strcmp(p->begin, "exec") == 0 ? n : 0;
		spawned += strcmp(p->begin, "spawn") == 0 ? n : 0;
		failed += strcmp(p->end, "exit") == 0 && p->status > 0 ? n : 0;
		killed += strcmp(p->end, "signal") == 0 ? n : 0;
	}
	if (a->n_processes < 2)
		return;
	label("programs");
	printf("%llu: %zu forked, %zu by exec, %zu spawned", (unsigned long long)a->n_all, forks, execs, spawned);
	if (failed)
		printf("; %zu failed", failed);
	if (killed)
		printf("; %zu killed", killed);
	putchar('\n');
}

static void print_bounds(const struct answer *a, uint64_t samples, const struct bounds *b, uint64_t figure)
{
	if (a->exact)
		return;
	char *text = bounds_text(samples, b, figure);
	label("");
	printf("%s\n", text);
	free(text);
}

/* Definite and indirect: of the heap at the end. */
static void print_lost(const struct report *r)
{
	struct judged_totals t = left_of(r, r->a.main);
	uint64_t blocks = t.blocks[REACH_DEFINITE] + t.blocks[REACH_INDIRECT];
	char size[TEXT_NUMBER], count[TEXT_NUMBER];
	if (!blocks)
		return;
	label("of that lost");
	printf("%s in %s %s that nothing points to\n",
		text_size(size, t.bytes[REACH_DEFINITE] + t.bytes[REACH_INDIRECT]), text_count(count, blocks),
		text_plural(blocks, "block", "blocks"));
}

static void print_figures(const struct report *r, const struct answer_process *p)
{
	const struct answer *a = &r->a;
	char size[TEXT_NUMBER], count[TEXT_NUMBER], when[TEXT_NUMBER];
	label("heap at its highest");
	printf("%s%s%s%s, %s after the start\n", render_style(STYLE_BOLD), about(a), text_size(size, p->peak_bytes),
		render_style(STYLE_PLAIN), text_duration(when, p->peak_ns));
	print_bounds(a, p->sampled.peak_samples, &p->sampled.peak, p->peak_bytes);
	label("heap at the end");
	printf("%s%s in %s%s %s not freed\n", about(a), text_size(size, p->live_bytes), about(a),
		text_count(count, p->live_blocks), text_plural(p->live_blocks, "block", "blocks"));
	print_bounds(a, p->sampled.live_samples, &p->sampled.live, p->live_bytes);
	print_lost(r);
	label("allocated in all");
	printf("%s%s in %s%s %s\n", about(a), text_size(size, p->alloc_bytes), about(a),
		text_count(count, p->alloc_blocks), text_plural(p->alloc_blocks, "block", "blocks"));
	if (p->hiwater_rss >= 0) {
		label("resident");
		printf("%s at most, when last looked at\n", text_size(size, (uint64_t)p->hiwater_rss));
	}
}

/* What a row of the peak is told with: its part; of what is left: what it is. */
static void print_top_row(const struct report *r, const struct row *row, enum row_order order)
{
	char size[TEXT_NUMBER], part[TEXT_NUMBER];
	text_size(size, row_value(row, order));
	if (order == BY_PEAK)
		printf("%12s %8s  ", size, text_percent(part, row->peak_bytes, r->a.main->peak_bytes));
	else
		printf("%12s  %-18s  ", size, row_is_apart(row) ? row->own : judged_apart(&r->judged, row) ? "kept by libc" :
			class_word(judged_evidence(&r->judged, row)->verdict.class));
	char *chain = render_chain(row->stack, render_width() - (order == BY_PEAK ? 24 : 35));
	printf("%s\n", chain);
	free(chain);
}

/* The first rows of the main process, one line each. */
static void print_top(struct report *r, enum row_order order, const char *heading, size_t n)
{
	bool any = false;
	sort(r, order);
	for (size_t i = 0; i < r->rows.n && n > 0; i++) {
		const struct row *row = &r->rows.row[i];
		if (row->process != r->a.main || row_value(row, order) == 0)
			continue;
		if (!any)
			render_heading(heading);
		any = true;
		n--;
		print_top_row(r, row, order);
	}
}

static int by_peak(const void *left, const void *right)
{
	const struct answer_process *a = *(struct answer_process *const *)left,
				    *b = *(struct answer_process *const *)right;
	if (a->peak_bytes != b->peak_bytes)
		return a->peak_bytes > b->peak_bytes ? -1 : 1;
	return a->id < b->id ? -1 : 1;
}

static void process_row(struct table *t, const struct answer_process *p)
{
	char pid[TEXT_NUMBER];
	if (p->merged)
		snprintf(pid, sizeof(pid), "x%llu", (unsigned long long)p->merged);
	else
		snprintf(pid, sizeof(pid), "%lld", (long long)p->pid);
	char *end = head_end_text(p), *command = render_command(p->argv, p->n_argv, p->exe, 200);
	table_cell(t, pid);
	table_cell(t, p->begin);
	table_cell(t, end);
	if (p->followed) {
		table_size(t, p->peak_bytes);
		table_size(t, p->live_bytes);
	} else {
		table_cell(t, "-");
		table_cell(t, "-");
	}
	table_cell(t, command);
	free(command);
	free(end);
}

static void print_processes(const struct answer *a)
{
	static const struct table_column columns[] = {{"pid", true}, {"by", false}, {"end", false},
		{"peak", true}, {"at end", true}, {"command", false, true}};
	if (a->n_processes < 2)
		return;
	const struct answer_process **order = xcalloc(a->n_processes, sizeof(*order));
	for (size_t i = 0; i < a->n_processes; i++)
		order[i] = &a->processes[i];
	qsort(order, a->n_processes, sizeof(*order), by_peak);
	render_heading("Programs, by heap at its highest");
	size_t shown = a->n_processes > TOP_PROCESSES ? TOP_PROCESSES : a->n_processes;
	struct table t;
	table_begin(&t, columns, sizeof(columns) / sizeof(columns[0]));
	uint64_t named = 0;
	for (size_t i = 0; i < shown; i++) {
		process_row(&t, order[i]);
		named += answer_processes(order[i]);
	}
	table_print(&t, 2);
	if (shown < a->n_processes)
		printf("  and %llu more (--format json lists all)\n", (unsigned long long)(a->n_all - named));
	free(order);
}

/* Asked for at the end, and never used. */
static int64_t never_touched(struct answer *a)
{
	struct held h;
	int64_t bytes = -1;
	if (!a->main || !a->main->followed)
		return -1;
	if (held_load(&h, a, a->main) && h.blocks_known) {
		bytes = 0;
		for (size_t i = 0; i < h.n; i++)
			if (h.site[i].requested > h.site[i].touched)
				bytes += (int64_t)(h.site[i].requested - h.site[i].touched);
	}
	held_done(&h);
	return bytes;
}

static void print_never_touched(const struct report *r)
{
	char size[TEXT_NUMBER];
	if (r->never_touched < 1 << 20)
		return;
	label("never used");
	printf("%s of what is held (see mmscope pages)\n",
		text_size(size, (uint64_t)r->never_touched));
}

static void print_oom(struct report *r)
{
	struct oom o;
	if (!oom_judge(&o, &r->a, r->a.main, -1)) {
		oom_done(&o);
		return;
	}
	char *text = oom_head_text(&o);
	char *cut = text_cut_end(text, render_width() - LABEL - 2);
	label("memory limits");
	printf("%s\n", cut);
	free(cut);
	free(text);
	oom_done(&o);
}

static void print_cow(struct report *r)
{
	char *text = cow_head_text(&r->cow);
	if (!text)
		return;
	char *cut = text_cut_end(text, render_width() - LABEL - 2);
	label("copy-on-write");
	printf("%s\n", cut);
	free(cut);
	free(text);
}

static void print_cost(struct report *r)
{
	char size[TEXT_NUMBER], cpu[TEXT_NUMBER];
	int64_t bytes = target_bytes(r);
	int64_t cpu_ns = capture_meta_number(r->a.capture, "collector_cpu_ns", -1);
	label("cost of measuring");
	printf("%s in the target, %s of CPU outside it\n",
		bytes < 0 ? "unknown memory" : text_size(size, (uint64_t)bytes),
		cpu_ns < 0 ? "unknown time" : text_duration(cpu, (uint64_t)cpu_ns));
}

static void print_more(struct report *r)
{
	char *path = text_cut_start(capture_path(r->a.capture), render_width() - 24);
	printf("\n  More:  mmscope leaks %s\n         mmscope sites %s\n", path, path);
	free(path);
}

static void print_text(struct report *r)
{
	bool many = r->a.n_processes > 1;
	head_print(&r->a);
	putchar('\n');
	if (!r->a.main) {
		printf("  No process joined the recording.\n");
		head_print_coverage(&r->a, TOP_NOTES);
		return;
	}
	print_what_ran(r);
	print_process_count(&r->a);
	if (r->a.main->followed) {
		print_figures(r, r->a.main);
		print_never_touched(r);
	} else {
		label("heap");
		printf("not recorded for this program\n");
	}
	print_cow(r);
	print_oom(r);
	print_cost(r);
	print_top(r, BY_PEAK, "Held at the highest moment by", many ? TOP_SITES_OF_MANY : TOP_SITES);
	print_top(r, BY_LIVE, "Not freed at the end, worst first", many ? TOP_LEFT_OF_MANY : TOP_LEFT);
	print_processes(&r->a);
	head_print_coverage(&r->a, TOP_NOTES);
	print_more(r);
}

int verb_report(int argc, char **argv)
{
	struct report r = {.format = FORMAT_TEXT};
	const struct option_spec options[] = {
		OPTION_FORMAT(&r.format),
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "report",
		.operands = "FILE.db",
		.summary = "Shows a recording on one screen: what ran, how it ended, peak, what was\n"
			   "left at the end, what was not seen and what the measuring cost.",
		.example = "    mmscope run -o prog.db -- ./prog && mmscope report prog.db",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	const char *path;
	int status = options_parse(&spec, argc, argv, &path);
	if (status >= 0)
		return status;
	status = answer_open(&r.a, "report", path);
	if (status)
		return status;
	rows_load(&r.rows, &r.a, false, 0);
	r.never_touched = never_touched(&r.a);
	judged_load(&r.judged, &r.a, &r.rows);
	cow_load(&r.cow, &r.a);
	if (r.format == FORMAT_JSON)
		print_json(&r);
	else
		print_text(&r);
	judged_done(&r.judged);
	rows_done(&r.rows);
	cow_done(&r.cow);
	return answer_close(&r.a, VERB_OK);
}
