/*
 * check.c - mmscope check: does a recording keep to its baselines and budget.
 *
 * Against baselines every measure is a rule, for the whole program and for
 * each site; what is let pass comes from how much the baselines differ among
 * themselves (baseline.h).  Budget lines are judged exactly as written.
 * Writes the files it is told to write and, with --update-baseline, the
 * baseline; databases that are read stay as they are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/check.h"
#include "report/options.h"
#include "report/text.h"
#include "verbs.h"

#define MIB (1 << 20)

struct settings {
	int format;
	struct option_list baselines, suppressions;
	struct suppressions rules;
	const char *budget, *junit, *sarif, *markdown;
	bool github, update, all;
	int64_t floor_bytes, floor_blocks, floor_percent;
};

static int complain(const char *about, const char *reason)
{
	char *clean = text_clean(about);
	fprintf(stderr, "mmscope check: %s: %s\n", clean, reason);
	free(clean);
	return VERB_USAGE;
}

/* ---- rules of the baselines ---- */

static struct check_rule *add_rule(struct check *c, enum measure m, char *name)
{
	XGROW(c->rule, c->n_rules, c->cap_rules);
	struct check_rule *r = &c->rule[c->n_rules++];
	*r = (struct check_rule){.measure = m, .name = name, .value = UNKNOWN, .usual = UNKNOWN, .limit = UNKNOWN};
	return r;
}

static void add_finding(struct check_rule *r, struct check_finding f)
{
	XGROW(r->finding, r->n_findings, r->cap_findings);
	r->finding[r->n_findings++] = f;
}

/* The kernel counts RSS in pages, lazily and by CPU: it moves by itself.  So
 * does the peak of a program with threads: whether two of them hold their most
 * at once is chance, and a few baselines may all have missed it.  A definite
 * leak does not move. */
static struct noise_floor floor_of(const struct settings *s, enum measure m, bool threads)
{
	struct noise_floor f = {.percent = 1, .few_percent = 3};
	f.amount = measures[m].unit == UNIT_BYTES ? s->floor_bytes : s->floor_blocks;
	if (m == M_RSS_PEAK)
		f = (struct noise_floor){.amount = f.amount > MIB ? f.amount : MIB, .percent = 3, .few_percent = 5};
	if (m == M_PEAK_BYTES && threads) {
		f.percent = 3;
		f.few_percent = 5;
	}
	if (m == M_NEVER_BYTES && f.amount < NEVER_GRAIN)
		f.amount = NEVER_GRAIN;
	if (m == M_COW_PAGES)
		f = (struct noise_floor){.amount = f.amount > COW_GRAIN ? f.amount : COW_GRAIN, .percent = 5, .few_percent = 10};
	if (m == M_DEFINITE_BYTES || m == M_DEFINITE_BLOCKS)
		f = (struct noise_floor){0};
	return f;
}

static bool is_new(const struct check *c, const struct site_group *g)
{
	for (size_t b = 0; b < c->n_baselines; b++)
		if (g->before[b * N_SITE_MEASURES + M_ALLOC_BLOCKS] > 0)
			return false;
	return true;
}

/* A share of the peak counts only where the site's own highest value grew
 * too: otherwise the moment of the peak moved. */
static bool own_peak_grew(const struct check *c, const struct site_group *g, const struct noise_floor *floor)
{
	int64_t *copy = xcalloc(c->n_baselines, sizeof(*copy));
	memcpy(copy, g->before_own_peak, c->n_baselines * sizeof(*copy));
	struct noise n = noise_of(copy, c->n_baselines, floor);
	free(copy);
	return g->now_own_peak > n.limit;
}

static void judge_site(struct check *c, struct check_rule *r, const struct site_group *g,
	const struct noise_floor *floor)
{
	int64_t *before = xcalloc(c->n_baselines, sizeof(*before));
	bool known = g->now[r->measure] >= 0;
	for (size_t b = 0; b < c->n_baselines; b++) {
		before[b] = g->before[b * N_SITE_MEASURES + r->measure];
		known &= before[b] >= 0;
	}
	struct noise n = noise_of(before, c->n_baselines, floor);
	free(before);
	n.limit += (int64_t)side_slack(g->site->slack[r->measure], g->site->slack[r->measure]);
	if (!known || g->now[r->measure] <= n.limit)
		return;
	if (r->measure == M_PEAK_BYTES && !own_peak_grew(c, g, floor))
		return;
	add_finding(r, (struct check_finding){.site = g->site, .value = g->now[r->measure],
				.usual = n.median, .limit = n.limit, .is_new = is_new(c, g)});
}

