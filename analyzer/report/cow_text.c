/*
 * cow_text.c - forks and their copy-on-write for people: a paragraph a fork,
 * then tables.  Called by cow.c; the line for the report stands here too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/cow.h"
#include "report/render.h"
#include "report/text.h"

#define POINTS_SHOWN 10
#define COUNT(columns) (sizeof(columns) / sizeof((columns)[0]))

static uint64_t in_bytes(const struct cow_fork *f, int64_t pages)
{
	return (uint64_t)pages * (uint64_t)(f->n[COW_PAGE_SIZE] > 0 ? f->n[COW_PAGE_SIZE] : 4096);
}

/* "2,180 pages (8.5 MiB)"; to be freed. */
static char *pages_text(const struct cow_fork *f, int64_t pages)
{
	char count[TEXT_NUMBER], size[TEXT_NUMBER];
	return xasprintf("%s %s (%s)", text_count(count, (uint64_t)pages), text_plural((uint64_t)pages, "page", "pages"),
		text_size(size, in_bytes(f, pages)));
}

/* "-": not measured. */
static void cell(struct table *t, int64_t n)
{
	if (n < 0)
		table_cell(t, "-");
	else
		table_count(t, (uint64_t)n);
}

/* ---- the paragraph ---- */

static void say_broken(FILE *s, const struct cow_fork *f)
{
	char time[TEXT_NUMBER], count[TEXT_NUMBER];
	int64_t broken = cow_broken(f);
	char *shared = f->n[COW_SHARED] < 0 ? xstrdup("a number of pages that is not known")
		: pages_text(f, f->n[COW_SHARED]);
	fprintf(s, "The fork shared %s.", shared);
	free(shared);
	if (broken < 0)
		return;
	if (f->n[COW_WATCHED_NS] >= 0)
		fprintf(s, " In the %s that it was watched,", text_duration(time, (uint64_t)f->n[COW_WATCHED_NS]));
	char *all = pages_text(f, broken);
	fprintf(s, " %s of them were broken by a write", all);
	free(all);
	const char *between = ": ";
	if (f->n[COW_PARENT] >= 0)
		fprintf(s, "%sthe parent wrote %s", between, text_count(count, (uint64_t)f->n[COW_PARENT]));
	between = f->n[COW_PARENT] >= 0 ? ", " : between;
	if (f->n[COW_CHILD] >= 0)
		fprintf(s, "%sthe child %s%s", between, f->n[COW_PARENT] >= 0 ? "" : "wrote ",
			text_count(count, (uint64_t)f->n[COW_CHILD]));
	if (f->n[COW_BOTH] > 0)
		fprintf(s, ", %s of them both", text_count(count, (uint64_t)f->n[COW_BOTH]));
	putc('.', s);
}

static void say_copies(FILE *s, const struct cow_fork *f)
{
	char count[TEXT_NUMBER], low[TEXT_NUMBER], high[TEXT_NUMBER];
	if (f->n[COW_COPIES] >= 0) {
		char *copies = pages_text(f, f->n[COW_COPIES]);
		fprintf(s, " The kernel copied %s", copies);
		free(copies);
		if (f->n[COW_COPIES_LOW] >= 0 && f->n[COW_COPIES_LOW] != f->n[COW_COPIES_HIGH])
			fprintf(s, ", at least %s and at most %s",
				text_count(low, (uint64_t)f->n[COW_COPIES_LOW]),
				text_count(high, (uint64_t)f->n[COW_COPIES_HIGH]));
		putc('.', s);
	} else if (f->n[COW_COPIES_LOW] >= 0 && f->n[COW_COPIES_HIGH] >= 0) {
		fprintf(s, " The kernel copied at least %s and at most %s of them: a side gave pages up, and in which "
			"order is not known.",
			text_count(low, (uint64_t)f->n[COW_COPIES_LOW]), text_count(high, (uint64_t)f->n[COW_COPIES_HIGH]));
	}
	/* Each broken page was copied, for this child or for a newer one. */
	if (f->n[COW_COPIES_HIGH] >= 0 && f->n[COW_COPIES_HIGH] < cow_broken(f))
		fprintf(s, " What the parent wrote after its next fork was copied for that one.");
	if (f->n[COW_STILL] >= 0) {
		char *still = pages_text(f, f->n[COW_STILL]);
		fprintf(s, " %s were still shared at the end.", still);
		free(still);
	}
	if (f->n[COW_NEW_PARENT] > 0 || f->n[COW_NEW_CHILD] > 0) {
		fprintf(s, " Pages that came after the fork, never shared:");
		if (f->n[COW_NEW_PARENT] >= 0)
			fprintf(s, " %s of the parent", text_count(count, (uint64_t)f->n[COW_NEW_PARENT]));
		if (f->n[COW_NEW_CHILD] >= 0)
			fprintf(s, "%s %s of the child", f->n[COW_NEW_PARENT] >= 0 ? "," : "",
				text_count(count, (uint64_t)f->n[COW_NEW_CHILD]));
		putc('.', s);
	}
}

