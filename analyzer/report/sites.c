/*
 * sites.c - mmscope sites: every allocating stack, by peak, live bytes,
 * count, temporaries or bytes.
 *
 * "Peak" is the stack's share of its process's highest moment, so the column
 * adds up to the peak of the process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/head.h"
#include "report/options.h"
#include "report/render.h"
#include "report/rows.h"
#include "report/text.h"
#include "verbs.h"

#define DEFAULT_ROWS 20
#define DEFAULT_PROCESSES 5

struct sites {
	struct answer a;
	struct rows rows;
	int format, order;
	int64_t limit, frames, pid;
};

/* ---- JSON ---- */

/* Only where figures are estimates. */
static void sampled_json(struct json *j, const struct sites *s, const struct sampled *e)
{
	if (s->a.exact)
		return;
	json_u64(j, "samples", e->samples);
	json_u64(j, "live_samples", e->live_samples);
	json_u64(j, "peak_samples", e->peak_samples);
	bounds_json(j, "alloc_bytes", &e->alloc);
	bounds_json(j, "live_bytes", &e->live);
	bounds_json(j, "peak_bytes", &e->peak);
	bounds_json(j, "alloc_blocks", &e->alloc_blocks);
	bounds_json(j, "live_blocks", &e->live_blocks);
}

static void process_totals_json(struct json *j, const struct sites *s, const struct answer_process *p)
{
	json_object(j, "totals");
	json_u64(j, "alloc_blocks", p->alloc_blocks);
	json_u64(j, "alloc_bytes", p->alloc_bytes);
	json_u64(j, "free_blocks", p->free_blocks);
	json_u64(j, "peak_bytes", p->peak_bytes);
	json_u64(j, "peak_ns", p->peak_ns);
	json_u64(j, "live_blocks", p->live_blocks);
	json_u64(j, "live_bytes", p->live_bytes);
	json_u64(j, "failed_allocs", p->failed_allocs);
	json_u64(j, "unknown_frees", p->unknown_frees);
	sampled_json(j, s, &p->sampled);
	json_end(j);
}

static void site_json(struct json *j, const struct sites *s, const struct row *r)
{
	json_object(j, NULL);
	json_string(j, "id", r->id[0] ? r->id : NULL);
	json_u64(j, "alloc_blocks", r->alloc_blocks);
	json_u64(j, "alloc_bytes", r->alloc_bytes);
	json_u64(j, "live_blocks", r->live_blocks);
	json_u64(j, "live_bytes", r->live_bytes);
	json_u64(j, "peak_bytes", r->peak_bytes);
	json_u64(j, "temporary_blocks", r->temporary_blocks);
	json_u64(j, "peak_blocks", r->peak_blocks);
	json_u64(j, "free_blocks", r->free_blocks);
	json_u64(j, "cross_thread_frees", r->cross_frees);
	json_u64(j, "realloc_blocks", r->realloc_in);
	json_u64(j, "min_bytes", r->min_size);
	json_u64(j, "max_bytes", r->max_size);
	json_u64(j, "first_ns", r->first_ns);
	json_u64(j, "last_ns", r->last_ns);
	if (r->free_blocks)
		json_u64(j, "mean_life_ns", r->life_ns_sum / r->free_blocks);
	else
		json_null(j, "mean_life_ns");
	sampled_json(j, s, &r->sampled);
	json_string(j, "own", r->own);
	answer_process_json(j, r->process);
	answer_stack_json(j, r->stack);
	json_end(j);
}

/* The sites of one process; the rows are sorted by process. */
static void sites_json(struct json *j, const struct sites *s, const struct answer_process *p)
{
	int64_t n = 0;
	json_array(j, "sites");
	for (size_t i = 0; i < s->rows.n; i++)
		if (s->rows.row[i].process == p && (s->limit <= 0 || n++ < s->limit))
			site_json(j, s, &s->rows.row[i]);
	json_end(j);
}

static void print_json(struct sites *s)
{
	struct json j;
	const struct answer_process *first = s->pid ? answer_last_image(&s->a, s->pid) : s->a.main;
	answer_head_json(&j, &s->a);
	answer_process_json(&j, first);
	process_totals_json(&j, s, first);
	sites_json(&j, s, first);
	json_array(&j, "processes");
	/* One process: its part stands at the top already. */
	for (size_t at = 0, end; s->a.n_processes > 1 && at < s->rows.n; at = end) {
		const struct answer_process *p = s->rows.row[at].process;
		end = rows_process_end(&s->rows, at);
		json_object(&j, NULL);
		answer_process_json(&j, p);
		process_totals_json(&j, s, p);
		json_array(&j, "sites");
		for (size_t i = at; i < end && (s->limit <= 0 || i - at < (size_t)s->limit); i++)
			site_json(&j, s, &s->rows.row[i]);
		json_end(&j);
		json_end(&j);
	}
	json_end(&j);
	json_finish(&j);
}

/* ---- text ---- */

