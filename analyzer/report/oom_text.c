/*
 * oom_text.c - the answer of oom for people, with a plot.  Called by oom.c
 * and report.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/oom_write.h"
#include "report/render.h"
#include "report/text.h"

#define LABEL 18
#define SITES 5
#define PLOT_ROWS 9
#define PLOT_WIDTH 56
#define VICTIM_OLD 1500000000ll /* ns: two looks where little is left */

static void label(const char *text)
{
	printf("  %-*s", LABEL, text);
}

static char *amount(char buffer[TEXT_NUMBER], const struct oom_limit *l, int64_t value)
{
	uint64_t v = value > 0 ? (uint64_t)value : 0;
	return l->counts ? text_count(buffer, v) : text_size(buffer, v);
}

static char *seconds(char buffer[TEXT_NUMBER], double s)
{
	if (!isfinite(s) || s > 1e9)
		return strcpy(buffer, "never");
	return text_duration(buffer, (uint64_t)(s * 1e9));
}

static enum render_style style_of(enum oom_verdict v)
{
	return v == OOM_CRITICAL ? STYLE_BAD : v == OOM_LOW ? STYLE_BOLD : STYLE_WARN;
}

/* ---- plot ---- */

/* Height of a value: 0 at the bottom to PLOT_ROWS - 1 at the limit. */
static int height(double value, double limit)
{
	double h = value / limit * (PLOT_ROWS - 1) + 0.5;
	return h < 0 ? 0 : h >= PLOT_ROWS ? PLOT_ROWS - 1 : (int)h;
}

static void draw(char cell[PLOT_ROWS][PLOT_WIDTH + 1], const struct oom_limit *l, double from_s, double width_s)
{
	double limit = (double)l->limit;
	int now = 0;
	for (size_t i = 0; i < l->n_points; i++) {
		int x = (int)((l->points[i].t_s - from_s) / width_s * (PLOT_WIDTH - 1));
		now = x >= 0 && x < PLOT_WIDTH ? x : now;
		cell[height(l->points[i].value, limit)][now] = '*';
	}
	for (int x = now + 1; l->has_time && x < PLOT_WIDTH; x++) {
		double t = from_s + width_s * x / (PLOT_WIDTH - 1) - l->points[l->n_points - 1].t_s;
		double value = l->growth.level + l->growth.per_s * t;
		if (value <= limit)
			cell[height(value, limit)][x] = '.';
	}
}

static void cut_blanks(char *line)
{
	size_t n = strlen(line);
	while (n && line[n - 1] == ' ')
		line[--n] = 0;
}

/* Usage against the limit over the window, and as it goes on at this pace. */
static void print_plot(const struct oom_limit *l)
{
	char cell[PLOT_ROWS][PLOT_WIDTH + 1], size[TEXT_NUMBER], from[TEXT_NUMBER], to[TEXT_NUMBER];
	if (l->n_points < 2 || l->limit == 0)
		return;
	double from_s = l->points[0].t_s, now_s = l->points[l->n_points - 1].t_s;
	double ahead = l->has_time && isfinite(l->time.point_s) ? l->time.point_s : 0;
	double past = now_s - from_s > 1e-3 ? now_s - from_s : 1e-3;
	double width = past + (ahead > 3 * past ? 3 * past : ahead);
	for (int y = 0; y < PLOT_ROWS; y++) {
		memset(cell[y], y == PLOT_ROWS - 1 ? '-' : ' ', PLOT_WIDTH);
		cell[y][PLOT_WIDTH] = 0;
	}
	draw(cell, l, from_s, width);
	for (int y = 0; y < PLOT_ROWS; y++)
		cut_blanks(cell[y]);
	putchar('\n');
	for (int y = PLOT_ROWS - 1; y >= 0; y--)
		printf("  %12s |%s%s\n", y == PLOT_ROWS - 1 ? amount(size, l, (int64_t)l->limit) : y == 0 ? "0" : "",
			cell[y], y == PLOT_ROWS - 1 ? " limit" : "");
	printf("  %12s  %-*s%s\n", "", PLOT_WIDTH - 12, seconds(from, from_s), seconds(to, from_s + width));
	printf("  %12s  * used%s\n", "", l->has_time ? "   . at this pace" : "");
}