static void say_changed(FILE *s, const struct cow_fork *f)
{
	static const struct {
		enum cow_number n;
		const char *text;
	} classes[] = {{COW_IDENTICAL_PAGES, "ended as they were"}, {COW_COUNTER_PAGES, "differ by small counts"},
		{COW_POINTER_PAGES, "in addresses"}, {COW_BULK_PAGES, "in data"}};
	char size[TEXT_NUMBER], count[TEXT_NUMBER];
	int64_t copied = cow_bytes_copied(f);
	if (f->n[COW_CHANGED] < 0)
		return;
	fprintf(s, " Compared byte by byte, %s changed", text_size(size, (uint64_t)f->n[COW_CHANGED]));
	if (copied > 0 && f->n[COW_CHANGED] > 0)
		fprintf(s, ", %s copied for each byte", text_count(count, (uint64_t)(copied / f->n[COW_CHANGED])));
	for (size_t i = 0; i < COUNT(classes); i++)
		if (f->n[classes[i].n] >= 0)
			fprintf(s, "%s %s %s", i ? "," : ":", text_count(count, (uint64_t)f->n[classes[i].n]),
				i ? classes[i].text : "pages ended as they were");
	putc('.', s);
}

static void say_cost(FILE *s, const struct cow_fork *f)
{
	char time[TEXT_NUMBER], size[TEXT_NUMBER], count[TEXT_NUMBER];
	fprintf(s, "The fork itself held up the parent for %s", text_duration(time, (uint64_t)f->pause_ns));
	if (f->areas >= 0)
		fprintf(s, ", to copy %s areas", text_count(count, (uint64_t)f->areas));
	if (f->page_tables >= 0)
		fprintf(s, "%s %s of page tables", f->areas >= 0 ? " and" : ", to copy",
			text_size(size, (uint64_t)f->page_tables));
	putc('.', s);
}

static void say_method(FILE *s, const struct cow_fork *f)
{
	char count[TEXT_NUMBER], time[TEXT_NUMBER];
	fprintf(s, " Seen by %s: ", cow_method_text(f));
	if (f->share >= 0 && f->share < 1)
		fprintf(s, "estimates from %.0f %% of the pages", f->share * 100);
	else
		fprintf(s, f->exact == 1 ? "exact" : "not exact");
	if (f->n[COW_ERROR] > 0)
		fprintf(s, "%s at most %s %s", f->exact == 1 ? " but for" : f->share < 1 ? ", besides off by" : ", off by",
			text_count(count, (uint64_t)f->n[COW_ERROR]), text_plural((uint64_t)f->n[COW_ERROR], "page", "pages"));
	if (f->arm_parent_ns >= 0)
		fprintf(s, "; it cost the parent %s", text_duration(time, (uint64_t)f->arm_parent_ns));
	if (f->arm_child_ns >= 0)
		fprintf(s, "%s the child %s", f->arm_parent_ns >= 0 ? "," : "; it cost",
			text_duration(time, (uint64_t)f->arm_child_ns));
	fprintf(s, ".%s%s", f->why ? " " : "", f->why ? f->why : "");
}

static void print_paragraph(const struct cow_fork *f, void (*const *say)(FILE *, const struct cow_fork *))
{
	char *text = NULL;
	size_t size;
	FILE *s = open_memstream(&text, &size);
	if (!s)
		return;
	for (size_t i = 0; say[i]; i++)
		say[i](s, f);
	fclose(s);
	render_paragraph(2, NULL, text);
	free(text);
}

