/*
 * oom.c - mmscope oom: how close to a limit, how fast, and what can be called
 * in without a further call.
 *
 * Reads and options only; oom_judge.c judges, oom_json.c and oom_text.c write.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/head.h"
#include "report/oom_write.h"
#include "report/options.h"
#include "report/render.h"
#include "report/text.h"
#include "verbs.h"

#define NOTES 3

struct oom_verb {
	struct answer a;
	int format;
	int64_t pid, at_ns;
};

/* "2.5", "2.5s", "150ms", "3min", "1200000ns" after the start; -1: none of it. */
static int64_t parse_time(const char *text)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"", 1e9}, {"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}, {"min", 60e9}, {"h", 3600e9}};
	char *end;
	errno = 0;
	double value = strtod(text, &end);
	if (end == text || errno || !isfinite(value) || value < 0)
		return -1;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].unit) == 0 && value * units[i].ns < 9e18)
			return (int64_t)(value * units[i].ns);
	return -1;
}

/* Growth of sites is shown over the window that the slope was taken from. */
static void load_sites(struct oom_verb *v, const struct oom *o, struct oom_sites *s)
{
	int64_t window = (int64_t)(o->binding->growth.window_s * 1e9);
	int64_t from = window > 0 && window < o->t_ns ? o->t_ns - window : 0;
	oom_sites_load(s, &v->a, o->process, from, o->t_ns);
}

static void process_json(struct json *j, struct oom_verb *v, const struct answer_process *p)
{
	struct oom o;
	struct oom_sites sites;
	answer_process_json(j, p);
	if (oom_judge(&o, &v->a, p, v->at_ns)) {
		load_sites(v, &o, &sites);
		oom_json(j, &o, &sites, &v->a);
		oom_sites_done(&sites);
	}
	oom_done(&o);
}

static bool was_looked_at(struct oom_verb *v, const struct answer_process *p)
{
	struct oom o;
	bool good = oom_judge(&o, &v->a, p, v->at_ns);
	oom_done(&o);
	return good;
}

/* The process asked for; else the main one, or the first that was looked at. */
static const struct answer_process *choose(struct oom_verb *v)
{
	const struct answer_process *p = v->pid ? answer_last_image(&v->a, v->pid) : v->a.main;
	if (!p || v->pid || was_looked_at(v, p))
		return p;
	for (size_t i = 0; i < v->a.n_processes; i++)
		if (was_looked_at(v, &v->a.processes[i]))
			return &v->a.processes[i];
	return p;
}

static void print_json(struct oom_verb *v, const struct answer_process *first)
{
	struct json j;
	answer_head_json(&j, &v->a);
	process_json(&j, v, first);
	json_array(&j, "processes");
	for (size_t i = 0; v->a.n_processes > 1 && i < v->a.n_processes; i++) {
		if (!was_looked_at(v, &v->a.processes[i]))
			continue;
		json_object(&j, NULL);
		process_json(&j, v, &v->a.processes[i]);
		json_end(&j);
	}
	json_end(&j);
	json_finish(&j);
}

static void print_who(const struct answer_process *p)
{
	char *who = answer_who(p, false);
	printf("  %-18s%s\n", "process", who);
	free(who);
}

/* The kernel killed others of this recording: who asks about the main process
 * wants to know that. */
static void print_killed(struct oom_verb *v, const struct answer_process *p)
{
	char time[TEXT_NUMBER];
	bool any = false;
	for (size_t i = 0; i < v->a.n_processes && !v->pid; i++) {
		const struct answer_process *other = &v->a.processes[i];
		struct oom o;
		if (other == p || other->status != SIGKILL || strcmp(other->end, "signal") != 0)
			continue;
		if (oom_judge(&o, &v->a, other, v->at_ns) && o.death.killed) {
			char *who = answer_who(other, false);
			printf("  %-18s%s at %s\n", any ? "" : "killed for memory", who,
				text_duration(time, (uint64_t)other->end_ns));
			free(who);
			any = true;
		}
		oom_done(&o);
	}
	if (any)
		printf("  %-18s--process PID says more\n", "");
}

static void print_text(struct oom_verb *v, const struct answer_process *p)
{
	struct oom o;
	struct oom_sites sites;
	head_print(&v->a);
	putchar('\n');
	oom_judge(&o, &v->a, p, v->at_ns);
	if (v->a.n_processes > 1)
		print_who(p);
	print_killed(v, p);
	load_sites(v, &o, &sites);
	oom_text(&o, &sites, &v->a);
	oom_sites_done(&sites);
	oom_done(&o);
	head_print_coverage(&v->a, NOTES);
}

static int answer(struct oom_verb *v)
{
	if (!answer_has_pid(&v->a, v->pid))
		return answer_refuse(&v->a, "no process with this pid is in the recording");
	const struct answer_process *p = choose(v);
	if (!p || !was_looked_at(v, p))
		return answer_refuse(&v->a, v->at_ns >= 0 ? "nothing was looked at before this time" :
			"it was too short: no limit was looked at");
	if (v->format == FORMAT_JSON)
		print_json(v, p);
	else
		print_text(v, p);
	return answer_close(&v->a, VERB_OK);
}

int verb_oom(int argc, char **argv)
{
	struct oom_verb v = {.format = FORMAT_TEXT, .at_ns = -1};
	const char *at = NULL;
	const struct option_spec options[] = {
		{OPTION_TEXT, "at", "TIME", "judge with what was known then: 90, 1.5s, 250ms, 3min", &at},
		{OPTION_NUMBER, "process", "PID", "the last program of this process", &v.pid},
		OPTION_FORMAT(&v.format),
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "oom",
		.operands = "FILE.db",
		.summary = "Shows the limit that is nearest, what is left of it, how fast that shrinks,\n"
			   "what can be called in without a further call, and, when the kernel killed\n"
			   "the program, why.",
		.example = "    mmscope oom prog.db\n    mmscope oom --at 90s prog.db",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	const char *path;
	int status = options_parse(&spec, argc, argv, &path);
	if (status >= 0)
		return status;
	if (at && (v.at_ns = parse_time(at)) < 0) {
		fprintf(stderr, "mmscope oom: --at: not a time: %s\n", at);
		return VERB_USAGE;
	}
	status = answer_open(&v.a, "oom", path);
	return status ? status : answer(&v);
}