/* What the figure that the rows are ordered by rests on. */
static void print_bounds(const struct sites *s, const struct row *r)
{
	bool peak = s->order == BY_PEAK, live = s->order == BY_LIVE;
	const struct sampled *e = &r->sampled;
	char *text = peak ? bounds_text(e->peak_samples, &e->peak, r->peak_bytes)
		: live    ? bounds_text(e->live_samples, &e->live, r->live_bytes)
			  : bounds_text(e->samples, &e->alloc, r->alloc_bytes);
	printf("      %s: %s\n", peak ? "at peak" : live ? "at end" : "allocated", text);
	free(text);
}

static void print_row(const struct sites *s, const struct row *r)
{
	char peak[TEXT_NUMBER], live[TEXT_NUMBER], blocks[TEXT_NUMBER], bytes[TEXT_NUMBER],
		temporary[TEXT_NUMBER];
	printf("%11s %11s %11s %12s %11s%s%s%s%s\n", text_size(peak, r->peak_bytes),
		text_size(live, r->live_bytes), text_size(bytes, r->alloc_bytes),
		text_count(blocks, r->alloc_blocks), text_count(temporary, r->temporary_blocks),
		render_style(STYLE_DIM), r->id[0] ? "  " : "", r->id, render_style(STYLE_PLAIN));
	if (!s->a.exact)
		print_bounds(s, r);
	if (s->frames < 0) {
		char *chain = render_chain(r->stack, render_width() - 6);
		printf("      %s\n", chain);
		free(chain);
	} else {
		render_stack(6, r->stack, (size_t)s->frames);
	}
}

static void print_process(const struct sites *s, size_t from, size_t to)
{
	const struct answer_process *p = s->rows.row[from].process;
	char size[TEXT_NUMBER], count[TEXT_NUMBER], when[TEXT_NUMBER];
	char *text = xasprintf("peak %s%s at %s, %s%s allocations", about(&s->a), text_size(size, p->peak_bytes),
		text_duration(when, p->peak_ns), about(&s->a), text_count(count, p->alloc_blocks));
	head_print_process(p, text);
	free(text);
	printf("%s%11s %11s %11s %12s %11s  %s%s\n", render_style(STYLE_DIM), "at peak", "at end",
		"allocated", "blocks", "temporary", "site", render_style(STYLE_PLAIN));
	size_t limit = s->limit < 0 ? DEFAULT_ROWS : s->limit == 0 ? to - from : (size_t)s->limit;
	size_t end = to - from > limit ? from + limit : to;
	for (size_t i = from; i < end; i++)
		print_row(s, &s->rows.row[i]);
	if (end < to)
		printf("      and %s more (--limit 0 shows all)\n", text_count(count, to - end));
}

static void print_text(struct sites *s)
{
	static const char *const orders[] = {"share of the peak", "live bytes at the end",
		"number of blocks", "temporary blocks (freed by the thread's next event)",
		"bytes allocated"};
	head_print(&s->a);
	if (s->rows.n == 0)
		printf("\nNothing was allocated.\n");
	else
		printf("\nSites by %s.\n", orders[s->order]);
	size_t shown = 0;
	for (size_t at = 0, end; at < s->rows.n; at = end) {
		if (shown++ == DEFAULT_PROCESSES && s->limit != 0 && s->pid == 0) {
			printf("\nAnd further processes (--process PID shows one, --limit 0 all).\n");
			break;
		}
		end = rows_process_end(&s->rows, at);
		print_process(s, at, end);
	}
	head_print_coverage(&s->a, 5);
}

int verb_sites(int argc, char **argv)
{
	struct sites s = {.limit = -1, .frames = -1};
	const struct option_spec options[] = {
		{OPTION_CHOICE, "by", ROW_ORDERS, "order", &s.order},
		OPTION_FORMAT(&s.format),
		{OPTION_NUMBER, "limit", "N", "sites of a process to show, 0: all", &s.limit},
		{OPTION_NUMBER, "process", "PID", "this process only", &s.pid},
		{OPTION_NUMBER, "frames", "N", "whole stacks, N frames each, 0: all", &s.frames},
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "sites",
		.operands = "FILE.db",
		.summary = "Lists every allocating stack of each process.",
		.example = "    mmscope sites --by temporary --limit 5 prog.db",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	const char *path;
	int status = options_parse(&spec, argc, argv, &path);
	if (status >= 0)
		return status;
	status = answer_open(&s.a, "sites", path);
	if (status)
		return status;
	if (!s.a.any_followed)
		return answer_refuse(&s.a, "no process was recorded, so its sites are not known");
	if (!answer_has_pid(&s.a, s.pid))
		return answer_refuse(&s.a, "no process with this pid is in the recording");
	rows_load(&s.rows, &s.a, false, s.pid);
	rows_sort(&s.rows, &s.a, s.order);
	if (s.format == FORMAT_JSON)
		print_json(&s);
	else
		print_text(&s);
	rows_done(&s.rows);
	return answer_close(&s.a, VERB_OK);
}
