/*
 * answer.c - opening a database for a verb, and the head of every answer.
 *
 * Reads the processes, their command lines and the coverage notes once; all
 * of them are small.  Messages about the input are printed here and only
 * here: `mmscope VERB: FILE: reason`.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report/alloc.h"
#include "report/answer.h"
#include "report/render.h"
#include "report/text.h"
#include "report_sql.h"
#include "verbs.h"

static void complain(const char *verb, const char *path, const char *reason)
{
	char *clean = text_clean(path);
	fprintf(stderr, "mmscope %s: %s: %s\n", verb, clean, reason);
	free(clean);
}

/* A file that was a database when it was opened and turns out damaged later:
 * nothing said so far can be relied on. */
static _Noreturn void die_damaged(struct answer *a)
{
	fflush(stdout);
	complain(a->verb, capture_path(a->capture), capture_error(a->capture));
	exit(VERB_USAGE);
}

struct query *answer_query(struct answer *a, const char *sql)
{
	struct query *q = query_open(a->capture, sql);
	if (!q)
		die_damaged(a);
	return q;
}

bool answer_row(struct answer *a, struct query *q)
{
	int r = query_next(q);
	if (r < 0)
		die_damaged(a);
	return r > 0;
}

const struct capture_stack *answer_stack(struct answer *a, int64_t id)
{
	const struct capture_stack *stack = capture_stack(a->capture, id);
	if (!stack)
		die_damaged(a);
	return stack;
}

uint64_t answer_processes(const struct answer_process *p)
{
	return p->merged ? p->merged : 1;
}

char *answer_who(const struct answer_process *p, bool base)
{
	const char *name = base ? basename(p->name) : p->name;
	char count[TEXT_NUMBER];
	return p->merged ? xasprintf("%s further %s, merged", text_count(count, p->merged), name)
			 : xasprintf("%s (%lld)", name, (long long)p->pid);
}

static char *text_column(struct query *q, int column)
{
	const char *s = query_text(q, column);
	return xstrdup(s ? s : "?");
}

static void read_process(struct answer_process *p, struct query *q)
{
	int c = 0;
	p->id = query_int(q, c++);
	p->pid = query_int(q, c++);
	p->parent_id = query_int(q, c++);
	p->parent_pid = query_int(q, c++);
	p->exe = text_column(q, c++);
	p->begin = text_column(q, c++);
	p->end = text_column(q, c++);
	p->begin_ns = query_int(q, c++);
	p->end_ns = query_int(q, c++);
	p->status = query_int(q, c++);
	p->peak_bytes = (uint64_t)query_int(q, c++);
	p->peak_ns = (uint64_t)query_int(q, c++);
	p->live_blocks = (uint64_t)query_int(q, c++);
	p->live_bytes = (uint64_t)query_int(q, c++);
	p->alloc_blocks = (uint64_t)query_int(q, c++);
	p->alloc_bytes = (uint64_t)query_int(q, c++);
	p->free_blocks = (uint64_t)query_int(q, c++);
	p->inherited_blocks = (uint64_t)query_int(q, c++);
	p->inherited_bytes = (uint64_t)query_int(q, c++);
	p->inherited_freed = (uint64_t)query_int(q, c++);
	p->unknown_frees = (uint64_t)query_int(q, c++);
	p->failed_allocs = (uint64_t)query_int(q, c++);
	p->lost_records = (uint64_t)query_int(q, c++);
	p->hiwater_rss = query_int(q, c++);
	p->followed = query_int(q, c++) != 0;
	p->merged = (uint64_t)query_int(q, c++);
	if (p->merged && strcmp(p->exe, "?") == 0) {
		free(p->exe);
		p->exe = xstrdup("other programs");
	}
}

