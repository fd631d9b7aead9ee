/*
 * symbolize.c - the verb `symbolize`: names for what had none.
 *
 * For a database that was recorded where debug files were not installed, or
 * read on the machine that has them.  Nothing is asked over the network
 * unless --debuginfod says so.
 */
#include <stdio.h>

#include "report/json.h"
#include "report/options.h"
#include "store/symbolize.h"
#include "verbs.h"

static int print_result(int format, const char *path, const struct symbolize_result *r)
{
	if (format == FORMAT_JSON) {
		struct json j;

		json_begin(&j, stdout);
		json_string(&j, "schema", "mmscope.symbolize/1");
		json_u64(&j, "looked_up", r->n_addresses);
		json_u64(&j, "named", r->n_named);
		json_u64(&j, "without_name", r->n_unnamed);
		json_u64(&j, "files_missing", r->n_missing);
		json_finish(&j);
		return VERB_OK;
	}
	printf("%s: %zu addresses looked up, %zu named; %zu still without a name", path, r->n_addresses,
		r->n_named, r->n_unnamed);
	if (r->n_missing)
		printf(" (%zu files are not here, or are another build)", r->n_missing);
	printf("\n");
	return VERB_OK;
}

int verb_symbolize(int argc, char **argv)
{
	bool debuginfod = false;
	int format = FORMAT_TEXT, status, error;
	struct option_list directories = {{NULL}, 0};
	const struct option_spec options[] = {
		{OPTION_LIST, "debug-dir", "DIR", "also look for debug files under DIR (repeatable)", &directories},
		{OPTION_FLAG, "debuginfod", NULL, "ask the servers in DEBUGINFOD_URLS", &debuginfod},
		OPTION_FORMAT(&format),
		{OPTION_END, NULL, NULL, NULL, NULL},
	};
	const struct verb_spec spec = {
		.name = "symbolize",
		.operands = "FILE.db",
		.summary = "Gives names to addresses that could not be named where FILE.db was recorded.",
		.example = "    mmscope symbolize --debug-dir /srv/debug app.db",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	struct symbolize_result result;
	char reason[256];
	const char *path;

	status = options_parse(&spec, argc, argv, &path);
	if (status >= 0)
		return status;
	error = store_symbolize(path, &(struct symbol_options){directories.item, debuginfod}, &result, reason,
		sizeof(reason));
	if (error) {
		fprintf(stderr, "mmscope symbolize: %s: %s\n", path, reason);
		return VERB_USAGE;
	}
	return print_result(format, path, &result);
}
