/*
 * leaks.c - mmscope leaks: what was not freed at the end.
 *
 * A block that is still live when its process ends is `unclassified`: whether
 * anything pointed to it is not known yet, and the answer says so instead of
 * calling it a leak.  Blocks of the loader, of libc's own start-up and of
 * libstdc++'s emergency pool are counted in, but listed apart.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/head.h"
#include "report/mappings.h"
#include "report/options.h"
#include "report/render.h"
#include "report/rows.h"
#include "report/text.h"
#include "verbs.h"

#define DEFAULT_ROWS 10
#define DEFAULT_FRAMES 8
#define DEFAULT_PROCESSES 5

struct leaks {
	struct answer a;
	struct rows rows;
	struct mappings mappings;
	int format;
	int64_t limit, frames, pid; /* limit, frames: -1 not given; 0 all */
};

struct totals {
	uint64_t blocks, bytes, apart_blocks, apart_bytes;
	size_t sites, apart_sites;
};

static void add_totals(struct totals *t, const struct row *row)
{
	t->blocks += row->live_blocks;
	t->bytes += row->live_bytes;
	t->sites++;
	if (row_is_apart(row)) {
		t->apart_blocks += row->live_blocks;
		t->apart_bytes += row->live_bytes;
		t->apart_sites++;
	}
}

static struct totals totals_of(const struct rows *rows, size_t from, size_t to)
{
	struct totals t = {0};
	for (size_t i = from; i < to; i++)
		add_totals(&t, &rows->row[i]);
	return t;
}

/* ---- JSON ---- */

static void amount_json(struct json *j, const char *key, uint64_t blocks, uint64_t bytes)
{
	json_object(j, key);
	json_u64(j, "blocks", blocks);
	json_u64(j, "bytes", bytes);
	json_end(j);
}

static void unknown_amount_json(struct json *j, const char *key)
{
	json_object(j, key);
	json_null(j, "blocks");
	json_null(j, "bytes");
	json_end(j);
}

static void totals_json(struct json *j, const struct totals *t)
{
	static const char *const verdicts[] = {"definite", "indirect", "possible", "reachable"};
	json_object(j, "totals");
	amount_json(j, "live", t->blocks, t->bytes);
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		unknown_amount_json(j, verdicts[i]);
	amount_json(j, "unclassified", t->blocks, t->bytes);
	amount_json(j, "apart", t->apart_blocks, t->apart_bytes);
	json_end(j);
}

static void site_json(struct json *j, const struct leaks *l, const struct row *row)
{
	/* Exact and nothing lost: the bounds are the figure itself.  Otherwise
	 * they are not known. */
	bool bounded = l->a.exact && l->a.lost_records == 0;
	json_object(j, NULL);
	json_string(j, "id", row->id[0] ? row->id : NULL);
	json_string(j, "verdict", "unclassified");
	json_u64(j, "blocks", row->live_blocks);
	json_u64(j, "bytes", row->live_bytes);
	if (bounded) {
		json_u64(j, "bytes_low", row->live_bytes);
		json_u64(j, "bytes_high", row->live_bytes);
	} else {
		json_null(j, "bytes_low");
		json_null(j, "bytes_high");
	}
	json_string(j, "own", row->own);
	answer_process_json(j, row->process);
	answer_stack_json(j, row->stack);
	json_end(j);
}

static bool within_limit(const struct leaks *l, size_t index)
{
	return l->limit <= 0 || index < (size_t)l->limit;
}

static void sites_json(struct json *j, const struct leaks *l)
{
	json_array(j, "sites");
	for (size_t at = 0, end; at < l->rows.n; at = end) {
		end = rows_process_end(&l->rows, at);
		for (size_t i = at; i < end && within_limit(l, i - at); i++)
			site_json(j, l, &l->rows.row[i]);
	}
	json_end(j);
}

static void mappings_json(struct json *j, const struct leaks *l)
{
	json_array(j, "mappings");
	for (size_t i = 0; i < l->mappings.n; i++) {
		const struct mapping *m = &l->mappings.mapping[i];
		json_object(j, NULL);
		json_string(j, "id", m->id[0] ? m->id : NULL);
		json_u64(j, "areas", m->areas);
		json_u64(j, "bytes", m->bytes);
		json_null(j, "touched_bytes");
		answer_process_json(j, m->process);
		answer_stack_json(j, m->stack);
		json_end(j);
	}
	json_end(j);
}

