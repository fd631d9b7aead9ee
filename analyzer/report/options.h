/*
 * options.h - options of the analysis verbs, described once: the parser and
 * `--help` are made from the same table.
 */
#ifndef REPORT_OPTIONS_H
#define REPORT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum option_kind {
	OPTION_END = 0,
	OPTION_FLAG,   /* bool *value */
	OPTION_NUMBER, /* int64_t *value, 0 or more */
	OPTION_CHOICE, /* int *value: index in `choices` */
	OPTION_CHOICE_MAYBE, /* int *value: index + 1; without =VALUE the first; 0 where not given */
	OPTION_TEXT,   /* const char **value; the last one given counts */
	OPTION_LIST,   /* struct option_list *value: may be given several times */
};

#define OPTION_LIST_MAX 15
struct option_list {
	const char *item[OPTION_LIST_MAX + 1]; /* NULL-ended */
	int n;
};

struct option_spec {
	enum option_kind kind;
	const char *name;     /* without the dashes */
	const char *argument; /* as shown: "N"; a choice: "peak|live|count" */
	const char *help;
	void *value; /* holds the default before the call */
	char letter; /* 'o': -o is the same; 0: none */
};

struct verb_spec {
	const char *name;
	const char *operands; /* as shown: "FILE.db" */
	const char *summary;  /* one or more lines */
	const char *example;  /* lines, each indented by four spaces */
	const struct option_spec *options; /* --help and -h are added */
	int min_operands, max_operands;
	const char *missing; /* said when there are too few: "no database given" */
};

/* Reads options wherever they stand; "--" ends them.  Operands are moved to
 * operands[0..max_operands), the rest is NULL.  Returns -1 to go on, else the
 * exit status: help was printed, or one line of complaint. */
int options_parse(const struct verb_spec *spec, int argc, char **argv, const char **operands);

/* --format text|json; the value is an int. */
enum { FORMAT_TEXT, FORMAT_JSON };
#define OPTION_FORMAT(value)                                                                       \
	{                                                                                          \
		OPTION_CHOICE, "format", "text|json", "for people, or for programs", value         \
	}

#endif