static int compare_findings(const void *left, const void *right)
{
	const struct check_finding *a = left, *b = right;
	int64_t x = a->value - (a->usual < 0 ? 0 : a->usual), y = b->value - (b->usual < 0 ? 0 : b->usual);
	return x > y ? -1 : x < y ? 1 : strcmp(a->site->id, b->site->id);
}

static void sort_findings(struct check_rule *r)
{
	if (r->n_findings)
		qsort(r->finding, r->n_findings, sizeof(*r->finding), compare_findings);
}

/* False when this measure is not in the recording and all baselines. */
static bool judge_total(const struct check *c, struct check_rule *r, const struct noise_floor *floor)
{
	int64_t *before = xcalloc(c->n_baselines, sizeof(*before));
	bool known = c->now.total[r->measure] >= 0;
	for (size_t b = 0; b < c->n_baselines; b++) {
		before[b] = c->baseline[b].total[r->measure];
		known &= before[b] >= 0;
	}
	if (known) {
		struct noise n = noise_of(before, c->n_baselines, floor);
		r->value = c->now.total[r->measure];
		r->usual = n.median;
		r->limit = n.limit;
		if (r->measure < N_SITE_MEASURES)
			r->limit += (int64_t)side_slack(c->now.total_slack[r->measure], c->now.total_slack[r->measure]);
		r->total_failed = r->value > r->limit;
	}
	free(before);
	return known;
}

/* What the whole program is let pass in a measure that is judged already. */
static int64_t let_pass(const struct check *c, enum measure m)
{
	for (size_t i = 0; i < c->n_rules; i++)
		if (c->rule[i].measure == m)
			return c->rule[i].limit - c->rule[i].usual;
	return 0;
}

/* What was never touched is a part of what is live, and moves with it. */
static void judge_measure(struct check *c, const struct settings *s, const struct site_groups *g, enum measure m)
{
	struct noise_floor floor = floor_of(s, m, c->now.threads);
	if (m == M_NEVER_BYTES)
		floor.amount += let_pass(c, M_LIVE_BYTES);
	struct check_rule *r = add_rule(c, m, xasprintf("%s within noise", measures[m].name));
	if (!judge_total(c, r, &floor)) {
		free(r->name);
		c->n_rules--;
		return;
	}
	/* A site counts when it matters for the whole, and when the whole does not
	 * move as much by itself: of hundreds of sites one is always beyond
	 * anything it did before. */
	int64_t part = (int64_t)((double)r->usual * (double)s->floor_percent / 100);
	if (part > floor.amount)
		floor.amount = part;
	if (r->limit - r->usual > floor.amount)
		floor.amount = r->limit - r->usual;
	for (size_t i = 0; m < N_SITE_MEASURES && i < g->n; i++)
		judge_site(c, r, &g->group[i], &floor);
	sort_findings(r);
	r->state = r->total_failed || r->n_findings ? CHECK_FAILED : CHECK_OK;
}

/* What is live and not judged is among the live bytes already. */
static void judge_baselines(struct check *c, const struct settings *s)
{
	struct site_groups groups;
	if (c->n_baselines == 0)
		return;
	site_groups_make(&groups, &c->now, c->baseline, c->n_baselines);
	for (size_t m = 0; m <= M_DEFINITE_BLOCKS; m++)
		judge_measure(c, s, &groups, (enum measure)m);
	site_groups_done(&groups);
}

/* ---- rules of the budget ---- */

static int64_t amount_of(const struct side *s, const struct budget_rule *b)
{
	int64_t sum = 0;
	if (!b->pattern)
		return s->total[b->measure];
	if (s->total[b->measure] < 0)
		return UNKNOWN;
	for (size_t i = 0; i < s->n; i++)
		if (side_site_fits(&s->site[i], b->pattern) && s->site[i].value[b->measure] > 0)
			sum += s->site[i].value[b->measure];
	return sum;
}

static int64_t usual_amount(const struct check *c, const struct budget_rule *b)
{
	int64_t *before = xcalloc(c->n_baselines + 1, sizeof(*before));
	int64_t usual = c->n_baselines ? 0 : UNKNOWN;
	for (size_t i = 0; i < c->n_baselines; i++) {
		before[i] = amount_of(&c->baseline[i], b);
		if (before[i] < 0)
			usual = UNKNOWN;
	}
	if (usual >= 0)
		usual = noise_of(before, c->n_baselines, &(struct noise_floor){0}).median;
	free(before);
	return usual;
}

/* A part of the amount: for leaks what the site left behind. */
static int64_t part_of(const struct side_site *site, enum measure m)
{
	if (m >= M_DEFINITE_BYTES)
		return (int64_t)site->left[(m - M_DEFINITE_BYTES) / 2];
	return site->value[m == M_RSS_PEAK ? M_PEAK_BYTES : m];
}

