/*
 * page_runs.c - the SQL functions page_runs(states) and cow_runs(pages): the blobs
 * of vma_pages and cow_vma as a JSON array of [first page in the area, pages,
 * "state"], absent ones left out; NULL for what is no blob.  Use with
 * json_each.  See mmscope/pages.h.
 */
#include "db.h"

#include "mmscope/pages.h"

static const char *const page_word[] = {"absent", "present", "zero", "swapped", "huge", "before"};
static const char *const cow_word[] = {"none", "shared", "parent", "child", "both"};

static void runs(sqlite3_context *context, sqlite3_value **args, const char *const *word, size_t n_words)
{
	struct mms_page_reader r;
	uint64_t page, n;
	enum mms_page_state state;
	sqlite3_str *text;

	if (sqlite3_value_type(args[0]) != SQLITE_BLOB) {
		sqlite3_result_null(context);
		return;
	}
	text = sqlite3_str_new(NULL);
	mms_pages_begin(&r, sqlite3_value_blob(args[0]), (size_t)sqlite3_value_bytes(args[0]), 0);
	while (mms_pages_next(&r, &page, &n, &state)) {
		if (state == MMS_PAGE_ABSENT || state >= n_words)
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

void db_page_runs(sqlite3_context *context, int n_args, sqlite3_value **args)
{
	(void)n_args;
	runs(context, args, page_word, sizeof(page_word) / sizeof(page_word[0]));
}

void db_cow_runs(sqlite3_context *context, int n_args, sqlite3_value **args)
{
	(void)n_args;
	runs(context, args, cow_word, sizeof(cow_word) / sizeof(cow_word[0]));
}
