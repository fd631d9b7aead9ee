/*
 * leaks_text.c - the answer of `mmscope leaks` for people, and the rules of
 * --gen-suppressions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/head.h"
#include "report/leaks.h"
#include "report/render.h"
#include "report/text.h"

#define DEFAULT_ROWS 10
#define DEFAULT_FRAMES 8
#define DEFAULT_PROCESSES 5


static char *amount_text(const struct leaks *l, uint64_t bytes, uint64_t blocks, size_t sites)
{
	char size[TEXT_NUMBER], count[TEXT_NUMBER], n[TEXT_NUMBER];
	return xasprintf("%s%s in %s%s %s of %s %s", about(&l->a), text_size(size, bytes), about(&l->a),
		text_count(count, blocks),
		text_plural(blocks, "block", "blocks"), text_count(n, sites),
		text_plural(sites, "site", "sites"));
}

static void print_thread(const struct evidence *e)
{
	char *name = e->thread_name[0] ? text_clean(e->thread_name) : NULL;
	if (e->thread)
		printf("%*slast used by thread %lld (%s%stid %lld)\n", 6, "", (long long)e->thread, name ? name : "",
			name ? ", " : "", (long long)e->tid);
	free(name);
}

/* How sure the amount is, where that is not whole. */
static void print_bounds(const struct leaks *l, const struct row *row)
{
	char size[TEXT_NUMBER], count[TEXT_NUMBER];
	if (!l->a.exact) {
		char *text = bounds_text(row->sampled.live_samples, &row->sampled.live, row->live_bytes);
		printf("      %s\n", text);
		free(text);
	} else if (row->uncertain_blocks) {
		printf("      %s in %s %s are from before a pause and may have been freed in it\n",
			text_size(size, row->uncertain_bytes), text_count(count, row->uncertain_blocks),
			text_plural(row->uncertain_blocks, "block", "blocks"));
	}
}

static void print_row(const struct leaks *l, const struct row *row)
{
	const struct evidence *e = judged_evidence(&l->judged, row);
	const struct suppress_rule *known = l->judged.known[row->number];
	char size[TEXT_NUMBER], count[TEXT_NUMBER], score[TEXT_NUMBER];
	printf("%s%*s%s%s in %s%s %s, %s", render_style(STYLE_BOLD), 12 - (int)strlen(text_size(size, row->live_bytes)),
		about(&l->a), size, render_style(STYLE_PLAIN), about(&l->a), text_count(count, row->live_blocks),
		text_plural(row->live_blocks, "block", "blocks"),
		known ? known->name : row_is_apart(row) ? row->own : class_word(e->verdict.class));
	if (!judged_apart(&l->judged, row) && e->verdict.score > 0)
		printf(", %s/s", text_size(score, (uint64_t)(e->verdict.score + 0.5)));
	if (row->id[0])
		printf("%s  %s%s", render_style(STYLE_DIM), row->id, render_style(STYLE_PLAIN));
	putchar('\n');
	print_bounds(l, row);
	if (!judged_apart(&l->judged, row))
		render_paragraph(6, NULL, e->verdict.why);
	render_stack(6, row->stack, l->frames < 0 ? DEFAULT_FRAMES : (size_t)l->frames);
	if (!judged_apart(&l->judged, row))
		print_thread(e);
}

static void print_rows(const struct leaks *l, size_t from, size_t to)
{
	size_t limit = l->limit < 0 ? DEFAULT_ROWS : l->limit == 0 ? to - from : (size_t)l->limit;
	size_t end = to - from > limit ? from + limit : to;
	for (size_t i = from; i < end; i++)
		print_row(l, &l->rows.row[i]);
	if (end == to)
		return;
	struct judged_totals rest = leaks_totals(l, end, to);
	char *amount = amount_text(l, rest.live_bytes, rest.live_blocks, rest.sites);
	printf("%*sand %s more (--limit 0 shows all)\n", 6, "", amount);
	free(amount);
}

static void print_process(const struct leaks *l, size_t from, size_t to)
{
	struct judged_totals t = leaks_totals(l, from, to);
	const struct answer_process *p = l->rows.row[from].process;
	char *end = head_end_text(p), *amount = amount_text(l, t.live_bytes, t.live_blocks, t.sites);
	char *text = xasprintf("%s (%s)", amount, end);
	head_print_process(p, text);
	free(text);
	free(amount);
	free(end);
	size_t apart = to - t.apart_sites;
	print_rows(l, from, apart);
	if (apart == to)
		return;
	amount = amount_text(l, t.apart_bytes, t.apart_blocks, t.apart_sites);
	printf("  Of the loader and the C and C++ libraries, not of the program:\n  %s\n", amount);
	free(amount);
	print_rows(l, apart, to);
}