/* The sites that make up the amount. */
static void name_sites(struct check *c, struct check_rule *r, const char *pattern)
{
	for (size_t i = 0; i < c->now.n; i++) {
		const struct side_site *site = &c->now.site[i];
		int64_t part = part_of(site, r->measure);
		if (part > 0 && (!pattern || side_site_fits(site, pattern)))
			add_finding(r, (struct check_finding){.site = site, .value = part,
						.usual = UNKNOWN, .limit = UNKNOWN});
	}
	sort_findings(r);
	if (r->n_findings > 3)
		r->n_findings = 3;
}

static void judge_budget(struct check *c, const struct budget *budget, const char *file)
{
	for (size_t i = 0; i < budget->n; i++) {
		const struct budget_rule *b = &budget->rule[i];
		struct check_rule *r = add_rule(c, b->measure, xstrdup(b->text));
		r->file = file;
		r->line = b->line;
		r->value = amount_of(&c->now, b);
		r->usual = usual_amount(c, b);
		if (r->value < 0 || (b->relative && r->usual < 0)) {
			r->state = CHECK_UNKNOWN;
			continue;
		}
		if (budget_holds(b, r->value, r->usual, &r->limit))
			continue;
		r->state = CHECK_FAILED;
		r->total_failed = true;
		name_sites(c, r, b->pattern);
	}
}

/* ---- input ---- */

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	size_t n = 0, capacity = 4096;
	char *text = f ? xmalloc(capacity) : NULL;
	while (f && !feof(f) && !ferror(f)) {
		n += fread(text + n, 1, capacity - n - 1, f);
		if (n + 1 == capacity)
			text = xrealloc(text, capacity *= 2);
	}
	if (f && ferror(f)) {
		free(text);
		text = NULL;
	} else if (f) {
		text[n] = 0;
	}
	if (f)
		fclose(f);
	return text;
}

static int load_budget(struct budget *b, const char *path)
{
	struct budget_error error;
	if (!path)
		return 0;
	char *text = read_file(path);
	if (!text)
		return complain(path, strerror(errno));
	if (!budget_parse(b, text, &error)) {
		char *where = xasprintf("%s:%d:%d", path, error.line, error.column);
		complain(where, error.text);
		free(where);
		free(text);
		return VERB_USAGE;
	}
	free(text);
	return 0;
}

static int open_baselines(struct check *c, const struct settings *s)
{
	struct baseline_paths p = {NULL};
	int status = 0;
	for (int i = 0; i < s->baselines.n && !status; i++) {
		int r = baseline_paths_add(&p, s->baselines.item[i]);
		if (r < 0)
			status = complain(s->baselines.item[i], strerror(-r));
	}
	if (!status && p.n == 0)
		status = complain(s->baselines.item[0], "no baseline in this folder");
	c->baseline = xcalloc(p.n + 1, sizeof(*c->baseline));
	for (size_t i = 0; i < p.n && !status; i++) {
		status = side_open(&c->baseline[i], "check", p.path[i], &s->rules, s->all);
		if (!status && c->baseline[i].a.exact != c->now.a.exact)
			status = side_close(&c->baseline[i],
				complain(p.path[i], "every block was recorded in one of the two only"));
		c->n_baselines += !status;
	}
	baseline_paths_done(&p);
	return status;
}

/* ---- output ---- */

static int write_file(struct check *c, const char *path, void (*write)(struct check *, FILE *))
{
	if (!path)
		return 0;
	if (strcmp(path, "-") == 0) {
		write(c, stdout);
		return 0;
	}
	FILE *out = fopen(path, "we");
	if (!out)
		return complain(path, strerror(errno));
	write(c, out);
	bool failed = ferror(out);
	errno = 0;
	failed |= fclose(out) != 0;
	return failed ? complain(path, strerror(errno ? errno : EIO)) : 0;
}

static bool is_stdout(const char *path)
{
	return path && strcmp(path, "-") == 0;
}

static int write_all(struct check *c, const struct settings *s)
{
	int status = write_file(c, s->junit, check_write_junit);
	if (!status)
		status = write_file(c, s->sarif, check_write_sarif);
	if (!status)
		status = write_file(c, s->markdown, check_write_markdown);
	if (is_stdout(s->junit) || is_stdout(s->sarif) || is_stdout(s->markdown))
		return status;
	if (s->format == FORMAT_JSON)
		check_print_json(c);
	else
		check_print_text(c);
	if (s->github)
		check_write_github(c, stdout);
	return status;
}

