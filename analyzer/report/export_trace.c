/*
 * export_trace.c - Trace Event Format, read by Chrome's tracing page and by
 * Perfetto: processes as slices, changes of the address space as instants,
 * forks as slices with an arrow to the child, ticks as counters.
 *
 * Times are microseconds with three decimals since the start of the recording.
 */
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/export.h"
#include "report/json.h"
#include "report/render.h"
#include "report_sql.h"

static bool is_wanted(const struct export *x, int64_t pid)
{
	return x->pid == 0 || x->pid == pid;
}

static void begin_event(struct json *j, const char *name, const char *phase, int64_t pid, int64_t tid, int64_t t_ns)
{
	json_object(j, NULL);
	json_string(j, "name", name);
	json_string(j, "ph", phase);
	json_i64(j, "pid", pid);
	json_i64(j, "tid", tid);
	json_thousandths(j, "ts", t_ns);
}

static void name_event(struct json *j, const char *what, int64_t pid, int64_t tid, const char *name)
{
	json_object(j, NULL);
	json_string(j, "name", what);
	json_string(j, "ph", "M");
	json_i64(j, "pid", pid);
	json_i64(j, "tid", tid);
	json_object(j, "args");
	json_string(j, "name", name);
	json_end(j);
	json_end(j);
}

static void process_events(struct json *j, const struct export *x, const struct answer_process *p)
{
	int64_t end = p->end_ns >= 0 ? p->end_ns : x->a.duration_ns;
	char *command = render_command(p->argv, p->n_argv, p->exe, 200);
	name_event(j, "process_name", p->pid, p->pid, p->name);
	begin_event(j, command, "X", p->pid, p->pid, p->begin_ns);
	json_string(j, "cat", "process");
	json_thousandths(j, "dur", end > p->begin_ns ? end - p->begin_ns : 0);
	json_object(j, "args");
	json_string(j, "begin", p->begin);
	json_string(j, "end", p->end);
	json_u64(j, "peak_bytes", p->peak_bytes);
	json_u64(j, "live_bytes", p->live_bytes);
	json_end(j);
	json_end(j);
	free(command);
}

static void thread_events(struct json *j, struct export *x)
{
	struct query *q = answer_query(&x->a, sql_trace_threads);
	while (answer_row(&x->a, q))
		if (is_wanted(x, query_int(q, 1)))
			name_event(j, "thread_name", query_int(q, 1), query_int(q, 2), query_text(q, 3));
	query_close(q);
}

static void vm_events(struct json *j, struct export *x)
{
	static const char *const numbers[] = {"length2", "prot", "flags", "fd", "offset"};
	struct query *q = answer_query(&x->a, sql_trace_events);
	while (answer_row(&x->a, q)) {
		if (!is_wanted(x, query_int(q, 1)))
			continue;
		begin_event(j, query_text(q, 4), "i", query_int(q, 1), query_int(q, 2), query_int(q, 3));
		json_string(j, "cat", "vm");
		json_string(j, "s", "t");
		json_object(j, "args");
		json_address(j, "address", (uint64_t)query_int(q, 5));
		json_i64(j, "length", query_int(q, 6));
		if (!query_null(q, 7))
			json_address(j, "address2", (uint64_t)query_int(q, 7));
		for (int i = 0; i < 5; i++)
			if (!query_null(q, 8 + i))
				json_i64(j, numbers[i], query_int(q, 8 + i));
		json_end(j);
		json_end(j);
	}
	query_close(q);
}

static void arrow(struct json *j, const char *phase, int64_t pid, int64_t tid, int64_t t_ns, int64_t id)
{
	begin_event(j, "fork", phase, pid, tid, t_ns);
	json_string(j, "cat", "fork");
	json_i64(j, "id", id);
	if (*phase == 'f')
		json_string(j, "bp", "e");
	json_end(j);
}

