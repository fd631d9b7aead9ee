/*
 * check_text.c - a check in words: for a terminal, for a comment in Markdown,
 * as annotations of GitHub Actions, as JSON.
 *
 * Function names and paths come from the target: each form quotes what would
 * have a meaning of its own in it.  Called by check.c; judges nothing.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/alloc.h"
#include "report/check.h"
#include "report/render.h"
#include "report/text.h"

#define SHOWN_FINDINGS 5
#define SHOWN_FRAMES 8

/* ---- sentences ---- */

char *check_rule_text(const struct check *c, const struct check_rule *r)
{
	char value[MEASURE_TEXT], limit[MEASURE_TEXT], usual[MEASURE_TEXT];
	const char *name = measures[r->measure].name;
	if (r->state == CHECK_UNKNOWN && r->value < 0 && r->measure == M_COW_PAGES && c->now.cow_why)
		return xasprintf("%s was not measured in this recording, since not every fork was watched. %s", name,
			c->now.cow_why);
	if (r->state == CHECK_UNKNOWN && r->value < 0)
		return xasprintf("%s was not measured in this recording", name);
	if (r->state == CHECK_UNKNOWN && c->n_baselines == 0)
		return xasprintf("the limit is relative to a baseline, and none was given");
	if (r->state == CHECK_UNKNOWN)
		return xasprintf("%s is not known in every baseline, and the limit is relative to it", name);
	measure_text(value, r->measure, r->value);
	measure_text(limit, r->measure, r->limit);
	if (r->usual < 0)
		return xasprintf("%s is %s, the limit is %s", name, value, limit);
	return xasprintf("%s is %s, the limit is %s (usual: %s, %zu %s)%s", name, value, limit,
		measure_text(usual, r->measure, r->usual), c->n_baselines,
		text_plural(c->n_baselines, "baseline", "baselines"),
		r->state == CHECK_FAILED && !r->total_failed ? "; single sites are beyond theirs" : "");
}

char *check_finding_text(const struct check_rule *r, const struct check_finding *f)
{
	char value[MEASURE_TEXT], limit[MEASURE_TEXT], usual[MEASURE_TEXT];
	enum measure m = r->measure < N_SITE_MEASURES ? r->measure : M_LIVE_BYTES;
	measure_text(value, m, f->value);
	if (f->limit < 0)
		return xasprintf("%s %s from here", value, measures[m].title);
	if (f->is_new)
		return xasprintf("%s %s from a new site", value, measures[m].title);
	return xasprintf("%s %s from here, usual %s, limit %s", value, measures[m].title,
		measure_text(usual, m, f->usual), measure_text(limit, m, f->limit));
}

static bool strip_folder(const char **path, const char *folder)
{
	size_t n = folder ? strlen(folder) : 0;
	while (n && folder[n - 1] == '/')
		n--;
	if (n == 0 || strncmp(*path, folder, n) != 0 || (*path)[n] != '/')
		return false;
	*path += n + 1;
	return true;
}

/* The folder of the project is where CI put it, or where we stand. */
static bool in_project(const char **path)
{
	char cwd[4096];
	return strip_folder(path, getenv("GITHUB_WORKSPACE")) || strip_folder(path, getenv("CI_PROJECT_DIR")) ||
		strip_folder(path, getcwd(cwd, sizeof(cwd))) || **path != '/';
}

const struct capture_frame *check_place(const struct side_site *site, char **ret_path)
{
	const struct capture_frame *any = NULL;
	for (size_t i = 0; i < site->stack->n; i++) {
		const struct capture_frame *f = &site->stack->frames[i];
		const char *path = f->file;
		if (!path || f->line <= 0)
			continue;
		/* Sources of the C library may have relative paths: "./malloc/arena.c". */
		const char *so = f->module ? strstr(f->module, "/lib") : NULL;
		if (in_project(&path) && !(so && *f->file != '/')) {
			*ret_path = xstrdup(path);
			return f;
		}
		any = any ? any : f;
	}
	*ret_path = any ? xstrdup(any->file) : NULL;
	return any;
}

static const char *state_word(enum check_state state)
{
	static const char *const words[] = {"ok", "failed", "unknown"};
	return words[state];
}

/* ---- for a terminal ---- */