static void read_processes(struct answer *a)
{
	struct query *q = answer_query(a, sql_processes);
	while (answer_row(a, q)) {
		XGROW(a->processes, a->n_processes, a->cap_processes);
		struct answer_process *p = &a->processes[a->n_processes++];
		memset(p, 0, sizeof(*p));
		read_process(p, q);
		a->lost_records += p->lost_records;
		a->n_all += answer_processes(p);
		a->any_followed |= p->followed;
	}
	query_close(q);
}

static void read_arguments(struct answer *a)
{
	struct query *q = answer_query(a, sql_arguments);
	while (answer_row(a, q)) {
		struct answer_process *p = (struct answer_process *)answer_find(a, query_int(q, 0));
		p->argv = xrealloc(p->argv, (p->n_argv + 1) * sizeof(*p->argv));
		p->argv[p->n_argv++] = text_column(q, 1);
	}
	query_close(q);
}

/* The first argument where it names the file otherwise than the file system
 * does; what programs put there as a title (a login shell's dash, words) is no
 * name.  A fork that is still its parent's program is called as it is. */
static char *started_as(const struct answer *a, const struct answer_process *p)
{
	const struct answer_process *parent = p->n_argv ? NULL : answer_find(a, p->parent_id);
	if (parent && parent < p && !strcmp(parent->exe, p->exe))
		return xstrdup(parent->name);
	const char *first = p->n_argv ? p->argv[0] : "", *base = basename(first);
	if (!*base || *base == '-' || strpbrk(first, " :") || !strcmp(base, basename(p->exe)))
		return xstrdup(p->exe);
	return xstrdup(first);
}

static void name_processes(struct answer *a)
{
	for (size_t i = 0; i < a->n_processes; i++)
		a->processes[i].name = started_as(a, &a->processes[i]);
}

static void read_estimates(struct answer *a)
{
	for (size_t i = 0; i < a->n_processes; i++) {
		struct answer_process *p = &a->processes[i];
		const struct figures f = {{p->alloc_bytes, p->live_bytes, p->peak_bytes, p->alloc_blocks, p->live_blocks}};
		p->sampled = sampled_whole(a, &f);
	}
	struct query *q = answer_query(a, sql_process_estimates);
	while (answer_row(a, q)) {
		struct answer_process *p = (struct answer_process *)answer_find(a, query_int(q, 0));
		if (p)
			sampled_read(&p->sampled, a, q, 1);
	}
	query_close(q);
}

static void read_pauses(struct answer *a)
{
	struct query *q = answer_query(a, sql_pauses);
	query_bind(q, 1, a->duration_ns);
	if (answer_row(a, q)) {
		a->n_pauses = (uint64_t)query_int(q, 0);
		a->paused_ns = (uint64_t)query_int(q, 1);
	}
	query_close(q);
}

static void read_notes(struct answer *a)
{
	struct query *q = answer_query(a, sql_coverage);
	while (answer_row(a, q)) {
		XGROW(a->notes, a->n_notes, a->cap_notes);
		struct answer_note *n = &a->notes[a->n_notes++];
		n->process = answer_find(a, query_int(q, 0));
		n->kind = text_column(q, 1);
		n->count = query_int(q, 2);
		n->text = text_column(q, 3);
	}
	query_close(q);
}

