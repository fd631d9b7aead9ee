/*
 * diff.c - mmscope diff OLD NEW: which sites are new, gone, worse, better.
 * Either are recordings, or snapshots of running processes (side_snapshot.c).
 *
 * Sites are compared by what they are called, not where they lie (match.h).
 * Totals of the whole program are shown but are no difference by themselves:
 * RSS and the peak move a little from run to run.  Reads two databases,
 * changes neither.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/alloc.h"
#include "report/match.h"
#include "report/options.h"
#include "report/render.h"
#include "report/text.h"
#include "verbs.h"

#define DEFAULT_ROWS 10
#define DEFAULT_FRAMES 8

enum kind { KIND_NEW, KIND_WORSE, KIND_GONE, KIND_BETTER, N_KINDS };
static const char *const kind_words[N_KINDS] = {"new", "worse", "gone", "better"};

struct difference {
	const struct place *place;
	enum kind kind;
	bool changed[N_SITE_MEASURES]; /* by more than the options let pass */
	bool by_reach;                 /* of snapshots: what can be reached is shown */
};

struct diff {
	struct side older, newer;
	struct match match;
	struct difference *list;
	size_t n, capacity, n_of[N_KINDS];
	int format;
	bool fail, all;
	int64_t limit, frames, min_bytes, min_blocks, min_percent;
};

/* ---- what differs ---- */

static bool is_more_than_allowed(const struct diff *d, const struct place *p, enum measure m)
{
	int64_t change = llabs(place_change(p, m));
	int64_t least = measures[m].unit == UNIT_BYTES ? d->min_bytes : d->min_blocks;
	double slack = side_slack(p->older ? p->older->slack[m] : 0, p->newer ? p->newer->slack[m] : 0);
	return change > 0 && change >= least && (double)change >= slack &&
		(double)change * 100 >= (double)d->min_percent * (double)p->old_value[m];
}

/* Of a place on both sides the weightiest measure decides. */
static enum kind kind_of(const struct place *p, const bool *changed)
{
	if (!p->older)
		return KIND_NEW;
	if (!p->newer)
		return KIND_GONE;
	size_t m = 0;
	while (!changed[m])
		m++;
	return place_change(p, m) > 0 ? KIND_WORSE : KIND_BETTER;
}

static void add_difference(struct diff *d, const struct place *p)
{
	struct difference x = {.place = p, .by_reach = d->newer.snapshot_name != NULL};
	bool any = false;
	for (size_t m = 0; m < N_SITE_MEASURES; m++)
		any |= x.changed[m] = is_more_than_allowed(d, p, m);
	if (!any)
		return;
	x.kind = kind_of(p, x.changed);
	XGROW(d->list, d->n, d->capacity);
	d->list[d->n++] = x;
	d->n_of[x.kind]++;
}

static int compare_differences(const void *left, const void *right)
{
	const struct difference *a = left, *b = right;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	for (size_t m = 0; m < N_SITE_MEASURES; m++) {
		int64_t x = llabs(place_change(a->place, m)), y = llabs(place_change(b->place, m));
		if (x != y)
			return x > y ? -1 : 1;
	}
	const struct side_site *s = a->place->newer ? a->place->newer : a->place->older;
	const struct side_site *t = b->place->newer ? b->place->newer : b->place->older;
	return strcmp(s->id, t->id);
}

static void find_differences(struct diff *d)
{
	match_sites(&d->match, &d->older, &d->newer);
	for (size_t i = 0; i < d->match.n; i++)
		add_difference(d, &d->match.place[i]);
	if (d->n)
		qsort(d->list, d->n, sizeof(*d->list), compare_differences);
}

static const struct side_site *shown_site(const struct place *p)
{
	return p->newer ? p->newer : p->older;
}

/* ---- JSON ---- */

static void known_json(struct json *j, const char *key, int64_t value)
{
	if (value < 0)
		json_null(j, key);
	else
		json_i64(j, key, value);
}

static void amounts_json(struct json *j, const char *key, const int64_t *value, size_t n)
{
	json_object(j, key);
	for (size_t m = 0; m < n; m++)
		known_json(j, measures[m].key, value[m]);
	json_end(j);
}

