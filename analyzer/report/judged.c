/*
 * judged.c - see judged.h.  Called by the verbs leaks, report, html,
 * diff and check.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/judged.h"
#include "report/render.h"
#include "report/text.h"
#include "verbs.h"

const struct evidence *judged_evidence(const struct judged *j, const struct row *row)
{
	return &j->evidence[row->number];
}

bool judged_apart(const struct judged *j, const struct row *row)
{
	return row_is_apart(row) || j->known[row->number];
}

/* ---- rules ---- */

/* A text file of at most 16 MiB, to be freed in any case; 0 or -errno. */
static int read_file(const char *path, char **ret, size_t *ret_size)
{
	FILE *f = fopen(path, "re");
	size_t size = 0, capacity = 4096, n;
	char *text = f ? xmalloc(capacity) : NULL;
	if (!f)
		return -errno;
	errno = 0;
	while ((n = fread(text + size, 1, capacity - size, f)) > 0 && size < (16u << 20)) {
		size += n;
		if (size == capacity)
			text = xrealloc(text, capacity *= 2);
	}
	int error = ferror(f) ? -(errno ? errno : EIO) : n > 0 ? -EFBIG : 0;
	fclose(f);
	*ret = text;
	*ret_size = size;
	return error;
}

int judged_read_rules(struct suppressions *rules, const char *verb, const struct option_list *files)
{
	for (int i = 0; i < files->n; i++) {
		char *text = NULL, *name = text_clean(files->item[i]);
		size_t size = 0;
		struct suppress_error error;
		int r = read_file(files->item[i], &text, &size);
		bool good = r == 0 && suppress_parse(rules, text, size, &error);
		if (r)
			fprintf(stderr, "mmscope %s: %s: %s\n", verb, name, strerror(-r));
		else if (!good)
			fprintf(stderr, "mmscope %s: %s:%zu:%zu: %s\n", verb, name, error.line, error.column, error.what);
		free(text);
		free(name);
		if (!good)
			return VERB_USAGE;
	}
	return VERB_OK;
}

static void take_away(struct row *row, struct verdict_facts *f, enum reach reach, struct suppress_rule *rule)
{
	rule->blocks += f->blocks[reach];
	rule->bytes += f->bytes[reach];
	row->live_blocks -= f->blocks[reach];
	row->live_bytes -= f->bytes[reach];
	f->blocks[reach] = f->bytes[reach] = 0;
}

static void suppress_row(struct judged *j, struct row *row)
{
	struct verdict_facts *f = &j->evidence[row->number].facts;
	struct suppress_rule *last = NULL;
	for (int k = 0; k < N_REACH && j->rules.n; k++) {
		struct suppress_rule *rule = f->blocks[k] ? suppress_find(&j->rules, row->stack, (enum reach)k) : NULL;
		if (!rule)
			continue;
		take_away(row, f, (enum reach)k, rule);
		rule->sites += rule != last;
		last = rule;
	}
}

/* The built-in rule that covers all of the row. */
static struct suppress_rule *known_row(struct judged *j, const struct row *row)
{
	struct suppress_rule *rule =
		suppress_find_all(&j->built_in, row->stack, judged_evidence(j, row)->facts.blocks);
	if (rule) {
		rule->sites++;
		rule->blocks += row->live_blocks;
		rule->bytes += row->live_bytes;
	}
	return rule;
}

void judged_load(struct judged *j, struct answer *a, struct rows *rows)
{
	j->evidence = evidence_load(a, rows);
	j->known = xcalloc(rows->n + 1, sizeof(struct suppress_rule *));
	suppress_built_in(&j->built_in);
	for (size_t i = 0; i < rows->n; i++) {
		struct row *row = &rows->row[i];
		struct evidence *e = &j->evidence[row->number];
		suppress_row(j, row);
		if (row->live_blocks == 0)
			continue;
		j->known[row->number] = known_row(j, row);
		verdict_judge(&e->facts, &e->verdict);
	}
}

void judged_done(struct judged *j)
{
	evidence_free(j->evidence);
	suppress_done(&j->rules);
	suppress_done(&j->built_in);
	free(j->known);
}

/* ---- the rules that were used ---- */

static bool print_rules(const struct suppressions *s, const char *whose, bool headed)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct suppress_rule *rule = &s->rule[i];
		char size[TEXT_NUMBER], n[TEXT_NUMBER];
		if (!rule->sites)
			continue;
		if (!headed)
			render_heading("Suppressed");
		headed = true;
		char *name = text_clean(rule->name);
		char *text = xasprintf("%s %s suppressed by %s%s: %s", text_count(n, rule->sites),
			text_plural(rule->sites, "site", "sites"), whose, name, text_size(size, rule->bytes));
		render_paragraph(2, NULL, text);
		free(text);
		free(name);
	}
	return headed;
}

void judged_print_rules(const struct judged *j)
{
	bool headed = print_rules(&j->rules, "", false);
	print_rules(&j->built_in, "the built-in rule ", headed);
}

static void rules_json(struct json *j, const struct suppressions *s, bool built_in)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct suppress_rule *rule = &s->rule[i];
		if (!rule->sites)
			continue;
		json_object(j, NULL);
		json_string(j, "rule", rule->name);
		json_bool(j, "built_in", built_in);
		json_u64(j, "sites", rule->sites);
		json_u64(j, "blocks", rule->blocks);
		json_u64(j, "bytes", rule->bytes);
		json_end(j);
	}
}

void judged_rules_json(struct json *json, const struct judged *j)
{
	json_array(json, "suppressions");
	rules_json(json, &j->rules, false);
	rules_json(json, &j->built_in, true);
	json_end(json);
}

/* ---- order ---- */

int judged_compare(const struct judged *j, const struct row *a, const struct row *b)
{
	const struct verdict *x = &judged_evidence(j, a)->verdict, *y = &judged_evidence(j, b)->verdict;
	int c = judged_apart(j, a) - judged_apart(j, b);
	if (c == 0)
		c = (int)x->class - (int)y->class;
	if (c == 0)
		c = (y->score > x->score) - (y->score < x->score);
	if (c == 0)
		c = (b->live_bytes > a->live_bytes) - (b->live_bytes < a->live_bytes);
	if (c == 0)
		c = (b->live_blocks > a->live_blocks) - (b->live_blocks < a->live_blocks);
	if (c == 0)
		c = strcmp(a->id, b->id);
	return c ? c : a->number < b->number ? -1 : a->number > b->number;
}

/* ---- totals ---- */

void judged_add(const struct judged *j, const struct row *row, struct judged_totals *t)
{
	const struct verdict_facts *f = &judged_evidence(j, row)->facts;
	for (int k = 0; k < N_REACH; k++) {
		t->blocks[k] += f->blocks[k];
		t->bytes[k] += f->bytes[k];
		t->examined |= k != REACH_UNCLASSIFIED && f->blocks[k];
	}
	t->live_blocks += row->live_blocks;
	t->live_bytes += row->live_bytes;
	t->sites++;
	if (judged_apart(j, row)) {
		t->apart_blocks += row->live_blocks;
		t->apart_bytes += row->live_bytes;
		t->apart_sites++;
	}
}

void judged_reach_json(struct json *j, const struct judged_totals *t)
{
	for (int i = 0; i < N_REACH; i++) {
		json_object(j, reach_word((enum reach)i));
		if (t->examined || i == REACH_UNCLASSIFIED) {
			json_u64(j, "blocks", t->blocks[i]);
			json_u64(j, "bytes", t->bytes[i]);
		} else {
			json_null(j, "blocks");
			json_null(j, "bytes");
		}
		json_end(j);
	}
}