static void print_findings(const struct check_rule *r)
{
	for (size_t i = 0; i < r->n_findings && i < SHOWN_FINDINGS; i++) {
		const struct check_finding *f = &r->finding[i];
		char *text = check_finding_text(r, f);
		char *line = xasprintf("%s%s%s", text, f->site->id[0] ? ", site " : "", f->site->id);
		render_paragraph(6, "- ", line);
		free(line);
		render_stack(8, f->site->stack, SHOWN_FRAMES);
		free(text);
	}
	if (r->n_findings > SHOWN_FINDINGS)
		printf("      and %zu more %s\n", r->n_findings - SHOWN_FINDINGS,
			text_plural(r->n_findings - SHOWN_FINDINGS, "site", "sites"));
}

static void print_rule(const struct check *c, const struct check_rule *r)
{
	static const enum render_style styles[] = {STYLE_DIM, STYLE_BAD, STYLE_WARN};
	char *text = check_rule_text(c, r);
	printf("\n%s%-7s%s %s\n", render_style(styles[r->state]), state_word(r->state), render_style(STYLE_PLAIN),
		r->name);
	if (r->file)
		printf("        %s:%d\n", r->file, r->line);
	render_paragraph(8, NULL, text);
	free(text);
	print_findings(r);
}

void check_print_text(struct check *c)
{
	const struct answer_process *p = c->now.a.main;
	char *command = p ? render_command(p->argv, p->n_argv, p->exe, render_width() - 12) : xstrdup("?");
	printf("check of %s\n", command);
	free(command);
	if (c->n_baselines)
		printf("against %zu %s\n", c->n_baselines, text_plural(c->n_baselines, "baseline", "baselines"));
	if (c->now.a.lost_records)
		printf("%llu records were lost: figures are too small\n", (unsigned long long)c->now.a.lost_records);
	for (int state = CHECK_FAILED; state <= CHECK_UNKNOWN; state++)
		for (size_t i = 0; i < c->n_rules; i++)
			if (c->rule[i].state == (enum check_state)state)
				print_rule(c, &c->rule[i]);
	judged_print_rules(&c->now.judged);
	printf("\n%zu of %zu %s failed", c->n_failed, c->n_rules, text_plural(c->n_rules, "rule", "rules"));
	if (c->n_unknown)
		printf(", %zu could not be judged", c->n_unknown);
	printf("\n");
}

/* ---- JSON ---- */

static void known_json(struct json *j, const char *key, int64_t value)
{
	if (value < 0)
		json_null(j, key);
	else
		json_i64(j, key, value);
}

static void amounts_json(struct json *j, int64_t value, int64_t usual, int64_t limit)
{
	known_json(j, "value", value);
	known_json(j, "usual", usual);
	known_json(j, "limit", limit);
}

static void rule_json(struct json *j, const struct check_rule *r)
{
	json_object(j, NULL);
	json_string(j, "rule", r->name);
	json_string(j, "state", state_word(r->state));
	json_string(j, "measure", measures[r->measure].name);
	amounts_json(j, r->value, r->usual, r->limit);
	json_string(j, "file", r->file);
	known_json(j, "line", r->file ? r->line : UNKNOWN);
	json_array(j, "sites");
	for (size_t i = 0; i < r->n_findings; i++) {
		const struct check_finding *f = &r->finding[i];
		json_object(j, NULL);
		json_string(j, "id", f->site->id[0] ? f->site->id : NULL);
		json_bool(j, "new", f->is_new);
		amounts_json(j, f->value, f->usual, f->limit);
		answer_stack_json(j, f->site->stack);
		json_end(j);
	}
	json_end(j);
	json_end(j);
}

void check_print_json(struct check *c)
{
	struct json j;
	answer_head_json(&j, &c->now.a);
	json_u64(&j, "baselines", c->n_baselines);
	json_u64(&j, "failed", c->n_failed);
	json_u64(&j, "unknown", c->n_unknown);
	json_array(&j, "rules");
	for (size_t i = 0; i < c->n_rules; i++)
		rule_json(&j, &c->rule[i]);
	json_end(&j);
	judged_rules_json(&j, &c->now.judged);
	json_finish(&j);
}

/* ---- Markdown ---- */