static void reach_json(struct json *j, const char *key, const uint64_t left[N_REACH])
{
	json_object(j, key);
	for (int k = 0; k < N_REACH; k++)
		json_u64(j, reach_word((enum reach)k), left[k]);
	json_end(j);
}

static void snapshot_json_of(struct json *j, const char *key, const struct side *s)
{
	json_object(j, key);
	json_string(j, "name", s->snapshot_name);
	json_i64(j, "t_ns", s->snapshot.t_ns);
	json_i64(j, "age_ns", s->snapshot.age_ns);
	answer_process_json(j, s->snapshot.process);
	json_end(j);
}

static void snapshots_json(struct json *j, const struct diff *d)
{
	if (!d->newer.snapshot_name) {
		json_null(j, "snapshots");
		return;
	}
	json_object(j, "snapshots");
	snapshot_json_of(j, "old", &d->older);
	snapshot_json_of(j, "new", &d->newer);
	json_end(j);
}

static void difference_json(struct json *j, const struct difference *x)
{
	const struct place *p = x->place;
	char *match = match_explain(p);
	json_object(j, NULL);
	json_string(j, "change", kind_words[x->kind]);
	json_string(j, "id", p->newer ? p->newer->id : NULL);
	json_string(j, "old_id", p->older ? p->older->id : NULL);
	json_string(j, "match", match ? match : p->by_id ? "id" : NULL);
	amounts_json(j, "old", p->old_value, N_SITE_MEASURES);
	amounts_json(j, "new", p->new_value, N_SITE_MEASURES);
	json_object(j, "difference");
	for (size_t m = 0; m < N_SITE_MEASURES; m++)
		if (p->old_value[m] < 0 || p->new_value[m] < 0)
			json_null(j, measures[m].key);
		else
			json_i64(j, measures[m].key, place_change(p, m));
	json_end(j);
	json_bool(j, "old_cow_at_most", p->old_at_most);
	json_bool(j, "new_cow_at_most", p->new_at_most);
	if (x->by_reach) {
		json_object(j, "reach");
		reach_json(j, "old", p->old_left);
		reach_json(j, "new", p->new_left);
		json_end(j);
	}
	answer_stack_json(j, shown_site(p)->stack);
	json_end(j);
	free(match);
}

static void print_json(struct diff *d)
{
	struct json j;
	answer_head_json(&j, &d->newer.a);
	json_object(&j, "old");
	json_string(&j, "file", capture_path(d->older.a.capture));
	json_string(&j, "mode", capture_meta(d->older.a.capture, "mode"));
	json_i64(&j, "duration_ns", d->older.a.duration_ns);
	json_u64(&j, "lost_records", d->older.a.lost_records);
	json_end(&j);
	snapshots_json(&j, d);
	json_object(&j, "totals");
	amounts_json(&j, "old", d->older.total, N_MEASURES);
	amounts_json(&j, "new", d->newer.total, N_MEASURES);
	json_end(&j);
	for (size_t k = 0; k < N_KINDS; k++)
		json_u64(&j, kind_words[k], d->n_of[k]);
	json_array(&j, "sites");
	for (size_t i = 0; i < d->n && (d->limit <= 0 || i < (size_t)d->limit); i++)
		difference_json(&j, &d->list[i]);
	json_end(&j);
	json_finish(&j);
}

/* ---- text ---- */

static void print_snapshot(const char *word, const struct side *s)
{
	char when[TEXT_NUMBER];
	char *who = answer_who(s->snapshot.process, true), *name = text_clean(s->snapshot_name);
	printf("%-4s snapshot %s of %s, %s after the start\n", word, name, who,
		text_duration(when, (uint64_t)s->snapshot.t_ns));
	free(name);
	free(who);
}

static void print_side(const char *word, struct side *s)
{
	char time[RENDER_TIME];
	const struct answer_process *p = s->a.main;
	const char *when = render_time(time, capture_meta_number(s->a.capture, "start_realtime_ns", -1));
	char *command = p ? render_command(p->argv, p->n_argv, p->exe, render_width() - 30)
			  : xstrdup("?");
	printf("%-4s %s%s%s\n", word, command, when ? ", " : "", when ? when : "");
	free(command);
}