const struct answer_process *answer_find(const struct answer *a, int64_t id)
{
	size_t low = 0, high = a->n_processes;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (a->processes[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < a->n_processes && a->processes[low].id == id ? &a->processes[low] : NULL;
}

bool answer_has_pid(const struct answer *a, int64_t pid)
{
	for (size_t i = 0; i < a->n_processes; i++)
		if (pid == 0 || (a->processes[i].pid == pid && !a->processes[i].merged))
			return true;
	return false;
}

const struct answer_process *answer_last_image(const struct answer *a, int64_t pid)
{
	const struct answer_process *last = NULL;
	for (size_t i = 0; i < a->n_processes; i++)
		if (a->processes[i].pid == pid && !a->processes[i].merged)
			last = &a->processes[i];
	return last;
}

/* The program that was started: the last image of the first pid, since
 * `env X=1 prog` and `sh -c prog` become prog. */
static const struct answer_process *find_main(const struct answer *a)
{
	const struct answer_process *first = NULL;
	for (size_t i = 0; i < a->n_processes; i++) {
		const struct answer_process *p = &a->processes[i];
		if (!first || (strcmp(p->begin, "start") == 0 && strcmp(first->begin, "start") != 0))
			first = p;
	}
	const struct answer_process *last = first;
	for (size_t i = 0; i < a->n_processes; i++) {
		const struct answer_process *p = &a->processes[i];
		if (last && p->id > last->id && p->pid == last->pid && p->parent_id == last->id &&
			strcmp(p->begin, "exec") == 0 && strcmp(last->end, "exec") == 0)
			last = p;
	}
	return last;
}

/* To the end of the last process; to the last flush where one still runs. */
static int64_t find_duration(struct answer *a)
{
	int64_t end = 0;
	bool running = a->n_processes == 0;
	for (size_t i = 0; i < a->n_processes; i++) {
		if (a->processes[i].end_ns > end)
			end = a->processes[i].end_ns;
		running |= a->processes[i].end_ns < 0;
	}
	int64_t flush = running ? capture_meta_number(a->capture, "last_flush_ns", end) : end;
	return flush > end ? flush : end;
}

int answer_open(struct answer *a, const char *verb, const char *path)
{
	char reason[512];
	memset(a, 0, sizeof(*a));
	a->verb = verb;
	reason[0] = 0;
	int r = capture_open(path, &a->capture, reason, sizeof(reason));
	if (r < 0) {
		complain(verb, path, reason[0] ? reason : strerror(-r));
		return VERB_USAGE;
	}
	read_processes(a);
	read_arguments(a);
	name_processes(a);
	read_notes(a);
	a->main = find_main(a);
	a->duration_ns = find_duration(a);
	const char *mode = capture_meta(a->capture, "mode");
	a->exact = mode && strcmp(mode, "exact") == 0;
	read_pauses(a);
	read_estimates(a);
	return 0;
}

static void free_processes(struct answer *a)
{
	for (size_t i = 0; i < a->n_processes; i++) {
		struct answer_process *p = &a->processes[i];
		for (size_t k = 0; k < p->n_argv; k++)
			free(p->argv[k]);
		free(p->argv);
		free(p->exe);
		free(p->name);
		free(p->begin);
		free(p->end);
	}
	free(a->processes);
	for (size_t i = 0; i < a->n_notes; i++) {
		free(a->notes[i].kind);
		free(a->notes[i].text);
	}
	free(a->notes);
}

int answer_close(struct answer *a, int status)
{
	free_processes(a);
	capture_close(a->capture);
	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout)) {
		complain(a->verb, "standard output", strerror(errno ? errno : EIO));
		return VERB_USAGE;
	}
	return status;
}

int answer_refuse(struct answer *a, const char *why)
{
	bool going_on = capture_state(a->capture) == CAPTURE_RECORDING;
	char *text = xasprintf("%s%s", why, going_on ? " (it is still recorded: ask again)" : "");
	complain(a->verb, capture_path(a->capture), text);
	free(text);
	return answer_close(a, VERB_INCOMPLETE);
}

static const char *state_word(const struct answer *a)
{
	switch (capture_state(a->capture)) {
	case CAPTURE_COMPLETE:
		return "complete";
	case CAPTURE_RECORDING:
		return "recording";
	default:
		return "incomplete";
	}
}

static void number_or_null(struct json *j, const char *key, int64_t value)
{
	if (value < 0)
		json_null(j, key);
	else
		json_i64(j, key, value);
}

