/*
 * site_rows.c - rows of `site`: the stable id of every stack that something
 * refers to.
 *
 * Called by frames.c once frames are there.  A stack's chain of nodes becomes
 * its chain of frames (inlined ones included), of which symbol/site_id.c makes
 * id, title and owner.  Stack 0, "not captured", has a site of its own, so
 * that every row of heap_site has an id.
 */
#include "frames.h"

#include "chains.h"
#include "db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE_FUNCTIONS 3
#define TITLE_FUNCTION_MAX 80

struct sites {
	sqlite3 *db;
	struct chains chains;
	struct site_part parts[CHAIN_MAX];
	const struct chain_frame *chain[CHAIN_MAX];
	size_t n;
};

/* A function's name without its parameters, short enough for a list. */
static void short_name(const char *function, const char *module, char *out)
{
	const char *name = function ? function : module ? module : "?";
	const char *slash = function ? NULL : strrchr(name, '/');
	size_t length;

	name = slash ? slash + 1 : name;
	length = strcspn(name, "(");
	/* "operator()(int)" and "(anonymous namespace)::f(int)" keep their parentheses */
	if (length == 0 || (length >= 8 && !strncmp(name + length - 8, "operator", 8)))
		length = strlen(name);
	if (length > TITLE_FUNCTION_MAX)
		snprintf(out, TITLE_FUNCTION_MAX + 4, "%.*s...", TITLE_FUNCTION_MAX, name);
	else
		snprintf(out, TITLE_FUNCTION_MAX + 4, "%.*s", (int)length, name);
}

static void load_chain(struct sites *s, size_t node)
{
	const struct chains *c = &s->chains;

	s->n = 0;
	for (size_t steps = 0; node && node < c->n_nodes && steps < CHAIN_MAX; steps++) {
		const struct chain_frame *frame = chain_frame(c, c->nodes[node].frame);

		for (; frame && s->n < CHAIN_MAX; frame = chain_frame(c, frame->outer)) {
			if (s->n && frame->part.owner == SITE_MMSCOPE)
				continue; /* called the real pthread_create, dlopen */
			s->chain[s->n] = frame;
			s->parts[s->n++] = frame->part;
		}
		node = c->nodes[node].parent;
	}
}

static void title_of(const struct sites *s, char *out, size_t room)
{
	size_t first = site_first(s->parts, s->n), at = 0;

	snprintf(out, room, "%s", s->n ? "" : "(no stack captured)");
	for (size_t i = first; i < s->n && i < first + TITLE_FUNCTIONS && at < room; i++) {
		char name[TITLE_FUNCTION_MAX + 4];

		short_name(s->chain[i]->function, s->chain[i]->module, name);
		at += (size_t)snprintf(out + at, room - at, "%s%s", i == first ? "" : " < ", name);
	}
}

static int add_site(struct sites *s, sqlite3_stmt *insert, sqlite3_stmt *set, int64_t stack)
{
	char stable[17], title[TITLE_FUNCTIONS * (TITLE_FUNCTION_MAX + 8)];
	struct row r = row_of(insert);
	int code;

	load_chain(s, (size_t)stack);
	snprintf(stable, sizeof(stable), "%016" PRIx64, site_hash(s->parts, s->n));
	title_of(s, title, sizeof(title));
	row_text(&r, stable);
	row_text(&r, title);
	row_text(&r, site_owner_word(site_owner(s->parts, s->n)));
	code = row_run(&r);
	if (code != SQLITE_OK)
		return -EIO;
	r = row_of(set);
	row_text(&r, stable);
	row_int(&r, (uint64_t)stack);
	return row_run(&r) == SQLITE_OK ? 0 : -EIO;
}

static int add_all(struct sites *s)
{
	sqlite3_stmt *list = NULL, *insert = NULL, *set = NULL;
	int error = 0, code;

	code = sqlite3_prepare_v2(s->db, "SELECT stack_id FROM (SELECT DISTINCT stack_id FROM heap_site)"
		" UNION SELECT stack_id FROM vm_event"
		" UNION SELECT stack_id FROM fork UNION SELECT stack_id FROM cow_site UNION SELECT stack_id FROM cow_vma"
		" UNION SELECT stack_id FROM snapshot_site"
		" ORDER BY 1", -1, &list, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(s->db, "INSERT OR IGNORE INTO site (stable, title, own) VALUES (?,?,?)",
			-1, &insert, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(s->db, "UPDATE stack SET site_id = (SELECT id FROM site WHERE stable = ?)"
			" WHERE id = ?", -1, &set, NULL);
	while (code == SQLITE_OK && !error && sqlite3_step(list) == SQLITE_ROW)
		error = add_site(s, insert, set, sqlite3_column_int64(list, 0));
	sqlite3_finalize(list);
	sqlite3_finalize(insert);
	sqlite3_finalize(set);
	return code == SQLITE_OK ? error : -EIO;
}

int frames_sites(sqlite3 *db)
{
	struct sites *s = calloc(1, sizeof(*s));
	char set_none[256];
	int error;

	if (!s)
		return -ENOMEM;
	s->db = db;
	error = db_exec(db, "UPDATE stack SET site_id = NULL WHERE site_id IS NOT NULL;"
		"UPDATE heap_site SET site_id = NULL WHERE site_id IS NOT NULL;"
		"UPDATE cow_site SET site_id = NULL WHERE site_id IS NOT NULL;"
		"DELETE FROM site") == SQLITE_OK ? 0 : -EIO;
	if (!error)
		error = chains_load(db, &s->chains);
	if (!error)
		error = add_all(s);
	snprintf(set_none, sizeof(set_none), "UPDATE heap_site SET site_id = coalesce("
		"(SELECT site_id FROM stack WHERE id = stack_id),"
		"(SELECT id FROM site WHERE stable = '%016" PRIx64 "'))", site_hash(NULL, 0));
	if (!error && (db_exec(db, set_none) != SQLITE_OK || db_exec(db, "UPDATE cow_site SET site_id ="
		" (SELECT site_id FROM stack WHERE id = stack_id) WHERE stack_id <> 0") != SQLITE_OK))
		error = -EIO;
	chains_done(&s->chains);
	free(s);
	return error;
}