/* A snapshot is not the end. */
static const char *title(const struct diff *d, enum measure m)
{
	return m == M_LIVE_BYTES && d->newer.snapshot_name ? "live" : measures[m].title;
}

static void print_totals(const struct diff *d)
{
	const struct table_column columns[] = {
		{d->newer.snapshot_name ? "the process" : "whole program", false, false}, {"old", true, false}, {"new", true, false}, {"change", true, false}};
	char text[MEASURE_TEXT];
	struct table t;
	table_begin(&t, columns, 4);
	for (size_t m = 0; m < N_MEASURES; m++) {
		int64_t a = d->older.total[m], b = d->newer.total[m];
		if (a < 0 && b < 0)
			continue;
		/* Not judged: the same figures as those of what is live. */
		if (m >= M_DEFINITE_BYTES && (d->newer.total[M_DEFINITE_BYTES] < 0 || (a <= 0 && b <= 0)))
			continue;
		table_cell(&t, title(d, m));
		table_cell(&t, measure_text(text, m, a));
		table_cell(&t, measure_text(text, m, b));
		if (a < 0 || b < 0 || a == b)
			table_cell(&t, a == b ? "same" : "");
		else
			table_cell(&t, measure_change_text(text, m, b - a));
	}
	putchar('\n');
	table_print(&t, 0);
}

static void print_measure(const struct diff *d, const struct place *p, enum measure m)
{
	char a[MEASURE_TEXT], b[MEASURE_TEXT], change[MEASURE_TEXT];
	measure_change_text(change, m, place_change(p, m));
	if (!p->older || !p->newer)
		printf("  %12s %s\n", change, title(d, m));
	else
		printf("  %12s %s, from %s to %s\n", change, title(d, m),
			measure_text(a, m, p->old_value[m]), measure_text(b, m, p->new_value[m]));
	if (m == M_COW_PAGES && (p->old_at_most || p->new_at_most))
		printf("%15sat most: pages that several call stacks share count for each\n", "");
}

/* Whether what came can be reached, where that changed. */
static void print_reach(const struct place *p)
{
	char old[TEXT_NUMBER], new[TEXT_NUMBER];
	for (int k = 0; k < N_REACH; k++)
		if (p->old_left[k] != p->new_left[k])
			printf("%15sof it %s: %s, before %s\n", "",
				k == REACH_UNCLASSIFIED ? "too young to be judged" : reach_word((enum reach)k),
				text_size(new, p->new_left[k]), text_size(old, p->old_left[k]));
}

static void print_difference(const struct diff *d, const struct difference *x)
{
	const struct place *p = x->place;
	const struct side_site *s = shown_site(p);
	printf("%s%s%s  %s%s%s\n", render_style(x->kind <= KIND_WORSE ? STYLE_BAD : STYLE_BOLD),
		kind_words[x->kind], render_style(STYLE_PLAIN), render_style(STYLE_DIM),
		s->id[0] ? s->id : "(no site id)", render_style(STYLE_PLAIN));
	for (size_t m = 0; m < N_SITE_MEASURES; m++)
		if (x->changed[m])
			print_measure(d, p, m);
	if (x->by_reach)
		print_reach(p);
	char *match = match_explain(p);
	if (match) {
		char *line = xasprintf("Taken for the old site %s: %s.", p->older->id, match);
		render_paragraph(6, NULL, line);
		free(line);
	}
	free(match);
	render_stack(6, s->stack, d->frames < 0 ? DEFAULT_FRAMES : (size_t)d->frames);
}

static void print_notes(struct diff *d)
{
	const struct side *sides[] = {&d->older, &d->newer};
	for (size_t i = 0; i < 2; i++) {
		struct answer *a = &((struct side *)sides[i])->a;
		const char *word = i ? "new" : "old";
		if (!a->exact)
			printf("The %s recording is sampled: its figures are estimates.\n", word);
		if (a->n_pauses)
			printf("The %s recording was paused for a while.\n", word);
		if (a->lost_records)
			printf("The %s recording lost %" PRIu64 " records.\n", word, a->lost_records);
		if (capture_state(a->capture) != CAPTURE_COMPLETE && !sides[i]->snapshot_name)
			printf("The %s recording is not complete.\n", word);
	}
}