/* In a table cell and outside of code nothing may be read as markup. */
static void markdown_text(FILE *out, const char *s)
{
	char *clean = text_clean(s);
	for (const char *p = clean; *p; p++) {
		if (strchr("\\`*_{}[]<>#|~&@!", *p))
			fputc('\\', out);
		fputc(*p, out);
	}
	free(clean);
}

/* Code fences: a name cannot close them, control characters are gone. */
static void markdown_stack(FILE *out, const struct capture_stack *s)
{
	size_t n = render_telling_frames(s);
	fprintf(out, "    ```text\n");
	for (size_t i = 0; i < n && i < 2 * SHOWN_FRAMES; i++) {
		char *name = render_frame_name(&s->frames[i], 100), *place = render_frame_place(&s->frames[i], 100);
		fprintf(out, "    %s  %s\n", name, place);
		free(name);
		free(place);
	}
	fprintf(out, "    ```\n");
}

void check_write_markdown(struct check *c, FILE *out)
{
	fprintf(out, "### Memory: %zu of %zu rules failed\n\n", c->n_failed, c->n_rules);
	fprintf(out, "| rule | value | usual | limit | |\n|---|--:|--:|--:|---|\n");
	for (size_t i = 0; i < c->n_rules; i++) {
		const struct check_rule *r = &c->rule[i];
		char value[MEASURE_TEXT], usual[MEASURE_TEXT], limit[MEASURE_TEXT];
		fprintf(out, "| ");
		markdown_text(out, r->name);
		fprintf(out, " | %s | %s | %s | %s%s%s |\n", measure_text(value, r->measure, r->value),
			r->usual < 0 ? "" : measure_text(usual, r->measure, r->usual),
			r->limit < 0 ? "" : measure_text(limit, r->measure, r->limit), r->state ? "**" : "",
			state_word(r->state), r->state ? "**" : "");
	}
	for (size_t i = 0; i < c->n_rules; i++) {
		const struct check_rule *r = &c->rule[i];
		for (size_t k = 0; k < r->n_findings && k < SHOWN_FINDINGS; k++) {
			char *text = check_finding_text(r, &r->finding[k]);
			fprintf(out, "\n* ");
			markdown_text(out, r->name);
			fprintf(out, ": %s\n\n", text);
			markdown_stack(out, r->finding[k].site->stack);
			free(text);
		}
	}
}

/* ---- GitHub Actions ---- */

/* Workflow commands end at a line break; properties also at , and : . */
static void github_text(FILE *out, const char *s, bool property)
{
	for (; *s; s++) {
		if (*s == '%' || *s == '\r' || *s == '\n' || (property && (*s == ',' || *s == ':')))
			fprintf(out, "%%%02X", (unsigned char)*s);
		else
			fputc(*s, out);
	}
}

static void github_annotation(FILE *out, const struct check_rule *r, const struct check_finding *f, const char *text)
{
	char *path = NULL;
	const struct capture_frame *place = f ? check_place(f->site, &path) : NULL;
	fprintf(out, "::%s ", r->state == CHECK_FAILED ? "error" : "warning");
	if (place) {
		fprintf(out, "file=");
		github_text(out, path, true);
		fprintf(out, ",line=%lld,", (long long)place->line);
	}
	fprintf(out, "title=");
	github_text(out, r->name, true);
	fprintf(out, "::");
	github_text(out, text, false);
	if (f) {
		char *chain = render_chain(f->site->stack, 400);
		fprintf(out, "%%0A");
		github_text(out, chain, false);
		free(chain);
	}
	fputc('\n', out);
	free(path);
}

void check_write_github(struct check *c, FILE *out)
{
	for (size_t i = 0; i < c->n_rules; i++) {
		const struct check_rule *r = &c->rule[i];
		if (r->state == CHECK_OK)
			continue;
		char *text = check_rule_text(c, r);
		if (r->n_findings == 0)
			github_annotation(out, r, NULL, text);
		for (size_t k = 0; k < r->n_findings && k < SHOWN_FINDINGS; k++) {
			char *finding = check_finding_text(r, &r->finding[k]);
			char *both = xasprintf("%s. %s", finding, text);
			github_annotation(out, r, &r->finding[k], both);
			free(both);
			free(finding);
		}
		free(text);
	}
}