static void print_paragraphs(const struct cow_fork *f)
{
	static void (*const what[])(FILE *, const struct cow_fork *) = {say_broken, say_copies, say_changed, NULL};
	static void (*const how[])(FILE *, const struct cow_fork *) = {say_cost, say_method, NULL};
	print_paragraph(f, what);
	print_paragraph(f, how);
}

/* The figures above, each with its interval; then what stands below of them. */
static void print_intervals(const struct cow_parts *p)
{
	static const struct {
		const char *name, *text;
	} words[] = {{"parent_broke", "broken by the parent"}, {"child_broke", "by the child"}, {"both_broke", "by both"},
		{"still_shared", "still shared"}, {"new_parent", "new in the parent"}, {"new_child", "new in the child"},
		{"copies", "copied"}};
	char low[TEXT_NUMBER], high[TEXT_NUMBER], *text = NULL;
	size_t size;
	FILE *s = p->n_intervals ? open_memstream(&text, &size) : NULL;
	if (!s)
		return;
	fprintf(s, "With 95 %% certainty the pages are:");
	const char *between = " ";
	for (size_t w = 0; w < COUNT(words); w++)
		for (size_t i = 0; i < p->n_intervals; i++) {
			if (strcmp(p->interval[i].name, words[w].name) != 0)
				continue;
			fprintf(s, "%s%s %s to %s", between, words[w].text, text_count(low, (uint64_t)p->interval[i].low),
				text_count(high, (uint64_t)p->interval[i].high));
			between = ", ";
		}
	fprintf(s, ". New pages were looked for in the watched part, and in areas that came later everywhere. Areas and "
		"sites, below, are estimates as well, each with its interval; what has no page in the watched part is left out.");
	fclose(s);
	render_paragraph(2, NULL, text);
	free(text);
}

static void print_advice(struct answer *a, const struct cow_fork *f, const struct cow_parts *p)
{
	bool any = false;
	for (int rule = 0; rule < N_COW_RULES; rule++) {
		const struct cow_place *place;
		char *text = cow_advice((enum cow_rule)rule, f, p, &place);
		if (!text)
			continue;
		if (!any)
			printf("\n  What would help\n");
		any = true;
		render_paragraph(4, "- ", text);
		free(text);
		if (place) {
			char *chain = render_chain(answer_stack(a, place->stack_id), render_width() - 6);
			printf("      %s\n", chain);
			free(chain);
		}
	}
}

/* ---- tables ---- */

static void print_points(const struct cow_fork *f, const struct cow_parts *p)
{
	static const struct table_column columns[] = {{"after", true}, {"parent", true}, {"child", true},
		{"both", true}, {"new in parent", true}, {"new in child", true}};
	char time[TEXT_NUMBER];
	struct table t;
	if (p->n_points == 0)
		return;
	printf("\n  Over time, pages\n");
	table_begin(&t, columns, COUNT(columns));
	size_t step = (p->n_points + POINTS_SHOWN - 1) / POINTS_SHOWN;
	for (size_t i = 0; i < p->n_points; i++) {
		const struct cow_point *x = &p->point[i];
		if (i % step && i + 1 < p->n_points)
			continue;
		table_cell(&t, text_duration(time, (uint64_t)(x->t_ns > f->t_ns ? x->t_ns - f->t_ns : 0)));
		cell(&t, x->parent);
		cell(&t, x->child);
		cell(&t, x->both);
		cell(&t, x->new_parent);
		cell(&t, x->new_child);
	}
	table_print(&t, 4);
}

static void side_row(struct table *t, const struct cow_fork *f, const char *who, int64_t broke, int64_t fresh, int64_t faults)
{
	char part[TEXT_NUMBER];
	table_cell(t, who);
	cell(t, broke);
	if (broke >= 0)
		table_size(t, in_bytes(f, broke));
	else
		table_cell(t, "-");
	table_cell(t, broke >= 0 && f->n[COW_SHARED] > 0 ? text_percent(part, (uint64_t)broke, (uint64_t)f->n[COW_SHARED]) : "-");
	cell(t, fresh);
	cell(t, faults);
}

