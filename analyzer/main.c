/*
 * main.c - the mmscope command: finds the verb and calls it.
 *
 * Knows nothing but names: options of a verb are the verb's own affair.
 * A new verb is one line in the table below and its prototype in verbs.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verbs.h"

/* Groups stand in the order of their first verb. */
static const struct verb verbs[] = {
	{"run", "Recording", "record a command and all its children", verb_run},
	{"recover", "Recording", "make a database of a session whose collector died", verb_recover},
	{"symbolize", "Recording", "give names to addresses that had none", verb_symbolize},
	{"ctl", "Recording", "pause, resume, sample, stop a recording that goes on", verb_ctl},
	{"snapshot", "Recording", "what a running program has lost, and where its threads stand", verb_snapshot},
	{"collect", NULL, "the collector; started by run and by the library", verb_collect},
	{"report", "Reading", "one screen: what ran, peak, what was left, what was not seen", verb_report},
	{"leaks", "Reading", "what was not freed at the end, by allocating stack", verb_leaks},
	{"sites", "Reading", "every allocating stack, by peak, live bytes, count, temporaries", verb_sites},
	{"pages", "Reading", "memory asked for, ever used, in memory; what all of it is", verb_pages},
	{"maps", "Reading", "the address space: areas, how full they are, who made them", verb_maps},
	{"cow", "Reading", "forks: what was shared, who broke it, copied against changed", verb_cow},
	{"oom", "Reading", "the nearest limit, what is left, when it is reached, what is owed", verb_oom},
	{"top", "Reading", "what grows now: a live view of a recording that goes on", verb_top},
	{"html", "Reading", "one page with all of it, for a browser", verb_html},
	{"diff", "Comparing", "which sites are new, gone, worse or better in a second recording", verb_diff},
	{"check", "Comparing", "fail when a recording breaks its budget or leaves its baselines", verb_check},
	{"export", "Exporting", "pprof, folded stacks, speedscope, CSV, OpenMetrics, Chrome trace", verb_export},
	{"doctor", "Help", "what this machine allows, and whether a program can be recorded", verb_doctor},
	{NULL},
};

static const struct verb *find_verb(const char *name)
{
	for (const struct verb *v = verbs; v->name; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

static int min3(int a, int b, int c)
{
	int m = a < b ? a : b;
	return m < c ? m : c;
}

/* Levenshtein distance; words longer than the row are not compared. */
static int distance(const char *a, const char *b)
{
	int row[32];
	int n = (int)strlen(b);
	if (n >= 32)
		return 99;
	for (int j = 0; j <= n; j++)
		row[j] = j;
	for (int i = 0; a[i]; i++) {
		int diagonal = row[0];
		row[0] = i + 1;
		for (int j = 1; j <= n; j++) {
			int up = row[j];
			row[j] = min3(up + 1, row[j - 1] + 1, diagonal + (a[i] != b[j - 1]));
			diagonal = up;
		}
	}
	return row[n];
}

/* The listed verb that is at most two typing errors away, or NULL. */
static const char *nearest_verb(const char *name)
{
	const char *best = NULL;
	int best_distance = 3;
	for (const struct verb *v = verbs; v->name; v++) {
		int d = v->group ? distance(name, v->name) : 99;
		if (d < best_distance && 2 * d < (int)strlen(name)) { /* most of it is right */
			best_distance = d;
			best = v->name;
		}
	}
	return best;
}

static int unknown_verb(const char *name)
{
	const char *near = nearest_verb(name);
	if (near)
		fprintf(stderr, "mmscope: unknown verb '%s', did you mean '%s'?\n", name, near);
	else
		fprintf(stderr, "mmscope: unknown verb '%s' (mmscope --help lists them)\n", name);
	return VERB_USAGE;
}

static void print_help(void)
{
	printf("Usage: mmscope VERB [OPTION...] [ARGUMENT...]\n"
	       "\n"
	       "Shows what a program does with its memory: record it, then ask.\n"
	       "\n"
	       "    mmscope run -- CMD...        record CMD and all its children\n"
	       "    mmscope report FILE.db       one screen about what happened\n");
	const char *group = NULL;
	for (const struct verb *v = verbs; v->name; v++) {
		if (!v->group)
			continue;
		if (!group || strcmp(group, v->group) != 0)
			printf("\n%s\n", v->group);
		group = v->group;
		printf("  %-10s %s\n", v->name, v->help);
	}
	printf("\n"
	       "  mmscope VERB --help    options and an example\n"
	       "  mmscope --version      version of program\n");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "mmscope: no verb given (mmscope --help lists them)\n");
		return VERB_USAGE;
	}
	const char *name = argv[1];
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		printf("mmscope %s\n", MMS_VERSION);
		return VERB_OK;
	}
	if (strcmp(name, "help") == 0 && argc > 2) {
		argv[1] = argv[2];
		argv[2] = (char *)"--help";
		name = argv[1];
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_help();
		return VERB_OK;
	}
	const struct verb *v = find_verb(name);
	return v ? v->main(argc - 1, argv + 1) : unknown_verb(name);
}
