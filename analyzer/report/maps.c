/*
 * maps.c - mmscope maps: the address space of a process, at the end or at a
 * moment, as a list, as a picture, and as the kernel accounts it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/head.h"
#include "report/options.h"
#include "report/render.h"
#include "report/space.h"
#include "report/text.h"
#include "verbs.h"

struct maps {
	struct answer a;
	int format;
	int64_t pid, limit;
	struct option_list at;
	int64_t at_ns; /* -1: the end */
	const char *snapshot; /* its name; NULL: none */
	struct space_snapshot look;
};

enum unit { BYTES, NUMBER, ADDRESS };

/* One plain sentence for each field; in JSON under the same name. */
static const struct {
	enum mm_field field;
	const char *name;
	enum unit unit;
	const char *text;
} fields[] = {
	{MM_TOTAL, "total_vm", BYTES, "all areas together, in memory or not"},
	{MM_RSS, "rss", BYTES, "in memory now"},
	{MM_HIWATER, "hiwater_rss", BYTES, "the most that was ever in memory"},
	{MM_SWAP, "swap", BYTES, "moved out to swap"},
	{MM_DATA, "data_vm", BYTES, "private and writable, as RLIMIT_DATA counts"},
	{MM_EXEC, "exec_vm", BYTES, "code of the executable"},
	{MM_LIBRARY, "library_vm", BYTES, "code of libraries"},
	{MM_STACK, "stack_vm", BYTES, "the main stack"},
	{MM_LOCKED, "locked_vm", BYTES, "kept in memory by mlock"},
	{MM_PINNED, "pinned_vm", BYTES, "held by devices"},
	{MM_PAGE_TABLE, "page_table_bytes", BYTES, "the kernel's tables for all this"},
	{MM_MAP_COUNT, "map_count", NUMBER, "areas; the kernel refuses more than 65,530"},
	{MM_USERS, "users", NUMBER, "threads that share this address space"},
	{MM_START_CODE, "start_code", ADDRESS, "begin of the executable's code"},
	{MM_END_CODE, "end_code", ADDRESS, "end of it"},
	{MM_START_DATA, "start_data", ADDRESS, "begin of its initialised data"},
	{MM_END_DATA, "end_data", ADDRESS, "end of it"},
	{MM_START_BRK, "start_brk", ADDRESS, "begin of the heap"},
	{MM_BRK, "brk", ADDRESS, "end of the heap, moved by brk and sbrk"},
	{MM_MMAP_BASE, "mmap_base", ADDRESS, "new mappings are placed below this"},
	{MM_START_STACK, "start_stack", ADDRESS, "where the main stack began"},
	{MM_TASK_SIZE, "task_size", ADDRESS, "end of what a process can have"},
};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

static bool load(struct space *s, struct maps *m, const struct answer_process *p)
{
	bool known = space_load(s, &m->a, p, m->at_ns);
	if (m->snapshot)
		space_as_in_snapshot(s, &m->a, &m->look);
	return m->snapshot ? s->n > 0 : known;
}

/* ---- JSON ---- */

static void mm_json(struct json *j, const struct space *s)
{
	if (!s->has_mm) {
		json_null(j, "mm");
		return;
	}
	json_object(j, "mm");
	for (size_t i = 0; i < N_FIELDS; i++) {
		int64_t value = s->mm[fields[i].field];
		if (value < 0)
			json_null(j, fields[i].name);
		else if (fields[i].unit == ADDRESS)
			json_address(j, fields[i].name, (uint64_t)value);
		else
			json_i64(j, fields[i].name, value);
	}
	json_end(j);
}

static void touches_json(struct json *j, const struct space *s, const struct space_area *x)
{
	size_t n;
	const struct space_touch *t = space_touches(s, x->id, &n);
	json_array(j, "history");
	for (size_t i = 0; i < n; i++) {
		json_object(j, NULL);
		json_i64(j, "t_ns", t[i].t_ns);
		json_i64(j, "pages", t[i].pages);
		json_i64(j, "touched", t[i].touched);
		json_end(j);
	}
	json_end(j);
}