/* Of a fork of which no more than that is known. */
static void print_faults(const struct cow_fork *f)
{
	char parent[TEXT_NUMBER] = "-", child[TEXT_NUMBER] = "-";
	if (f->n[COW_PARENT_FAULTS] >= 0)
		text_count(parent, (uint64_t)f->n[COW_PARENT_FAULTS]);
	if (f->n[COW_CHILD_FAULTS] >= 0)
		text_count(child, (uint64_t)f->n[COW_CHILD_FAULTS]);
	printf("  Minor faults since: %s in the parent, %s in the child.\n", parent, child);
}

static void print_sides(const struct cow_fork *f)
{
	static const struct table_column columns[] = {{"side", false}, {"pages broken", true}, {"bytes", true},
		{"of shared", true}, {"new pages", true}, {"minor faults", true}};
	struct table t;
	if (cow_broken(f) < 0 && f->n[COW_PARENT] < 0 && f->n[COW_CHILD] < 0) {
		print_faults(f);
		return;
	}
	printf("\n  By side\n");
	table_begin(&t, columns, COUNT(columns));
	side_row(&t, f, "parent", f->n[COW_PARENT], f->n[COW_NEW_PARENT], f->n[COW_PARENT_FAULTS]);
	side_row(&t, f, "child", f->n[COW_CHILD], f->n[COW_NEW_CHILD], f->n[COW_CHILD_FAULTS]);
	side_row(&t, f, "both", f->n[COW_BOTH], COW_UNKNOWN, COW_UNKNOWN);
	side_row(&t, f, "either", cow_broken(f), COW_UNKNOWN, COW_UNKNOWN);
	table_print(&t, 4);
}

static void print_rest(size_t shown, size_t n, const char *what)
{
	char count[TEXT_NUMBER];
	if (shown < n)
		printf("    and %s more %s (--limit 0 shows all)\n", text_count(count, n - shown), what);
}

static size_t within(size_t limit, size_t n)
{
	return limit == 0 || limit > n ? n : limit;
}

/* Its name, who mapped it, or where it is; to be freed. */
static char *area_text(struct answer *a, const struct cow_area *x)
{
	if (x->name[0] || x->stack_id == 0)
		return x->name[0] ? xstrdup(x->name) : xasprintf("at %llx", (unsigned long long)x->start);
	return render_chain(answer_stack(a, x->stack_id), render_width());
}

/* "shared 900 to 1,102, parent 3 to 40", of what was watched whole nothing; to be freed. */
static char *within_text(const struct cow_interval *x, size_t n)
{
	static const char *const words[][2] = {{"pages_shared", "shared"}, {"parent_broke", "parent"}, {"child_broke", "child"},
		{"both_broke", "both"}};
	char low[TEXT_NUMBER], high[TEXT_NUMBER], *text = xstrdup("");
	for (size_t w = 0; w < COUNT(words); w++)
		for (size_t i = 0; i < n; i++) {
			if (strcmp(x[i].name, words[w][0]) != 0 || x[i].low == x[i].high)
				continue;
			char *more = xasprintf("%s%s%s %s to %s", text, text[0] ? ", " : "", words[w][1],
				text_count(low, (uint64_t)x[i].low), text_count(high, (uint64_t)x[i].high));
			free(text);
			text = more;
		}
	return text;
}

/* Each area of the table, with its intervals. */
static void print_areas_within(struct answer *a, const struct cow_parts *p, size_t shown)
{
	for (size_t i = 0; i < shown; i++) {
		char *name = area_text(a, &p->area[i]), *text = within_text(p->area[i].within, p->area[i].n_within);
		char *line = xasprintf("%s, with 95 %% certainty: %s", name, text);
		if (text[0])
			render_paragraph(4, NULL, line);
		free(line);
		free(text);
		free(name);
	}
}