/* What stays when the list of processes is cut: one line. */
static void print_other_processes(const struct leaks *l, size_t at)
{
	struct judged_totals t = leaks_totals(l, at, l->rows.n);
	size_t n = 0;
	for (; at < l->rows.n; at = rows_process_end(&l->rows, at))
		n++;
	char *amount = amount_text(l, t.live_bytes, t.live_blocks, t.sites), count[TEXT_NUMBER];
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
		printf("%12s in %s %s", text_size(size, m->bytes), text_count(count, m->areas),
			text_plural(m->areas, "area", "areas"));
		if (m->touched_bytes >= 0)
			printf(", %s touched", text_size(size, (uint64_t)m->touched_bytes));
		printf(", pid %lld\n", (long long)m->process->pid);
		render_stack(6, m->stack, l->frames < 0 ? DEFAULT_FRAMES : (size_t)l->frames);
	}
	if (l->mappings.n > limit)
		printf("%*sand %s more (--limit 0 shows all)\n", 6, "",
			text_count(count, l->mappings.n - limit));
}

/* "1.20 KiB in 3 blocks definite, ..." */
static void print_reach(const struct judged_totals *t)
{
	char *text = xstrdup("");
	for (int i = 0; i < N_REACH; i++) {
		char size[TEXT_NUMBER], count[TEXT_NUMBER];
		if (!t->blocks[i])
			continue;
		char *longer = xasprintf("%s%s%s in %s %s %s", text, *text ? ", " : "", text_size(size, t->bytes[i]),
			text_count(count, t->blocks[i]), text_plural(t->blocks[i], "block", "blocks"),
			reach_word((enum reach)i));
		free(text);
		text = longer;
	}
	char *sentence = xasprintf("%s.", text);
	if (t->examined)
		render_paragraph(0, NULL, sentence);
	if (t->blocks[REACH_UNCLASSIFIED])
		printf("Unclassified: whether something still points to a block was not examined.\n");
	free(sentence);
	free(text);
}

static void print_totals(const struct leaks *l)
{
	struct judged_totals t = leaks_totals(l, 0, l->rows.n);
	size_t processes = 0;
	for (size_t at = 0; at < l->rows.n; at = rows_process_end(&l->rows, at))
		processes++;
	/* The same site in many processes is many rows: their number would
	 * mislead here. */
	char size[TEXT_NUMBER], blocks[TEXT_NUMBER], n[TEXT_NUMBER];
	char *amount = processes < 2 ? amount_text(l, t.live_bytes, t.live_blocks, t.sites)
				     : xasprintf("%s%s in %s%s blocks of %s processes", about(&l->a),
					       text_size(size, t.live_bytes), about(&l->a),
					       text_count(blocks, t.live_blocks), text_count(n, processes));
	printf("\nNot freed at the end: %s%s%s.\n", render_style(STYLE_BOLD), amount,
		render_style(STYLE_PLAIN));
	free(amount);
	print_reach(&t);
}

void leaks_text(struct leaks *l)
{
	head_print(&l->a);
	print_totals(l);
	print_processes(l);
	print_mappings(l);
	judged_print_rules(&l->judged);
	head_print_coverage(&l->a, 5);
}

/* One rule a site and kind; the same rule once. */
void leaks_suppressions(const struct leaks *l, bool valgrind)
{
	char **written = NULL;
	size_t n = 0, capacity = 0;
	for (size_t at = 0, end; at < l->rows.n; at = end) {
		end = rows_process_end(&l->rows, at);
		for (size_t i = at; i < end && (l->limit <= 0 || i - at < (size_t)l->limit); i++) {
			const struct row *row = &l->rows.row[i];
			for (int k = 0; k < N_REACH && !judged_apart(&l->judged, row); k++) {
				if (!judged_evidence(&l->judged, row)->facts.blocks[k])
					continue;
				XGROW(written, n, capacity);
				written[n] = valgrind ? suppress_write_valgrind(row->stack, row->id[0] ? row->id : "no stack",
					(enum reach)k) : suppress_write_lsan(row->stack);
				size_t same = 0;
				while (strcmp(written[same], written[n]) != 0)
					same++;
				if (same == n)
					fputs(written[n++], stdout);
				else
					free(written[n]);
			}
		}
	}
	for (size_t i = 0; i < n; i++)
		free(written[i]);
	free(written);
}