static void print_text(struct diff *d)
{
	if (d->newer.snapshot_name) {
		print_snapshot("old", &d->older);
		print_snapshot("new", &d->newer);
	} else {
		print_side("old", &d->older);
		print_side("new", &d->newer);
	}
	print_notes(d);
	print_totals(d);
	if (d->n == 0) {
		printf("\nNo site differs (%zu compared).\n", d->match.n);
		return;
	}
	printf("\n%zu of %zu sites %s: %zu new, %zu worse, %zu gone, %zu better\n", d->n, d->match.n,
		d->n == 1 ? "differs" : "differ", d->n_of[KIND_NEW], d->n_of[KIND_WORSE],
		d->n_of[KIND_GONE], d->n_of[KIND_BETTER]);
	size_t limit = d->limit < 0 ? DEFAULT_ROWS : d->limit == 0 ? d->n : (size_t)d->limit;
	size_t shown[N_KINDS] = {0};
	for (size_t i = 0; i < d->n; i++) {
		enum kind k = d->list[i].kind;
		if (shown[k]++ < limit) {
			putchar('\n');
			print_difference(d, &d->list[i]);
		} else if (shown[k] == d->n_of[k]) {
			printf("\nand %zu more %s (--limit 0 shows all)\n", d->n_of[k] - limit, kind_words[k]);
		}
	}
}

/* ---- the verb ---- */

static int open_sides(struct diff *d, const char *const *paths)
{
	struct side *sides[2] = {&d->older, &d->newer};
	const char *name[2];
	char *path[2] = {side_split(paths[0], &name[0]), side_split(paths[1], &name[1])};
	int status = 0;
	if (!name[0] != !name[1] && access(path[name[0] != NULL], F_OK) == 0) {
		fprintf(stderr, "mmscope diff: a snapshot is compared with a snapshot: FILE.db@NAME twice\n");
		status = VERB_USAGE;
	}
	for (int i = 0; i < 2 && !status; i++) {
		status = name[i] ? side_open_snapshot(sides[i], "diff", path[i], name[i], d->all)
				 : side_open(sides[i], "diff", path[i], NULL, d->all);
		if (status && i)
			side_close(&d->older, status);
	}
	free(path[0]);
	free(path[1]);
	return status;
}

int verb_diff(int argc, char **argv)
{
	struct diff d = {.limit = -1, .frames = -1};
	const struct option_spec options[] = {
		OPTION_FORMAT(&d.format),
		{OPTION_FLAG, "fail", NULL, "status 1 when a site is new or worse", &d.fail},
		{OPTION_NUMBER, "limit", "N", "sites of a kind to show, 0: all", &d.limit},
		{OPTION_NUMBER, "frames", "N", "frames of a stack to show, 0: all", &d.frames},
		{OPTION_NUMBER, "min-bytes", "N", "changes of fewer bytes are let pass", &d.min_bytes},
		{OPTION_NUMBER, "min-blocks", "N", "changes of fewer blocks or pages", &d.min_blocks},
		{OPTION_NUMBER, "min-percent", "N", "changes of a smaller part of the old value", &d.min_percent},
		{OPTION_FLAG, "all", NULL, "also sites of the loader and the C libraries", &d.all},
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "diff",
		.operands = "OLD.db[@SNAPSHOT] NEW.db[@SNAPSHOT]",
		.summary = "Compares two recordings, or two snapshots of one or of two, by site: new,\n"
			   "worse, gone, better.",
		.example = "    mmscope diff before.db after.db\n"
			   "    mmscope diff server.db@before server.db@after",
		.options = options,
		.min_operands = 2,
		.max_operands = 2,
		.missing = "two databases are needed",
	};
	const char *paths[2];
	int status = options_parse(&spec, argc, argv, paths);
	if (status >= 0)
		return status;
	status = open_sides(&d, paths);
	if (status)
		return status;
	find_differences(&d);
	if (d.format == FORMAT_JSON)
		print_json(&d);
	else
		print_text(&d);
	status = d.fail && d.n_of[KIND_NEW] + d.n_of[KIND_WORSE] ? VERB_FINDINGS : VERB_OK;
	match_done(&d.match);
	free(d.list);
	side_close(&d.older, status);
	return side_close(&d.newer, status);
}