static void capture_json(struct json *j, struct answer *a)
{
	struct capture *c = a->capture;
	char started[RENDER_TIME];
	json_object(j, "capture");
	json_string(j, "file", capture_path(c));
	json_string(j, "state", state_word(a));
	json_string(j, "version", capture_meta(c, "version"));
	json_string(j, "mode", capture_meta(c, "mode"));
	number_or_null(j, "sample_bytes", a->exact ? -1 : capture_meta_number(c, "sample_bytes", -1));
	json_string(j, "started", render_time(started, capture_meta_number(c, "start_realtime_ns", -1)));
	json_i64(j, "duration_ns", a->duration_ns);
	json_array(j, "command");
	for (size_t i = 0; a->main && i < a->main->n_argv; i++)
		json_string(j, NULL, a->main->argv[i]);
	json_end(j);
	json_string(j, "exe", a->main ? a->main->exe : NULL);
	number_or_null(j, "pid", a->main ? a->main->pid : -1);
	json_string(j, "cwd", capture_meta(c, "cwd"));
	json_string(j, "host", capture_meta(c, "host"));
	json_string(j, "kernel", capture_meta(c, "kernel"));
	json_u64(j, "processes", a->n_all);
	json_end(j);
}

static void coverage_json(struct json *j, struct answer *a)
{
	uint64_t not_followed = 0, unknown_frees = 0;
	for (size_t i = 0; i < a->n_processes; i++) {
		not_followed += a->processes[i].followed ? 0 : answer_processes(&a->processes[i]);
		unknown_frees += a->processes[i].unknown_frees;
	}
	json_object(j, "coverage");
	json_bool(j, "complete", a->n_notes == 0 && a->lost_records == 0 && not_followed == 0 &&
		capture_state(a->capture) == CAPTURE_COMPLETE);
	json_u64(j, "lost_records", a->lost_records);
	json_u64(j, "unknown_frees", unknown_frees);
	json_u64(j, "processes_not_recorded", not_followed);
	json_array(j, "notes");
	for (size_t i = 0; i < a->n_notes; i++) {
		const struct answer_note *n = &a->notes[i];
		json_object(j, NULL);
		json_string(j, "kind", n->kind);
		json_i64(j, "count", n->count);
		json_string(j, "text", n->text);
		answer_process_json(j, n->process);
		json_end(j);
	}
	json_end(j);
	json_end(j);
}

void answer_begin_json(struct json *j, struct answer *a, FILE *out)
{
	char *schema = xasprintf("mmscope.%s/1", a->verb);
	json_begin(j, out);
	json_string(j, "schema", schema);
	free(schema);
	capture_json(j, a);
	coverage_json(j, a);
}

void answer_head_json(struct json *j, struct answer *a)
{
	answer_begin_json(j, a, stdout);
}

void answer_process_json(struct json *j, const struct answer_process *p)
{
	if (!p) {
		json_null(j, "process");
		return;
	}
	json_object(j, "process");
	number_or_null(j, "pid", p->merged ? -1 : p->pid);
	json_string(j, "exe", p->exe);
	json_i64(j, "id", p->id);
	if (p->merged)
		json_u64(j, "merged", p->merged);
	json_end(j);
}

void answer_stack_json(struct json *j, const struct capture_stack *stack)
{
	json_array(j, "stack");
	for (size_t i = 0; stack && i < stack->n; i++) {
		const struct capture_frame *f = &stack->frames[i];
		json_object(j, NULL);
		json_string(j, "function", f->function);
		json_string(j, "file", f->file);
		number_or_null(j, "line", f->line > 0 ? f->line : -1);
		json_string(j, "module", f->module);
		json_bool(j, "inlined", f->inlined);
		/* Where there is no name this is all there is to know; elsewhere
		 * it would make the answer half as large again. */
		if (!f->function)
			json_address(j, f->module ? "offset" : "address", f->module ? f->offset : f->address);
		if (f->guessed)
			json_bool(j, "guessed", true);
		json_end(j);
	}
	json_end(j);
}
