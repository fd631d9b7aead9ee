/*
 * page_runs.c - the SQL function page_runs(states): the blob of vma_pages as
 * a JSON array of [first page in the area, pages, "state"], absent ones left
 * out; NULL for what is no blob.  Use with json_each.  See mmscope/pages.h.
 */
#include "db.h"

#include "mmscope/pages.h"

static const char *const word[] = {"absent", "present", "zero", "swapped", "huge", "before"};

void db_page_runs(sqlite3_context *context, int n_args, sqlite3_value **args)
{
	struct mms_page_reader r;
	uint64_t page, n;
	enum mms_page_state state;
	sqlite3_str *text;

	(void)n_args;
	if (sqlite3_value_type(args[0]) != SQLITE_BLOB) {
		sqlite3_result_null(context);
		return;
	}
	text = sqlite3_str_new(NULL);
	mms_pages_begin(&r, sqlite3_value_blob(args[0]), (size_t)sqlite3_value_bytes(args[0]), 0);
	while (mms_pages_next(&r, &page, &n, &state)) {
		if (state == MMS_PAGE_ABSENT || state >= sizeof(word) / sizeof(word[0]))
			continue;
		sqlite3_str_appendf(text, "%s[%llu,%llu,\"%s\"]", sqlite3_str_length(text) ? "," : "[",
			(unsigned long long)page, (unsigned long long)n, word[state]);
	}
	sqlite3_str_appendf(text, "%s]", sqlite3_str_length(text) ? "" : "[");
	char *json = sqlite3_str_finish(text);
	if (json)
		sqlite3_result_text(context, json, -1, sqlite3_free);
	else
		sqlite3_result_error_nomem(context);
}
