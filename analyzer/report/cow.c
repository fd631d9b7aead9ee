/*
 * cow.c - mmscope cow: what each fork shared, who broke it, by which site, and
 * whether it was worth it.
 */
#include "report/cow.h"
#include "report/head.h"
#include "report/options.h"
#include "verbs.h"

#define DEFAULT_ROWS 5

static const struct cow_fork *fork_of(const struct cow *c, int64_t id)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->fork[i].id == id)
			return &c->fork[i];
	return NULL;
}

int verb_cow(int argc, char **argv)
{
	int format = FORMAT_TEXT;
	int64_t only = 0, limit = -1;
	const struct option_spec options[] = {
		{OPTION_NUMBER, "fork", "N", "this fork only", &only},
		{OPTION_NUMBER, "limit", "N", "forks, areas and sites to show, 0: all", &limit},
		OPTION_FORMAT(&format),
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "cow",
		.operands = "FILE.db",
		.summary = "Shows for each fork how much memory it shared, which side broke it, by\n"
			   "area and by allocating site, and what was copied for what was changed.",
		.example = "    mmscope cow --fork 1 prog.db",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	const char *path;
	struct answer a;
	struct cow c;
	int status = options_parse(&spec, argc, argv, &path);
	if (status >= 0)
		return status;
	status = answer_open(&a, "cow", path);
	if (status)
		return status;
	if (!a.any_followed)
		return answer_refuse(&a, "no process was recorded, so its forks are not known");
	cow_load(&c, &a);
	const struct cow_fork *f = only ? fork_of(&c, only) : NULL;
	if (only && !f) {
		cow_done(&c);
		return answer_refuse(&a, "no fork has this number");
	}
	if (format == FORMAT_JSON) {
		cow_json(&a, &c, f, limit < 0 ? 0 : (size_t)limit);
	} else {
		head_print(&a);
		cow_text(&a, &c, f, limit < 0 ? DEFAULT_ROWS : (size_t)limit);
		head_print_coverage(&a, 5);
	}
	cow_done(&c);
	return answer_close(&a, VERB_OK);
}