static void processes_json(struct json *j, const struct leaks *l)
{
	json_array(j, "processes");
	for (size_t at = 0, end; at < l->rows.n; at = end) {
		end = rows_process_end(&l->rows, at);
		struct totals t = totals_of(&l->rows, at, end);
		json_object(j, NULL);
		answer_process_json(j, l->rows.row[at].process);
		totals_json(j, &t);
		json_u64(j, "sites", end - at);
		json_end(j);
	}
	json_end(j);
}

static void print_json(struct leaks *l)
{
	struct json j;
	struct totals t = totals_of(&l->rows, 0, l->rows.n);
	answer_head_json(&j, &l->a);
	json_string(&j, "mode", capture_meta(l->a.capture, "mode"));
	totals_json(&j, &t);
	sites_json(&j, l);
	mappings_json(&j, l);
	processes_json(&j, l);
	json_finish(&j);
}

/* ---- text ---- */

static char *amount_text(uint64_t bytes, uint64_t blocks, size_t sites)
{
	char size[TEXT_NUMBER], count[TEXT_NUMBER], n[TEXT_NUMBER];
	return xasprintf("%s in %s %s of %s %s", text_size(size, bytes), text_count(count, blocks),
		text_plural(blocks, "block", "blocks"), text_count(n, sites),
		text_plural(sites, "site", "sites"));
}

static void print_row(const struct leaks *l, const struct row *row)
{
	char size[TEXT_NUMBER], count[TEXT_NUMBER];
	printf("%s%12s%s in %s %s, %s", render_style(STYLE_BOLD), text_size(size, row->live_bytes),
		render_style(STYLE_PLAIN), text_count(count, row->live_blocks),
		text_plural(row->live_blocks, "block", "blocks"),
		row_is_apart(row) ? row->own : "unclassified");
	if (row->id[0])
		printf("%s  %s%s", render_style(STYLE_DIM), row->id, render_style(STYLE_PLAIN));
	putchar('\n');
	render_stack(6, row->stack, l->frames < 0 ? DEFAULT_FRAMES : (size_t)l->frames);
}

static void print_rows(const struct leaks *l, size_t from, size_t to)
{
	size_t limit = l->limit < 0 ? DEFAULT_ROWS : l->limit == 0 ? to - from : (size_t)l->limit;
	size_t end = to - from > limit ? from + limit : to;
	for (size_t i = from; i < end; i++)
		print_row(l, &l->rows.row[i]);
	if (end == to)
		return;
	struct totals rest = totals_of(&l->rows, end, to);
	char *amount = amount_text(rest.bytes, rest.blocks, rest.sites);
	printf("%*sand %s more (--limit 0 shows all)\n", 6, "", amount);
	free(amount);
}

static void print_process(const struct leaks *l, size_t from, size_t to)
{
	struct totals t = totals_of(&l->rows, from, to);
	const struct answer_process *p = l->rows.row[from].process;
	char *end = head_end_text(p), *amount = amount_text(t.bytes, t.blocks, t.sites);
	char *text = xasprintf("%s (%s)", amount, end);
	head_print_process(p, text);
	free(text);
	free(amount);
	free(end);
	size_t apart = to - t.apart_sites;
	print_rows(l, from, apart);
	if (apart == to)
		return;
	amount = amount_text(t.apart_bytes, t.apart_blocks, t.apart_sites);
	printf("  Of the loader and the C and C++ libraries, not of the program:\n  %s\n", amount);
	free(amount);
	print_rows(l, apart, to);
}

/* What stays when the list of processes is cut: one line. */
static void print_other_processes(const struct leaks *l, size_t at)
{
	struct totals t = totals_of(&l->rows, at, l->rows.n);
	size_t n = 0;
	for (; at < l->rows.n; at = rows_process_end(&l->rows, at))
		n++;
	char *amount = amount_text(t.bytes, t.blocks, t.sites), count[TEXT_NUMBER];
	printf("\n%s more %s: %s\n(--process PID shows one, --limit 0 all)\n", text_count(count, n),
		text_plural(n, "process", "processes"), amount);
	free(amount);
}