static void known(struct json *j, const char *name, int64_t n)
{
	if (n < 0)
		json_null(j, name);
	else
		json_i64(j, name, n);
}

static void area_json(struct json *j, struct answer *a, const struct space *s, const struct space_area *x)
{
	char id[SPACE_ID];
	space_site(a, x->stack_id, id);
	json_object(j, NULL);
	json_address(j, "start", x->start);
	json_address(j, "end", x->end);
	json_string(j, "perms", x->perms);
	if (x->pgoff < 0)
		json_null(j, "pgoff");
	else
		json_i64(j, "pgoff", x->pgoff);
	json_string(j, "kind", x->kind);
	json_string(j, "name", x->name[0] ? x->name : NULL);
	if (x->present < 0) {
		const char *const names[] = {"present", "zero", "swapped", "huge", "touched"};
		for (size_t i = 0; i < 5; i++)
			json_null(j, names[i]);
	} else {
		json_i64(j, "present", x->present);
		known(j, "zero", x->zero);
		json_u64(j, "swapped", x->swapped);
		known(j, "huge", x->huge);
		json_u64(j, "touched", x->touched);
	}
	json_null(j, "shared"); /* with whom a page is shared is not recorded */
	json_string(j, "site", id[0] ? id : NULL);
	json_i64(j, "born_ns", x->born_ns);
	touches_json(j, s, x);
	if (x->stack_id)
		answer_stack_json(j, answer_stack(a, x->stack_id));
	json_end(j);
}

static void drift_json(struct json *j, const struct space *s)
{
	if (s->checks < 0) {
		json_null(j, "drift");
		return;
	}
	json_object(j, "drift");
	json_i64(j, "checks", s->checks);
	json_i64(j, "differences", s->differences);
	json_i64(j, "left_pages", s->left_pages);
	json_i64(j, "missed_calls", s->missed);
	json_array(j, "hidden");
	for (size_t i = 0; i < s->n_hidden; i++) {
		json_object(j, NULL);
		json_string(j, "class", s->hidden[i].class);
		json_i64(j, "count", s->hidden[i].count);
		json_end(j);
	}
	json_end(j);
	json_end(j);
}

static void space_json(struct json *j, struct maps *m, const struct answer_process *p)
{
	struct space s;
	load(&s, m, p);
	answer_process_json(j, p);
	if (s.look_ns < 0)
		json_null(j, "look_ns");
	else
		json_i64(j, "look_ns", s.look_ns);
	mm_json(j, &s);
	json_array(j, "vmas");
	for (size_t i = 0; i < s.n; i++)
		area_json(j, &m->a, &s, &s.area[i]);
	json_end(j);
	drift_json(j, &s);
	space_history_json(j, &m->a, p, m->at_ns);
	space_done(&s);
}

static void print_json(struct maps *m, const struct answer_process *main)
{
	struct json j;
	answer_head_json(&j, &m->a);
	json_string(&j, "snapshot", m->snapshot);
	space_json(&j, m, main);
	json_array(&j, "processes");
	for (size_t i = 0; i < m->a.n_processes; i++) {
		const struct answer_process *p = &m->a.processes[i];
		if (!p->followed || (m->pid && p->pid != m->pid) || (m->snapshot && p != m->look.process))
			continue;
		json_object(&j, NULL);
		space_json(&j, m, p);
		json_end(&j);
	}
	json_end(&j);
	json_finish(&j);
}

/* ---- text ---- */

static void print_fields(const struct space *s)
{
	char size[TEXT_NUMBER], text[TEXT_NUMBER];
	if (!s->has_mm)
		return;
	render_heading("The kernel's account of it");
	for (size_t i = 0; i < N_FIELDS; i++) {
		int64_t value = s->mm[fields[i].field];
		if (value < 0)
			continue;
		if (fields[i].unit == ADDRESS)
			snprintf(text, sizeof(text), "%llx", (unsigned long long)value);
		else if (fields[i].unit == NUMBER)
			text_count(text, (uint64_t)value);
		else
			text_size(text, (uint64_t)value);
		snprintf(size, sizeof(size), "%s", text);
		printf("  %-17s %14s  %s\n", fields[i].name, size, fields[i].text);
	}
}

