/*
 * snapshot_text.c - the answer of `mmscope snapshot` for people.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/head.h"
#include "report/render.h"
#include "report/snapshot.h"
#include "report/text.h"

#define DEFAULT_ROWS 10
#define DEFAULT_FRAMES 8
#define DEFAULT_THREADS 8

static void print_head(const struct snapshot_answer *s)
{
	const struct snapshot_row *v = s->shown;
	char when[TEXT_NUMBER], pause[TEXT_NUMBER], size[TEXT_NUMBER], age[TEXT_NUMBER], *name = text_clean(v->name);
	char *text = xasprintf("Snapshot %s of pid %lld at %s: it stood for %s; %s were read.", name,
		v->process ? (long long)v->process->pid : 0, text_duration(when, v->t_ns), text_duration(pause, v->pause_ns),
		text_size(size, v->scanned_bytes));
	render_paragraph(0, NULL, text);
	free(text);
	if (v->why) {
		char *why = text_clean(v->why);
		text = xasprintf("It stood until it was read: %s.", why);
		render_paragraph(0, NULL, text);
		free(text);
		free(why);
	}
	if (s->blocks[SNAPSHOT_YOUNG]) {
		text = xasprintf("Blocks younger than %s were not judged.", text_duration(age, v->age_ns));
		render_paragraph(0, NULL, text);
		free(text);
	}
	free(name);
}

static void print_totals(const struct snapshot_answer *s)
{
	static const struct table_column columns[] = {{"blocks", true, false}, {"bytes", true, false},
		{"which", false, true}};
	static const char *const means[N_SNAPSHOT] = {"definite: nothing points to them",
		"indirect: only lost blocks point to them", "possible: something points into the middle of them",
		"reachable", "young: not judged"};
	struct table t;
	table_begin(&t, columns, 3);
	for (int i = 0; i < N_SNAPSHOT; i++) {
		table_count(&t, s->blocks[i]);
		table_size(&t, s->bytes[i]);
		table_cell(&t, means[i]);
	}
	putchar('\n');
	table_print(&t, 2);
}

static bool is_shown(const struct snapshot_answer *s, const struct snapshot_site *v)
{
	bool changed = v->bytes != v->old_bytes || v->blocks != v->old_blocks;
	if (strcmp(v->own, "target") != 0)
		return false;
	return s->against ? changed : v->verdict <= SNAPSHOT_POSSIBLE;
}

static void print_site(const struct snapshot_answer *s, const struct snapshot_site *v)
{
	char size[TEXT_NUMBER], count[TEXT_NUMBER], old[TEXT_NUMBER], old_count[TEXT_NUMBER];
	printf("%s%12s%s in %s %s, %s", render_style(STYLE_BOLD), text_size(size, v->bytes), render_style(STYLE_PLAIN),
		text_count(count, v->blocks), text_plural(v->blocks, "block", "blocks"), snapshot_words[v->verdict]);
	if (s->against)
		printf("; was %s in %s", text_size(old, v->old_bytes), text_count(old_count, v->old_blocks));
	if (v->id[0])
		printf("%s  %s%s", render_style(STYLE_DIM), v->id, render_style(STYLE_PLAIN));
	putchar('\n');
	render_stack(6, v->stack, s->frames < 0 ? DEFAULT_FRAMES : (size_t)s->frames);
}

static void print_sites(const struct snapshot_answer *s)
{
	size_t limit = s->limit < 0 ? DEFAULT_ROWS : s->limit == 0 ? SIZE_MAX : (size_t)s->limit, n = 0;
	render_heading(s->against ? "What changed" : "Lost, or perhaps lost");
	for (size_t i = 0; i < s->n_sites; i++)
		if (is_shown(s, &s->site[i]) && n++ < limit)
			print_site(s, &s->site[i]);
	if (n == 0)
		printf("  Nothing.\n");
	if (n > limit)
		printf("%*sand %zu more (--limit 0 shows all)\n", 6, "", n - limit);
}

static void print_frame(const struct snapshot_frame *f)
{
	const char *slash = f->module ? strrchr(f->module, '/') : NULL;
	char *name = f->function ? text_cut_function(f->function, 50) : NULL;
	char *module = f->module ? text_cut_end(slash ? slash + 1 : f->module, 24) : NULL;
	if (name && module)
		printf("      %s [%s]\n", name, module);
	else if (module && f->offset >= 0)
		printf("      %s+0x%llx\n", module, (unsigned long long)f->offset);
	else
		printf("      0x%llx\n", (unsigned long long)f->pc);
	free(name);
	free(module);
}

static void print_threads(const struct snapshot_answer *s)
{
	size_t n = 0, depth = 0, limit = s->limit < 0 ? DEFAULT_THREADS : s->limit == 0 ? SIZE_MAX : (size_t)s->limit;
	size_t frames = s->frames < 0 ? DEFAULT_FRAMES : s->frames == 0 ? SIZE_MAX : (size_t)s->frames;
	render_heading("Where its threads stood");
	for (size_t i = 0; i < s->n_frames; i++) {
		const struct snapshot_frame *f = &s->frame[i];
		depth = f->first ? 0 : depth + 1;
		n += f->first;
		if (n > limit || depth >= frames)
			continue;
		if (f->first) {
			char *name = f->thread ? text_clean(f->thread) : NULL;
			printf("  thread %lld%s%s\n", (long long)f->tid, name ? " " : "", name ? name : "");
			free(name);
		}
		print_frame(f);
	}
	if (n > limit)
		printf("  and %zu more (--limit 0 shows all)\n", n - limit);
	if (s->shown->stacks_why)
		printf("  Innermost frames alone: %s.\n", s->shown->stacks_why);
}

static void print_areas(const struct snapshot_answer *s)
{
	static const struct table_column columns[] = {{"writable", false, false}, {"areas", true, false},
		{"size", true, false}, {"in memory", true, false}, {"before", true, false}};
	struct table t;
	table_begin(&t, columns, s->against ? 5 : 4);
	for (size_t i = 0; i < s->n_areas; i++) {
		table_cell(&t, s->area[i].kind);
		table_count(&t, s->area[i].n);
		table_size(&t, s->area[i].bytes);
		table_size(&t, s->area[i].resident);
		if (s->against)
			table_size(&t, s->area[i].old_resident);
	}
	putchar('\n');
	table_print(&t, 2);
}

void snapshot_text(struct snapshot_answer *s)
{
	head_print(&s->a);
	print_head(s);
	print_totals(s);
	print_sites(s);
	print_threads(s);
	print_areas(s);
	head_print_coverage(&s->a, 5);
}
