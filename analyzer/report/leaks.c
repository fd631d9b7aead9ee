/*
 * leaks.c - mmscope leaks: what was not freed at the end, and what it is.
 *
 * A block that is still live when its process ends is no leak by that: each
 * site gets a class by the evidence there is (verdict.h), and a block that
 * nobody looked for pointers to stays `unclassified`.  Blocks of the loader,
 * of libc's own start-up and of libstdc++'s emergency pool are counted in,
 * but listed apart, as is what a built-in suppression names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/leaks.h"
#include "report/options.h"
#include "report/text.h"
#include "verbs.h"

const struct evidence *leaks_evidence(const struct leaks *l, const struct row *row)
{
	return &l->evidence[row->number];
}

bool leaks_apart(const struct leaks *l, const struct row *row)
{
	return row_is_apart(row) || l->known[row->number];
}

struct leak_totals leaks_totals(const struct leaks *l, size_t from, size_t to)
{
	struct leak_totals t = {{0}};
	for (size_t i = from; i < to; i++) {
		const struct row *row = &l->rows.row[i];
		const struct verdict_facts *f = &leaks_evidence(l, row)->facts;
		for (int k = 0; k < N_REACH; k++) {
			t.blocks[k] += f->blocks[k];
			t.bytes[k] += f->bytes[k];
			t.examined |= k != REACH_UNCLASSIFIED && f->blocks[k];
		}
		t.live_blocks += row->live_blocks;
		t.live_bytes += row->live_bytes;
		t.sites++;
		if (leaks_apart(l, row)) {
			t.apart_blocks += row->live_blocks;
			t.apart_bytes += row->live_bytes;
			t.apart_sites++;
		}
	}
	return t;
}

/* ---- suppressions ---- */

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

static int load_rules(struct leaks *l, const struct option_list *files)
{
	for (int i = 0; i < files->n; i++) {
		char *text = NULL, *name = text_clean(files->item[i]);
		size_t size = 0;
		struct suppress_error error;
		int r = read_file(files->item[i], &text, &size);
		bool good = r == 0 && suppress_parse(&l->rules, text, size, &error);
		if (r)
			fprintf(stderr, "mmscope leaks: %s: %s\n", name, strerror(-r));
		else if (!good)
			fprintf(stderr, "mmscope leaks: %s:%zu:%zu: %s\n", name, error.line, error.column, error.what);
		free(text);
		free(name);
		if (!good)
			return VERB_USAGE;
	}
	suppress_built_in(&l->built_in);
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

static void suppress_row(struct leaks *l, struct row *row)
{
	struct verdict_facts *f = &l->evidence[row->number].facts;
	struct suppress_rule *last = NULL;
	for (int k = 0; k < N_REACH && l->rules.n; k++) {
		struct suppress_rule *rule = f->blocks[k] ? suppress_find(&l->rules, row->stack, (enum reach)k) : NULL;
		if (!rule)
			continue;
		take_away(row, f, (enum reach)k, rule);
		rule->sites += rule != last;
		last = rule;
	}
}

/* The built-in rule that covers all of the row. */
static struct suppress_rule *known_row(struct leaks *l, const struct row *row)
{
	struct suppress_rule *rule =
		suppress_find_all(&l->built_in, row->stack, leaks_evidence(l, row)->facts.blocks);
	if (rule) {
		rule->sites++;
		rule->blocks += row->live_blocks;
		rule->bytes += row->live_bytes;
	}
	return rule;
}

static void suppress_all(struct leaks *l)
{
	size_t n = 0;
	for (size_t i = 0; i < l->rows.n; i++) {
		struct row *row = &l->rows.row[i];
		suppress_row(l, row);
		if (row->live_blocks == 0)
			continue;
		l->known[row->number] = known_row(l, row);
		l->rows.row[n++] = *row;
	}
	l->rows.n = n;
}

/* ---- order ---- */

static int compare_evidence(const void *left, const void *right, void *arg)
{
	const struct row *a = left, *b = right;
	const struct leaks *l = arg;
	const struct verdict *x = &leaks_evidence(l, a)->verdict, *y = &leaks_evidence(l, b)->verdict;
	int c = leaks_apart(l, a) - leaks_apart(l, b);
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

static void order_by_evidence(struct leaks *l)
{
	rows_sort(&l->rows, &l->a, BY_LIVE);
	for (size_t at = 0, end; at < l->rows.n; at = end) {
		end = rows_process_end(&l->rows, at);
		qsort_r(l->rows.row + at, end - at, sizeof(*l->rows.row), compare_evidence, l);
	}
}

static void load(struct leaks *l)
{
	rows_load(&l->rows, &l->a, true, l->pid);
	l->evidence = evidence_load(&l->a, &l->rows);
	l->known = xcalloc(l->rows.n ? l->rows.n : 1, sizeof(struct suppress_rule *));
	suppress_all(l);
	for (size_t i = 0; i < l->rows.n; i++) {
		struct evidence *e = &l->evidence[l->rows.row[i].number];
		verdict_judge(&e->facts, &e->verdict);
	}
	order_by_evidence(l);
	mappings_load(&l->mappings, &l->a, l->pid);
}

static void done(struct leaks *l)
{
	rows_done(&l->rows);
	evidence_free(l->evidence);
	mappings_done(&l->mappings);
	suppress_done(&l->rules);
	suppress_done(&l->built_in);
	free(l->known);
}

static int answer(struct leaks *l, const char *path, int format, int generate)
{
	int status = answer_open(&l->a, "leaks", path);
	if (status)
		return status;
	if (!l->a.any_followed)
		return answer_refuse(&l->a, "no process was recorded, so its blocks are not known");
	if (!answer_has_pid(&l->a, l->pid))
		return answer_refuse(&l->a, "no process with this pid is in the recording");
	load(l);
	if (generate)
		leaks_suppressions(l, generate == 2);
	else if (format == FORMAT_JSON)
		leaks_json(l);
	else
		leaks_text(l);
	done(l);
	return answer_close(&l->a, VERB_OK);
}

int verb_leaks(int argc, char **argv)
{
	struct leaks l = {.limit = -1, .frames = -1};
	struct option_list files = {.n = 0};
	int format = FORMAT_TEXT, generate = 0;
	const struct option_spec options[] = {
		OPTION_FORMAT(&format),
		{OPTION_NUMBER, "limit", "N", "sites of a process to show, 0: all", &l.limit},
		{OPTION_NUMBER, "process", "PID", "this process only", &l.pid},
		{OPTION_NUMBER, "frames", "N", "frames of a stack to show, 0: all", &l.frames},
		{OPTION_LIST, "suppressions", "FILE", "known leaks, as LeakSanitizer or Valgrind write them", &files},
		{OPTION_CHOICE_MAYBE, "gen-suppressions", "lsan|valgrind", "write rules for what is shown instead", &generate},
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "leaks",
		.operands = "FILE.db",
		.summary = "Lists what was allocated and not freed when each process ended,\n"
			   "by allocating stack, what leaks for certain first.",
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
	status = load_rules(&l, &files);
	return status ? status : answer(&l, path, format, generate);
}
