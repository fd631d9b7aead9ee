/*
 * snapshot.c - mmscope snapshot: a look at a program while it runs, and what
 * changed since an earlier one.
 *
 * On a recording that goes on it asks the collector for one, unless there is
 * one of that name; then, and on a finished database, it shows it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/options.h"
#include "report/session.h"
#include "report/snapshot.h"
#include "report/text.h"
#include "report_sql.h"
#include "verbs.h"

#define PATIENCE_S 600 /* a large heap takes a second for each GiB */
#define AGE_S 5        /* younger blocks may be on their way to where they are kept */

const char *const snapshot_words[N_SNAPSHOT] = {"definite", "indirect", "possible", "reachable", "young"};

static char *maybe(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

static void load_rows(struct snapshot_answer *s)
{
	struct query *q = answer_query(&s->a, sql_snapshots);
	while (answer_row(&s->a, q)) {
		s->row = xrealloc(s->row, (s->n_rows + 1) * sizeof(*s->row));
		s->row[s->n_rows++] = (struct snapshot_row){.id = query_int(q, 0), .name = maybe(query_text(q, 1)),
			.process = answer_find(&s->a, query_int(q, 2)), .t_ns = (uint64_t)query_int(q, 3),
			.method = maybe(query_text(q, 4)), .why = maybe(query_text(q, 5)),
			.pause_ns = (uint64_t)query_int(q, 6), .read_ns = (uint64_t)query_int(q, 7),
			.scan_ns = (uint64_t)query_int(q, 8), .scanned_bytes = (uint64_t)query_int(q, 9),
			.age_ns = (uint64_t)query_int(q, 10), .threads = (uint64_t)query_int(q, 11),
			.stacks_why = maybe(query_text(q, 12))};
	}
	query_close(q);
}

/* NULL names the newest. */
static const struct snapshot_row *find(const struct snapshot_answer *s, const char *name)
{
	for (size_t i = s->n_rows; i-- > 0;)
		if (!name || strcmp(s->row[i].name, name) == 0)
			return &s->row[i];
	return NULL;
}

static int verdict_of(const char *word)
{
	for (int i = 0; word && i < N_SNAPSHOT; i++)
		if (strcmp(word, snapshot_words[i]) == 0)
			return i;
	return SNAPSHOT_YOUNG;
}

static void load_sites(struct snapshot_answer *s)
{
	struct query *q = answer_query(&s->a, sql_snapshot_sites);
	query_bind(q, 1, s->shown->id);
	if (s->against)
		query_bind(q, 2, s->against->id);
	else
		query_bind_null(q, 2);
	while (answer_row(&s->a, q)) {
		s->site = xrealloc(s->site, (s->n_sites + 1) * sizeof(*s->site));
		struct snapshot_site *v = &s->site[s->n_sites++];
		const char *id = query_text(q, 6), *own = query_text(q, 7);
		*v = (struct snapshot_site){.stack = answer_stack(&s->a, query_int(q, 0)),
			.verdict = verdict_of(query_text(q, 1)), .blocks = (uint64_t)query_int(q, 2),
			.bytes = (uint64_t)query_int(q, 3), .old_blocks = (uint64_t)query_int(q, 4),
			.old_bytes = (uint64_t)query_int(q, 5)};
		snprintf(v->id, sizeof(v->id), "%s", id ? id : "");
		snprintf(v->own, sizeof(v->own), "%s", own ? own : "target");
		s->blocks[v->verdict] += v->blocks;
		s->bytes[v->verdict] += v->bytes;
	}
	query_close(q);
}

static void load_rest(struct snapshot_answer *s)
{
	struct query *q = answer_query(&s->a, sql_snapshot_areas);
	query_bind(q, 1, s->shown->id);
	if (s->against)
		query_bind(q, 2, s->against->id);
	else
		query_bind_null(q, 2);
	while (answer_row(&s->a, q) && s->n_areas < sizeof(s->area) / sizeof(s->area[0])) {
		struct snapshot_area *v = &s->area[s->n_areas++];
		snprintf(v->kind, sizeof(v->kind), "%s", query_text(q, 0));
		v->n = (uint64_t)query_int(q, 1);
		v->bytes = (uint64_t)query_int(q, 2);
		v->resident = (uint64_t)query_int(q, 3);
		v->old_n = (uint64_t)query_int(q, 4);
		v->old_bytes = (uint64_t)query_int(q, 5);
		v->old_resident = (uint64_t)query_int(q, 6);
	}
	query_close(q);
	q = answer_query(&s->a, sql_snapshot_frames);
	query_bind(q, 1, s->shown->id);
	while (answer_row(&s->a, q)) {
		s->frame = xrealloc(s->frame, (s->n_frames + 1) * sizeof(*s->frame));
		s->frame[s->n_frames++] = (struct snapshot_frame){.tid = query_int(q, 0), .first = query_int(q, 1) == 0,
			.pc = query_int(q, 2), .function = maybe(query_text(q, 3)), .module = maybe(query_text(q, 4)),
			.offset = query_null(q, 5) ? -1 : query_int(q, 5), .thread = maybe(query_text(q, 6))};
	}
	query_close(q);
}

static void done(struct snapshot_answer *s)
{
	for (size_t i = 0; i < s->n_rows; i++) {
		free(s->row[i].name);
		free(s->row[i].method);
		free(s->row[i].why);
		free(s->row[i].stacks_why);
	}
	for (size_t i = 0; i < s->n_frames; i++) {
		free(s->frame[i].function);
		free(s->frame[i].module);
		free(s->frame[i].thread);
	}
	free(s->row);
	free(s->site);
	free(s->frame);
}

static int complain(const char *path, const char *why)
{
	char *clean = text_clean(path);
	fprintf(stderr, "mmscope snapshot: %s: %s\n", clean, why);
	free(clean);
	return VERB_USAGE;
}

static int show(struct snapshot_answer *s, const char *path, const char *name, const char *against, int format)
{
	int status = answer_open(&s->a, "snapshot", path);
	if (status)
		return status;
	load_rows(s);
	s->shown = find(s, name);
	s->against = against ? find(s, against) : NULL;
	if (!s->shown || (against && !s->against)) {
		done(s);
		answer_close(&s->a, VERB_OK);
		return complain(s->shown ? against : name ? name : path,
			s->n_rows ? "there is no snapshot of this name" : "there is no snapshot in this recording");
	}
	load_sites(s);
	load_rest(s);
	if (format == FORMAT_JSON)
		snapshot_json(s);
	else
		snapshot_text(s);
	done(s);
	return answer_close(&s->a, VERB_OK);
}

/* Is there one of this name?  Without a name: finds one that is free. */
static bool exists(const char *path, const char *name, char free_name[MMS_SNAPSHOT_NAME])
{
	char reason[512];
	struct capture *c;
	size_t n = 1;
	bool found = false;
	if (capture_peek(path, &c, reason, sizeof(reason)) < 0)
		return false; /* whoever asks for one is told why */
	struct query *q = query_open(c, sql_snapshots);
	snprintf(free_name, MMS_SNAPSHOT_NAME, "s%zu", n);
	while (q && query_next(q) > 0) {
		const char *taken = query_text(q, 1);
		found |= name && strcmp(taken, name) == 0;
		if (strcmp(taken, free_name) == 0)
			snprintf(free_name, MMS_SNAPSHOT_NAME, "s%zu", ++n);
	}
	query_close(q);
	capture_close(c);
	return found;
}

/* -1: it is made, under *name; else the exit status. */
static int make(const char *path, const char *name, int64_t pid, int64_t age_s)
{
	struct mms_snapshot_request request = {.request = {.magic = MMS_SESSION_MAGIC,
		.what = MMS_REQUEST_SNAPSHOT, .value = (uint64_t)pid}, .age_ns = (uint64_t)age_s * 1000000000u};
	struct mms_snapshot_reply reply;
	struct session_ask ask = {&request, sizeof(request), &reply, sizeof(reply), PATIENCE_S};
	snprintf(request.name, sizeof(request.name), "%s", name);
	if (!session_ask("snapshot", path, &ask))
		return VERB_USAGE;
	reply.reason[sizeof(reply.reason) - 1] = 0;
	if (reply.id)
		return -1;
	complain(path, reply.reason[0] ? reply.reason : "was not made");
	return VERB_INCOMPLETE;
}

int verb_snapshot(int argc, char **argv)
{
	struct snapshot_answer s = {.limit = -1, .frames = -1};
	int64_t pid = 0, age_s = AGE_S;
	const char *against = NULL, *operand[2];
	char name[MMS_SNAPSHOT_NAME] = "";
	int format = FORMAT_TEXT;
	const struct option_spec options[] = {
		OPTION_FORMAT(&format),
		{OPTION_NUMBER, "process", "PID", "of this process, not the main one", &pid},
		{OPTION_NUMBER, "age", "S", "younger blocks are not judged (5 seconds)", &age_s},
		{OPTION_TEXT, "against", "NAME", "what changed since this snapshot", &against},
		{OPTION_NUMBER, "limit", "N", "sites to show, 0: all", &s.limit},
		{OPTION_NUMBER, "frames", "N", "frames of a stack to show, 0: all", &s.frames},
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "snapshot",
		.operands = "FILE.db [NAME]",
		.summary = "Looks at a program that is being recorded: which of its blocks nothing\n"
			   "points to, where its threads stand. It pauses for a copy of its page\n"
			   "tables alone. Shows what was found, now or in a finished recording.",
		.example = "    mmscope snapshot server.db before\n"
			   "    mmscope snapshot server.db after --against before",
		.options = options,
		.min_operands = 1,
		.max_operands = 2,
		.missing = "no database given",
	};
	int status = options_parse(&spec, argc, argv, operand);
	if (status >= 0)
		return status;
	if (operand[1] && (!operand[1][0] || strlen(operand[1]) >= MMS_SNAPSHOT_NAME))
		return complain(operand[1], "a name has 1 to 63 bytes");
	const char *shown = operand[1];
	if (session_goes_on(operand[0]) && !exists(operand[0], operand[1], name)) {
		shown = shown ? shown : name;
		status = make(operand[0], shown, pid, age_s);
		if (status >= 0)
			return status;
	}
	return show(&s, operand[0], shown, against, format);
}
