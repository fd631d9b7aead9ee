/*
 * leaks.c - mmscope leaks: what was not freed at the end, and what it is.
 *
 * A block that is still live when its process ends is no leak by that: each
 * site gets a class by the evidence there is (verdict.h), and a block that
 * nobody looked for pointers to stays `unclassified`.  Blocks of the loader,
 * of libc's own start-up and of libstdc++'s emergency pool are counted in,
 * but listed apart, as is what a built-in suppression names.
 */
#include <stdlib.h>

#include "report/leaks.h"
#include "report/options.h"
#include "verbs.h"

struct judged_totals leaks_totals(const struct leaks *l, size_t from, size_t to)
{
	struct judged_totals t = {{0}};
	for (size_t i = from; i < to; i++)
		judged_add(&l->judged, &l->rows.row[i], &t);
	return t;
}

static int compare_evidence(const void *left, const void *right, void *arg)
{
	const struct leaks *l = arg;
	return judged_compare(&l->judged, left, right);
}

static void order_by_evidence(struct leaks *l)
{
	rows_sort(&l->rows, &l->a, BY_LIVE);
	for (size_t at = 0, end; at < l->rows.n; at = end) {
		end = rows_process_end(&l->rows, at);
		qsort_r(l->rows.row + at, end - at, sizeof(*l->rows.row), compare_evidence, l);
	}
}

/* Rows of which a rule took all. */
static void leave_out_suppressed(struct leaks *l)
{
	size_t n = 0;
	for (size_t i = 0; i < l->rows.n; i++)
		if (l->rows.row[i].live_blocks)
			l->rows.row[n++] = l->rows.row[i];
	l->rows.n = n;
}

static void load(struct leaks *l)
{
	rows_load(&l->rows, &l->a, true, l->pid);
	judged_load(&l->judged, &l->a, &l->rows);
	leave_out_suppressed(l);
	order_by_evidence(l);
	mappings_load(&l->mappings, &l->a, l->pid);
}

static void done(struct leaks *l)
{
	rows_done(&l->rows);
	judged_done(&l->judged);
	mappings_done(&l->mappings);
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
	status = judged_read_rules(&l.judged.rules, "leaks", &files);
	return status ? status : answer(&l, path, format, generate);
}