/* What was not recorded cannot have kept to a limit. */
static int outcome(struct check *c)
{
	for (size_t i = 0; i < c->n_rules; i++) {
		c->n_failed += c->rule[i].state == CHECK_FAILED;
		c->n_unknown += c->rule[i].state == CHECK_UNKNOWN;
	}
	if (c->n_failed)
		return VERB_FINDINGS;
	bool whole = c->now.a.lost_records == 0 && capture_state(c->now.a.capture) == CAPTURE_COMPLETE;
	return c->n_unknown || !whole ? VERB_INCOMPLETE : VERB_OK;
}

static int update(struct check *c, const struct settings *s, const char *path)
{
	const char *to = s->baselines.item[0];
	if (c->now.a.lost_records || capture_state(c->now.a.capture) != CAPTURE_COMPLETE) {
		complain(path, "not complete, so it is not made a baseline");
		return VERB_INCOMPLETE;
	}
	int r = baseline_update(to, path);
	if (r < 0)
		return complain(to, strerror(-r));
	fprintf(stderr, "mmscope check: %s: updated\n", to);
	return 0;
}

static void check_done(struct check *c)
{
	for (size_t i = 0; i < c->n_rules; i++) {
		free(c->rule[i].name);
		free(c->rule[i].finding);
	}
	free(c->rule);
	for (size_t i = 0; i < c->n_baselines; i++)
		side_close(&c->baseline[i], 0);
	free(c->baseline);
}

static int run_check(struct check *c, const struct settings *s, const struct budget *budget, const char *path)
{
	int status = s->update || s->baselines.n == 0 ? 0 : open_baselines(c, s);
	if (status)
		return status;
	judge_baselines(c, s);
	judge_budget(c, budget, s->budget);
	int verdict = outcome(c);
	status = write_all(c, s);
	if (!status && s->update)
		status = update(c, s, path);
	return status ? status : verdict;
}

static int refuse_options(const struct settings *s)
{
	const char *why = NULL;
	if (s->baselines.n == 0 && !s->budget)
		why = "nothing to check against: --baseline or --budget is needed";
	else if (s->update && s->baselines.n != 1)
		why = "--update-baseline needs exactly one --baseline";
	if (why)
		fprintf(stderr, "mmscope check: %s (mmscope check --help)\n", why);
	return why ? VERB_USAGE : 0;
}

int verb_check(int argc, char **argv)
{
	struct settings s = {.floor_bytes = 4096, .floor_blocks = 16, .floor_percent = 1};
	const struct option_spec options[] = {
		{OPTION_LIST, "baseline", "FILE|DIR", "what is usual; may be given several times", &s.baselines},
		{OPTION_TEXT, "budget", "FILE", "one rule a line: peak.bytes <= 120 MiB", &s.budget},
		{OPTION_FLAG, "update-baseline", NULL, "make this recording the baseline", &s.update},
		OPTION_FORMAT(&s.format),
		{OPTION_TEXT, "junit", "FILE", "write JUnit XML; - is standard output", &s.junit},
		{OPTION_TEXT, "sarif", "FILE", "write SARIF 2.1.0", &s.sarif},
		{OPTION_TEXT, "markdown", "FILE", "write a comment for a merge request", &s.markdown},
		{OPTION_FLAG, "github", NULL, "print annotations for GitHub Actions", &s.github},
		{OPTION_NUMBER, "floor-bytes", "N", "smaller growth is let pass (4096)", &s.floor_bytes},
		{OPTION_NUMBER, "floor-blocks", "N", "the same of blocks and pages (16)", &s.floor_blocks},
		{OPTION_NUMBER, "floor-percent", "N", "of a site: part of the whole program (1)",
			&s.floor_percent},
		{OPTION_FLAG, "all", NULL, "also sites of the loader and the C libraries", &s.all},
		{OPTION_LIST, "suppressions", "FILE", "known leaks, as LeakSanitizer or Valgrind write them",
			&s.suppressions},
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "check",
		.operands = "FILE.db",
		.summary = "Fails when a recording does not keep to its baselines or its budget.",
		.example = "    mmscope check --baseline old/ --budget memory.budget new.db",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	struct budget budget = {NULL};
	struct check c = {.n_rules = 0};
	const char *path;
	int status = options_parse(&spec, argc, argv, &path);
	if (status >= 0)
		return status;
	status = refuse_options(&s);
	if (!status)
		status = judged_read_rules(&s.rules, "check", &s.suppressions);
	if (!status)
		status = load_budget(&budget, s.budget);
	if (!status)
		status = side_open(&c.now, "check", path, &s.rules, s.all);
	if (!status) {
		status = run_check(&c, &s, &budget, path);
		check_done(&c);
		status = side_close(&c.now, status);
	}
	budget_done(&budget);
	suppress_done(&s.rules);
	return status;
}