static void print_areas(struct answer *a, const struct cow_parts *p, size_t limit)
{
	static const struct table_column columns[] = {{"shared", true}, {"parent", true}, {"child", true},
		{"both", true}, {"huge", true}, {"kind", false}, {"name, or who mapped it", false, true}};
	struct table t;
	if (p->n_areas == 0)
		return;
	printf("\n  By area, pages\n");
	table_begin(&t, columns, COUNT(columns));
	for (size_t i = 0; i < within(limit, p->n_areas); i++) {
		const struct cow_area *x = &p->area[i];
		cell(&t, x->shared);
		cell(&t, x->parent);
		cell(&t, x->child);
		cell(&t, x->both);
		cell(&t, x->huge);
		table_cell(&t, x->kind);
		char *text = area_text(a, x);
		table_cell(&t, text);
		free(text);
	}
	table_print(&t, 4);
	print_areas_within(a, p, within(limit, p->n_areas));
	print_rest(within(limit, p->n_areas), p->n_areas, "areas");
}

static void print_place(struct answer *a, const struct cow_place *x)
{
	char n[6][TEXT_NUMBER];
	const int64_t value[] = {x->shared, x->parent, x->child, x->both, x->blocks, x->false_blocks};
	for (size_t i = 0; i < COUNT(value); i++)
		snprintf(n[i], sizeof(n[i]), "-");
	for (size_t i = 0; i < COUNT(value); i++)
		if (value[i] >= 0)
			text_count(n[i], (uint64_t)value[i]);
	printf("%9s %9s %9s %8s %10s %10s%s%s%s%s\n", n[0], n[1], n[2], n[3], n[4], n[5], render_style(STYLE_DIM),
		x->id[0] ? "  " : "", x->id, render_style(STYLE_PLAIN));
	if (x->stack_id == 0) {
		printf("      (pages of no block or mapping of a known stack)\n");
		return;
	}
	char *chain = render_chain(answer_stack(a, x->stack_id), render_width() - 6);
	printf("      %s\n", chain);
	free(chain);
}

/* Of a site whose pages were compared. */
static void print_changes(const struct cow_place *x)
{
	char size[TEXT_NUMBER], same[TEXT_NUMBER], counters[TEXT_NUMBER];
	if (x->stack_id == 0 || x->changed < 0 || cow_union(x->parent, x->child, x->both) <= 0)
		return;
	printf("      %s changed; broken pages: %s identical, %s with small counts\n",
		text_size(size, (uint64_t)x->changed), text_count(same, (uint64_t)x->identical),
		text_count(counters, (uint64_t)x->counters));
}

static void print_place_within(const struct cow_place *x)
{
	char *text = within_text(x->within, x->n_within), *line = xasprintf("With 95 %% certainty: %s", text);
	if (text[0])
		render_paragraph(6, NULL, line);
	free(line);
	free(text);
}

static void print_places(struct answer *a, const struct cow_parts *p, size_t limit)
{
	if (p->n_places == 0)
		return;
	printf("\n  By site, pages of its blocks and mappings\n");
	printf("%s%9s %9s %9s %8s %10s %10s  %s%s\n", render_style(STYLE_DIM), "shared", "parent", "child", "both",
		"blocks", "bystanders", "site", render_style(STYLE_PLAIN));
	for (size_t i = 0; i < within(limit, p->n_places); i++) {
		print_place(a, &p->place[i]);
		print_changes(&p->place[i]);
		print_place_within(&p->place[i]);
	}
	print_rest(within(limit, p->n_places), p->n_places, "sites");
}

/* To be freed. */
static char *fork_heading(const struct cow_fork *f)
{
	char time[TEXT_NUMBER], pid[TEXT_NUMBER], count[TEXT_NUMBER];
	char *name = f->parent ? answer_who(f->parent, true) : xstrdup("?");
	char *who = text_cut_start(name, 38), *line;
	snprintf(pid, sizeof(pid), "%lld", (long long)f->child_pid);
	text_duration(time, (uint64_t)f->t_ns);
	if (f->merged)
		line = xasprintf("Fork %lld: the sum of %s forks of %s, from %s on", (long long)f->id,
			text_count(count, f->merged), who, time);
	else
		line = xasprintf("Fork %lld: %s made %s, %s after the start", (long long)f->id, who,
			f->child_pid < 0 ? "a child" : pid, time);
	free(who);
	free(name);
	return line;
}