static void print_processes(const struct leaks *l)
{
	size_t shown = 0;
	for (size_t at = 0, end; at < l->rows.n; at = end, shown++) {
		if (shown == DEFAULT_PROCESSES && l->limit != 0 && l->pid == 0) {
			print_other_processes(l, at);
			return;
		}
		end = rows_process_end(&l->rows, at);
		print_process(l, at, end);
	}
}

static void print_mappings(const struct leaks *l)
{
	if (l->mappings.n == 0)
		return;
	char size[TEXT_NUMBER], count[TEXT_NUMBER];
	render_heading("Mapped by the program and never unmapped");
	size_t limit = l->limit < 0 ? 5 : l->limit == 0 ? l->mappings.n : (size_t)l->limit;
	for (size_t i = 0; i < l->mappings.n && i < limit; i++) {
		const struct mapping *m = &l->mappings.mapping[i];
		printf("%12s in %s %s, pid %lld\n", text_size(size, m->bytes), text_count(count, m->areas),
			text_plural(m->areas, "area", "areas"), (long long)m->process->pid);
		render_stack(6, m->stack, l->frames < 0 ? DEFAULT_FRAMES : (size_t)l->frames);
	}
	if (l->mappings.n > limit)
		printf("%*sand %s more (--limit 0 shows all)\n", 6, "",
			text_count(count, l->mappings.n - limit));
}

static void print_totals(const struct leaks *l)
{
	struct totals t = totals_of(&l->rows, 0, l->rows.n);
	size_t processes = 0;
	for (size_t at = 0; at < l->rows.n; at = rows_process_end(&l->rows, at))
		processes++;
	/* The same site in many processes is many rows: their number would
	 * mislead here. */
	char size[TEXT_NUMBER], blocks[TEXT_NUMBER], n[TEXT_NUMBER];
	char *amount = processes < 2 ? amount_text(t.bytes, t.blocks, t.sites)
				     : xasprintf("%s in %s blocks of %s processes", text_size(size, t.bytes),
					       text_count(blocks, t.blocks), text_count(n, processes));
	printf("\nNot freed at the end: %s%s%s.\n", render_style(STYLE_BOLD), amount,
		render_style(STYLE_PLAIN));
	free(amount);
	if (t.blocks)
		printf("Unclassified: whether something still points to a block was not examined.\n");
}

static void print_text(struct leaks *l)
{
	head_print(&l->a);
	print_totals(l);
	print_processes(l);
	print_mappings(l);
	head_print_coverage(&l->a, 5);
}

int verb_leaks(int argc, char **argv)
{
	struct leaks l = {.limit = -1, .frames = -1};
	const struct option_spec options[] = {
		OPTION_FORMAT(&l.format),
		{OPTION_NUMBER, "limit", "N", "sites of a process to show, 0: all", &l.limit},
		{OPTION_NUMBER, "process", "PID", "this process only", &l.pid},
		{OPTION_NUMBER, "frames", "N", "frames of a stack to show, 0: all", &l.frames},
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "leaks",
		.operands = "FILE.db",
		.summary = "Lists what was allocated and not freed when each process ended,\n"
			   "by allocating stack, largest first.",
		.example = "    mmscope run -o prog.db -- ./prog && mmscope leaks prog.db",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	const char *path;
	int status = options_parse(&spec, argc, argv, &path);
	if (status >= 0)
		return status;
	status = answer_open(&l.a, "leaks", path);
	if (status)
		return status;
	if (!l.a.any_followed)
		return answer_refuse(&l.a, "no process was recorded, so its blocks are not known");
	if (!answer_has_pid(&l.a, l.pid))
		return answer_refuse(&l.a, "no process with this pid is in the recording");
	rows_load(&l.rows, &l.a, true, l.pid);
	rows_sort(&l.rows, &l.a, BY_LIVE);
	mappings_load(&l.mappings, &l.a, l.pid);
	if (l.format == FORMAT_JSON)
		print_json(&l);
	else
		print_text(&l);
	rows_done(&l.rows);
	mappings_done(&l.mappings);
	return answer_close(&l.a, VERB_OK);
}