/* ---- parts ---- */

static void print_binding(const struct oom *o)
{
	const struct oom_limit *l = o->binding;
	char limit[TEXT_NUMBER], left[TEXT_NUMBER], file[TEXT_NUMBER];
	char *name = oom_limit_name(l);
	label("nearest limit");
	printf("%s\n", name);
	free(name);
	label("left");
	printf("%s%s of %s%s%s", render_style(STYLE_BOLD), amount(left, l, l->headroom), amount(limit, l, (int64_t)l->limit),
		l->counts ? " areas" : "", render_style(STYLE_PLAIN));
	putchar('\n');
	if (l->reclaimable) {
		label("");
		printf("with %s of file pages that can be dropped\n", text_size(file, l->reclaimable));
	}
	if (o->own_cgroup_only) {
		label("");
		printf("own cgroup only: those above it cannot be seen from here\n");
	}
}

static void print_growth(const char *name, const struct growth *g, bool counts)
{
	char rate[TEXT_NUMBER], low[TEXT_NUMBER], high[TEXT_NUMBER], window[TEXT_NUMBER];
	label(name);
	if (g->verdict == GROWTH_UNPROVEN) {
		printf("not known: too few looks (%zu)\n", g->n_points);
		return;
	}
	if (g->verdict == GROWTH_FLAT) {
		printf("flat over the last %s\n", seconds(window, g->window_s));
		return;
	}
	uint64_t at = g->per_s > 0 ? (uint64_t)g->per_s : 0, least = g->low > 0 ? (uint64_t)g->low : 0;
	uint64_t most = g->high > 0 ? (uint64_t)g->high : 0;
	if (counts)
		printf("%.1f areas a second (%.1f to %.1f)", g->per_s, g->low, g->high);
	else
		printf("%s a second (%s to %s)", text_size(rate, at), text_size(low, least), text_size(high, most));
	printf(" over %s\n", seconds(window, g->window_s));
}

static void print_time(const struct oom_limit *l)
{
	char point[TEXT_NUMBER], low[TEXT_NUMBER], high[TEXT_NUMBER];
	if (!l->has_time)
		return;
	label("time to limit");
	printf("%s%s%s (%s to %s)\n", render_style(STYLE_BOLD), seconds(point, l->time.point_s),
		render_style(STYLE_PLAIN), seconds(low, l->time.low_s), seconds(high, l->time.high_s));
}

static void print_debt(const char *name, int64_t value, const char *what)
{
	char size[TEXT_NUMBER];
	if (value <= 0)
		return;
	printf("%14s  %-20s %s\n", text_size(size, (uint64_t)value), name, what);
}

static void print_debts(const struct oom *o)
{
	if (o->touch <= 0 && o->noreserve <= 0 && o->cow <= 0 && o->stack <= 0 && o->thp <= 0 && o->next_fork <= 0)
		return;
	render_heading("Can be called in without a further call");
	print_debt("untouched memory", o->touch, "writable, promised, never written");
	print_debt(o->threads > 1 ? "stacks" : "stack", o->stack, o->threads > 1 ?
		"of threads, inside the above; and of main" : "what the main stack may still grow by");
	print_debt("without a promise", o->noreserve, "untouched too, mapped with MAP_NORESERVE");
	print_debt("copy-on-write", o->cow, "pages shared with live forks");
	print_debt("huge pages", o->thp, "charged to the cgroup, in no statistic");
	print_debt("page tables", o->page_tables_due, "for all of the untouched memory");
	print_debt("next fork", o->next_fork, o->fork_fails ? "commits so much, and would FAIL" : "commits so much");
}

static void print_victim(const struct oom *o)
{
	char size[TEXT_NUMBER], ago[TEXT_NUMBER];
	if (o->n_victims == 0)
		return;
	const struct oom_victim *v = &o->victims[0];
	label("would be killed");
	char *name = text_clean(v->name);
	printf("%s (%lld), %s", name, (long long)v->pid, text_size(size, (uint64_t)v->badness));
	free(name);
	printf("%s\n", v->pid == o->process->pid ? "" : ": NOT this process");
	if (o->t_ns - v->t_ns > VICTIM_OLD)
		printf("%20sas ranked %s before\n", "", text_duration(ago, (uint64_t)(o->t_ns - v->t_ns)));
}