static void print_fork(struct answer *a, const struct cow_fork *f, size_t limit)
{
	struct cow_parts p;
	char *line = fork_heading(f);
	render_heading(line);
	free(line);
	if (!f->watched) {
		line = xasprintf("Not watched. %s", cow_why_not(f));
		render_paragraph(2, NULL, line);
		free(line);
		return;
	}
	cow_parts_load(&p, a, f);
	print_paragraphs(f);
	print_intervals(&p);
	print_advice(a, f, &p);
	print_points(f, &p);
	print_sides(f);
	print_areas(a, &p, limit);
	print_places(a, &p, limit);
	cow_parts_done(&p);
}

/* Is there room for this fork among the `limit` that broke most? */
static bool is_among(const struct cow *c, const struct cow_fork *f, size_t limit)
{
	size_t more = 0;
	for (size_t i = 0; limit && i < c->n; i++) {
		const struct cow_fork *other = &c->fork[i];
		int64_t x = cow_broken(other), y = cow_broken(f);
		more += other->watched && (x > y || (x == y && other < f));
	}
	return limit == 0 || more < limit;
}

static bool any_known(const struct cow *c)
{
	bool known = false;
	for (size_t i = 0; i < c->n; i++)
		known |= c->fork[i].watched && cow_broken(&c->fork[i]) >= 0;
	return known;
}

static void print_unwatched(const struct cow *c)
{
	char count[TEXT_NUMBER];
	for (size_t i = 0; i < c->n_unwatched; i++) {
		char *line = xasprintf("%s %s not watched. %s", text_count(count, c->unwatched[i].n),
			c->unwatched[i].n == 1 ? "fork was" : "forks were", c->unwatched[i].why);
		render_paragraph(2, NULL, line);
		free(line);
	}
}

void cow_text(struct answer *a, const struct cow *c, const struct cow_fork *only, size_t limit)
{
	size_t left_out = 0, counted = 0;
	if (only) {
		print_fork(a, only, limit);
		return;
	}
	if (c->n == 0)
		printf("\n  Nothing forked: no page was shared.\n");
	for (size_t i = 0; i < c->n; i++) {
		if (!c->fork[i].watched)
			continue;
		if (limit && cow_broken(&c->fork[i]) < 0 && any_known(c))
			counted++;
		else if (is_among(c, &c->fork[i], limit))
			print_fork(a, &c->fork[i], limit);
		else
			left_out++;
	}
	if (c->n)
		putchar('\n');
	if (left_out)
		printf("  %zu more %s fewer pages (--limit 0 shows all, --fork N one).\n", left_out,
			left_out == 1 ? "fork broke" : "forks broke");
	if (counted)
		printf("  Of %zu more %s the faults were counted only (--limit 0 shows all).\n", counted,
			counted == 1 ? "fork" : "forks");
	print_unwatched(c);
}

/* ---- the report's line ---- */

char *cow_head_text(const struct cow *c)
{
	char count[TEXT_NUMBER], all[TEXT_NUMBER], size[TEXT_NUMBER];
	uint64_t shared = 0, broken = 0, copied = 0;
	size_t n = 0;
	bool most = false; /* the number of copies has bounds only */
	if (c->n == 0)
		return NULL;
	for (size_t i = 0; i < c->n; i++) {
		const struct cow_fork *f = &c->fork[i];
		if (!f->watched || cow_broken(f) < 0)
			continue;
		n++;
		shared += f->n[COW_SHARED] > 0 ? (uint64_t)f->n[COW_SHARED] : 0;
		broken += (uint64_t)cow_broken(f);
		most |= f->n[COW_COPIES] < 0;
		int64_t copies = f->n[COW_COPIES] < 0 ? f->n[COW_COPIES_HIGH] : f->n[COW_COPIES];
		copied += copies > 0 ? in_bytes(f, copies) : 0;
	}
	if (n == 0)
		return xasprintf("%s %s, broken pages not known", text_count(count, c->n_all), text_plural(c->n_all, "fork", "forks"));
	return xasprintf("%s of %s shared pages broken, %s%s copied", text_count(count, broken), text_count(all, shared),
		most ? "at most " : "", text_size(size, copied));
}