/* Who made it: the file, the tag, or the call. */
static char *maker(struct answer *a, const struct space_area *x, size_t width)
{
	bool file = x->name[0] && strcmp(x->kind, "file") == 0;
	if (x->stack_id && !file) {
		char *chain = render_chain(answer_stack(a, x->stack_id), width);
		if (chain[0])
			return chain;
		free(chain);
	}
	return x->name[0] ? text_cut_start(x->name, width) : xstrdup("");
}

static const char *number_or(char ret[TEXT_NUMBER], int64_t n)
{
	snprintf(ret, TEXT_NUMBER, n < 0 ? "?" : "%lld", (long long)n);
	return ret;
}

static void print_area(struct maps *m, const struct space_area *x)
{
	char huge[TEXT_NUMBER], zero[TEXT_NUMBER], size[TEXT_NUMBER], present[TEXT_NUMBER] = "?", part[TEXT_NUMBER];
	uint64_t bytes = x->end - x->start;
	char *who = maker(&m->a, x, render_width() - 58);
	if (x->present >= 0)
		snprintf(present, sizeof(present), "%s", text_size(part, (uint64_t)x->present * SPACE_PAGE));
	printf("%12llx %10s %10s %s %-13s %s\n", (unsigned long long)x->start, text_size(size, bytes), present,
		x->perms, x->kind, who);
	if (x->swapped || x->huge > 0 || x->zero > 0)
		printf("%35sof its pages: %llu swapped, %s huge, %s zero\n", "", (unsigned long long)x->swapped,
			number_or(huge, x->huge), number_or(zero, x->zero));
	free(who);
}

static void print_list(struct maps *m, const struct space *s)
{
	render_heading("Areas");
	printf("%s%12s %10s %10s %s %-13s %s%s\n", render_style(STYLE_DIM), "start", "size", "in memory", "perm",
		"kind", "file, or who made it", render_style(STYLE_PLAIN));
	size_t limit = m->limit <= 0 || (size_t)m->limit > s->n ? s->n : (size_t)m->limit;
	for (size_t i = 0; i < limit; i++)
		print_area(m, &s->area[i]);
	if (limit < s->n)
		printf("  and %zu more (--limit 0 shows all)\n", s->n - limit);
}

static void print_drift(const struct space *s)
{
	if (s->checks < 0)
		return;
	render_heading("Followed, and compared with the kernel");
	printf("  compared %lld %s; %lld changes that no recorded call made",
		(long long)s->checks, text_plural((uint64_t)s->checks, "time", "times"), (long long)s->differences);
	for (size_t i = 0; i < s->n_hidden; i++)
		printf("%s%s %lld", i % 4 == 0 ? "\n    " : ", ", s->hidden[i].class, (long long)s->hidden[i].count);
	printf("\n  pages that still differed afterwards: %lld\n", (long long)s->left_pages);
	if (s->missed)
		printf("  calls that could not be followed at once: %lld\n", (long long)s->missed);
}