static void print_sites(const struct oom_sites *s, const char *heading, bool growing)
{
	bool any = false;
	for (size_t i = 0; i < s->n && i < SITES; i++) {
		const struct oom_site *site = &s->site[i];
		char size[TEXT_NUMBER], live[TEXT_NUMBER];
		if (growing ? site->grown <= 0 : site->live == 0)
			break;
		if (!any)
			render_heading(heading);
		any = true;
		char *chain = render_chain(site->stack, render_width() - 30);
		printf("%s%13s %12s  %s\n", growing ? "+" : " ",
			text_size(size, growing ? (uint64_t)site->grown : site->live),
			growing ? text_size(live, site->live) : "", chain);
		free(chain);
	}
}

static void print_death(const struct oom *o, struct answer *a)
{
	const struct oom_death *d = &o->death;
	char left[TEXT_NUMBER], size[TEXT_NUMBER], when[TEXT_NUMBER];
	if (d->killed) {
		char *text = xasprintf("The kernel killed this process for lack of memory: it died of SIGKILL and the "
			"counter oom_kill of %s moved. %s were left when it was last looked at.", d->who,
			amount(left, o->binding, o->binding->headroom));
		render_paragraph(2, NULL, text);
		free(text);
	}
	if (d->perhaps) {
		char *text = xasprintf("By what this process ended is not known. It was over in the same look in which "
			"the counter oom_kill of %s moved from %lld to %lld: the kernel killed for lack of memory there, and "
			"perhaps this process. %s were left when it was last looked at.", d->who, (long long)d->kills_before, (long long)d->kills_after,
			amount(left, o->binding, o->binding->headroom));
		render_paragraph(2, NULL, text);
		free(text);
	}
	if (d->failed_allocs == 0)
		return;
	char *name = d->failed_limit ? oom_limit_name(d->failed_limit) : NULL;
	char *text = xasprintf("%lld %s for %s %s refused, the last one%s%s%s at %s. %s%s%s",
		(long long)d->failed_allocs, text_plural((uint64_t)d->failed_allocs, "request", "requests"),
		d->too_many ? "memory or threads" : "memory",
		text_plural((uint64_t)d->failed_allocs, "was", "were"), d->some_kept ? " that was kept" : "",
		d->failed_size ? " of " : d->too_many ? ", a thread or process," : ", a fork,",
		d->failed_size ? text_size(size, (uint64_t)d->failed_size) : "",
		text_duration(when, (uint64_t)d->failed_t_ns), name ? "The limit that said so: " : "No limit that was "
		"looked at explains it", name ? name : "", ".");
	render_paragraph(2, NULL, text);
	free(text);
	free(name);
	if (d->failed_stack)
		render_stack(6, answer_stack(a, d->failed_stack), 4);
}

char *oom_head_text(const struct oom *o)
{
	char left[TEXT_NUMBER];
	char *name = oom_limit_name(o->binding);
	char *text = xasprintf("%s: %s left of %s", oom_verdict_word(o->verdict),
		amount(left, o->binding, o->binding->headroom), name);
	free(name);
	return text;
}

void oom_text(const struct oom *o, struct oom_sites *sites, struct answer *a)
{
	char at[TEXT_NUMBER];
	label("risk");
	printf("%s%s%s, at %s\n", render_style(style_of(o->verdict)), oom_verdict_word(o->verdict),
		render_style(STYLE_PLAIN), text_duration(at, (uint64_t)o->t_ns));
	for (size_t i = 0; i < o->n_reasons; i++)
		render_paragraph(LABEL + 2, "- ", o->reasons[i]);
	print_binding(o);
	print_growth("growth", &o->binding->growth, o->binding->counts);
	print_time(o->binding);
	if (o->has_live)
		print_growth("live heap", &o->live, false);
	print_victim(o);
	if (o->death.killed || o->death.perhaps || o->death.failed_allocs)
		putchar('\n');
	print_death(o, a);
	print_plot(o->binding);
	oom_sites_by_growth(sites);
	print_sites(sites, "Grew in that time (gained, then live)", true);
	oom_sites_by_size(sites);
	print_sites(sites, "Held the memory then", false);
	print_debts(o);
}