static void fork_events(struct json *j, struct export *x)
{
	static const char *const pages[] = {"pages_shared", "parent_broke", "child_broke", "both_broke", "copies"};
	struct query *q = answer_query(&x->a, sql_trace_forks);
	while (answer_row(&x->a, q)) {
		int64_t pid = query_int(q, 1), tid = query_int(q, 2), t_ns = query_int(q, 3);
		if (!is_wanted(x, pid))
			continue;
		begin_event(j, query_text(q, 5), "X", pid, tid, t_ns);
		json_string(j, "cat", "fork");
		json_thousandths(j, "dur", query_int(q, 4));
		json_object(j, "args");
		if (!query_null(q, 7))
			json_i64(j, "child", query_int(q, 7));
		for (int i = 0; i < 5; i++)
			if (!query_null(q, 9 + i))
				json_i64(j, pages[i], query_int(q, 9 + i));
		json_end(j);
		json_end(j);
		if (query_null(q, 7) || query_null(q, 8) || x->pid)
			continue;
		arrow(j, "s", pid, tid, t_ns, query_int(q, 6));
		arrow(j, "f", query_int(q, 7), query_int(q, 7), query_int(q, 8), query_int(q, 6));
	}
	query_close(q);
}

/* What the kernel did not tell is left out: a counter has no null. */
static void counter(struct json *j, struct query *q, const char *name, int first, const char *const *series, int n)
{
	bool any = false;
	for (int i = 0; i < n; i++)
		any |= !query_null(q, first + i);
	if (!any)
		return;
	begin_event(j, name, "C", query_int(q, 1), query_int(q, 1), query_int(q, 2));
	json_object(j, "args");
	for (int i = 0; i < n; i++)
		if (!query_null(q, first + i))
			json_i64(j, series[i], query_int(q, first + i));
	json_end(j);
	json_end(j);
}

static void tick_events(struct json *j, struct export *x)
{
	static const char *const live[] = {"live"}, *const rss[] = {"rss", "shared"}, *const size[] = {"size"},
			  *const faults[] = {"minor", "major"};
	struct query *q = answer_query(&x->a, sql_trace_ticks);
	while (answer_row(&x->a, q)) {
		if (!is_wanted(x, query_int(q, 1)))
			continue;
		counter(j, q, "live heap (bytes)", 3, live, 1);
		counter(j, q, "resident (bytes)", 4, rss, 2);
		counter(j, q, "address space (bytes)", 6, size, 1);
		counter(j, q, "page faults", 7, faults, 2);
	}
	query_close(q);
}

/* Pages that each side of a fork broke so far. */
static void cow_events(struct json *j, struct export *x)
{
	static const char *const sides[] = {"parent", "child"};
	struct query *q = answer_query(&x->a, sql_trace_cow);
	while (answer_row(&x->a, q)) {
		if (!is_wanted(x, query_int(q, 1)))
			continue;
		char *name = xasprintf("fork %lld: broken pages", (long long)query_int(q, 0));
		counter(j, q, name, 3, sides, 2);
		free(name);
	}
	query_close(q);
}

void export_trace(struct export *x, FILE *out)
{
	struct json j;
	json_begin(&j, out);
	json_string(&j, "displayTimeUnit", "ms");
	json_object(&j, "otherData");
	json_string(&j, "producer", "mmscope " MMS_VERSION);
	json_string(&j, "host", capture_meta(x->a.capture, "host"));
	json_string(&j, "start", capture_meta(x->a.capture, "start"));
	json_end(&j);
	json_array(&j, "traceEvents");
	for (size_t i = 0; i < x->a.n_processes; i++)
		if (is_wanted(x, x->a.processes[i].pid))
			process_events(&j, x, &x->a.processes[i]);
	thread_events(&j, x);
	vm_events(&j, x);
	fork_events(&j, x);
	cow_events(&j, x);
	tick_events(&j, x);
	json_end(&j);
	json_finish(&j);
}