static void print_space(struct maps *m, const struct answer_process *p)
{
	struct space s;
	char size[TEXT_NUMBER], memory[TEXT_NUMBER], when[TEXT_NUMBER];
	uint64_t bytes = 0, present = 0;
	if (!load(&s, m, p)) {
		head_print_process(p, "its address space was not looked at");
		space_done(&s);
		return;
	}
	for (size_t i = 0; i < s.n; i++) {
		bytes += s.area[i].end - s.area[i].start;
		present += s.area[i].present > 0 ? (uint64_t)s.area[i].present : 0;
	}
	char *text = xasprintf("%s in %zu areas, %s of it in memory", text_size(size, bytes), s.n,
		text_size(memory, present * SPACE_PAGE));
	head_print_process(p, text);
	free(text);
	if (m->snapshot)
		printf("  as snapshot %s found it, %s after the start: writable areas; of the\n"
		       "  others it is not known what was in memory\n",
			m->snapshot, text_duration(when, (uint64_t)m->at_ns));
	else if (m->at_ns >= 0)
		printf("  as it was at the look %s after the start; page counts are those of the\n"
		       "  last look at each area\n",
			s.look_ns < 0 ? "some time" : text_duration(when, (uint64_t)s.look_ns));
	else if (s.from_outside)
		printf("  as it was at the last look, %s after the start\n", text_duration(when, (uint64_t)s.look_ns));
	putchar('\n');
	space_picture(&s);
	print_list(m, &s);
	space_history_print(&m->a, p, m->at_ns);
	space_touches_print(&s);
	print_fields(&s);
	print_drift(&s);
	space_done(&s);
}

static void print_text(struct maps *m, const struct answer_process *main)
{
	head_print(&m->a);
	if (!m->pid || m->snapshot) {
		print_space(m, main);
		if (m->a.n_processes > 1 && !m->snapshot)
			printf("\nOther processes: --process PID shows one.\n");
	}
	for (size_t i = 0; m->pid && !m->snapshot && i < m->a.n_processes; i++)
		if (m->a.processes[i].pid == m->pid && m->a.processes[i].followed)
			print_space(m, &m->a.processes[i]);
	head_print_coverage(&m->a, 5);
}

/* "1.5" or "1.5s": seconds since the start.  -2: not a time. */
static int64_t read_time(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);
	if (end == text || (*end && strcmp(end, "s") != 0) || !isfinite(seconds) || seconds < 0 || seconds > 1e9)
		return -2;
	return (int64_t)(seconds * 1e9);
}

int verb_maps(int argc, char **argv)
{
	struct maps m = {.limit = 0, .at_ns = -1};
	const struct option_spec options[] = {
		{OPTION_LIST, "at", "SECONDS", "at this time after the start; else at the end", &m.at},
		{OPTION_TEXT, "snapshot", "NAME", "as a snapshot found it", &m.snapshot},
		{OPTION_NUMBER, "process", "PID", "this process only", &m.pid},
		{OPTION_NUMBER, "limit", "N", "areas to list, 0: all", &m.limit},
		OPTION_FORMAT(&m.format),
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "maps",
		.operands = "FILE.db",
		.summary = "Shows the address space: where things lie, how full they are, who owns\n"
			   "them, and what the kernel counts.",
		.example = "    mmscope maps --at 1.5 prog.db",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	const char *path;
	int status = options_parse(&spec, argc, argv, &path);
	if (status >= 0)
		return status;
	if (m.at.n && (m.at_ns = read_time(m.at.item[m.at.n - 1])) < 0) {
		fprintf(stderr, "mmscope maps: --at: not a time in seconds: %s\n", m.at.item[m.at.n - 1]);
		return VERB_USAGE;
	}
	status = answer_open(&m.a, "maps", path);
	if (status)
		return status;
	if (!m.a.any_followed)
		return answer_refuse(&m.a, "no process was recorded, so its address space is not known");
	if (!answer_has_pid(&m.a, m.pid))
		return answer_refuse(&m.a, "no process with this pid is in the recording");
	if (m.snapshot && !space_snapshot_find(&m.a, m.snapshot, &m.look)) {
		fprintf(stderr, "mmscope maps: %s: there is no snapshot of this name\n", m.snapshot);
		return answer_close(&m.a, VERB_USAGE);
	}
	m.at_ns = m.snapshot ? m.look.t_ns : m.at_ns;
	const struct answer_process *main = m.snapshot ? m.look.process : m.pid ? answer_last_image(&m.a, m.pid) : m.a.main;
	if (m.format == FORMAT_JSON)
		print_json(&m, main);
	else
		print_text(&m, main);
	return answer_close(&m.a, VERB_OK);
}
