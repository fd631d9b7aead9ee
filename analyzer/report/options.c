/*
 * options.c - see options.h.  Own parser: getopt_long takes abbreviations,
 * which would make every new option a change of meaning, and speaks in its
 * own words.  Touches nothing but the values of the table.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/options.h"
#include "report/text.h"
#include "verbs.h"

static int complain(const struct verb_spec *spec, const char *what, const char *about)
{
	char *clean = text_clean(about);
	fprintf(stderr, "mmscope %s: %s '%s' (mmscope %s --help)\n", spec->name, what, clean, spec->name);
	free(clean);
	return VERB_USAGE;
}

static void print_help(const struct verb_spec *spec)
{
	printf("Usage: mmscope %s [OPTION...] %s\n\n%s\n\nOptions:\n", spec->name, spec->operands,
		spec->summary);
	for (const struct option_spec *o = spec->options; o && o->kind; o++) {
		char left[64];
		char letter[] = {'-', o->letter, ',', ' ', 0};
		bool maybe = o->kind == OPTION_CHOICE_MAYBE;
		snprintf(left, sizeof(left), "%s--%s%s%s%s", o->letter ? letter : "", o->name,
			maybe ? "[=" : o->argument ? " " : "", o->argument ? o->argument : "", maybe ? "]" : "");
		if (strlen(left) > 22)
			printf("  %s\n  %-22s  %s\n", left, "", o->help);
		else
			printf("  %-22s  %s\n", left, o->help);
	}
	printf("  %-22s  %s\n\nExample:\n%s\n", "-h, --help", "this text", spec->example);
}

/* Index of value[0..length) among "a|b|c", or -1. */
static int choice_index(const char *choices, const char *value)
{
	size_t length = strlen(value);
	for (int i = 0;; i++) {
		size_t n = strcspn(choices, "|");
		if (n == length && memcmp(choices, value, n) == 0)
			return i;
		if (!choices[n])
			return -1;
		choices += n + 1;
	}
}

static bool parse_number(const char *text, int64_t *ret)
{
	if (*text < '0' || *text > '9')
		return false;
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (errno || *end)
		return false;
	*ret = n;
	return true;
}

static const struct option_spec *find_option(const struct verb_spec *spec, const char *name, size_t n)
{
	for (const struct option_spec *o = spec->options; o && o->kind; o++)
		if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
			return o;
	return NULL;
}

static const struct option_spec *find_letter(const struct verb_spec *spec, char letter)
{
	for (const struct option_spec *o = spec->options; o && o->kind; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

static int set_value(const struct verb_spec *spec, const struct option_spec *o, const char *value)
{
	char what[128];
	if (o->kind == OPTION_LIST) {
		struct option_list *list = o->value;
		if (list->n == OPTION_LIST_MAX)
			return complain(spec, "too many of this option:", value);
		list->item[list->n++] = value;
		return -1;
	}
	if (o->kind == OPTION_TEXT) {
		*(const char **)o->value = value;
		return -1;
	}
	if (o->kind == OPTION_NUMBER) {
		if (parse_number(value, o->value))
			return -1;
		snprintf(what, sizeof(what), "--%s takes a number, not", o->name);
		return complain(spec, what, value);
	}
	int index = choice_index(o->argument, value);
	if (index < 0) {
		snprintf(what, sizeof(what), "--%s is one of %s, not", o->name, o->argument);
		return complain(spec, what, value);
	}
	*(int *)o->value = o->kind == OPTION_CHOICE_MAYBE ? index + 1 : index;
	return -1;
}

/* One "--name", "--name=value", "--name value", "-o value" or "-ovalue".
 * *ret_used: words taken. */
static int parse_option(const struct verb_spec *spec, char **word, int *ret_used)
{
	bool is_long = word[0][1] == '-';
	const char *name = word[0] + 2, *value;
	size_t n = is_long ? strcspn(name, "=") : 0;
	const struct option_spec *o = is_long ? find_option(spec, name, n) : find_letter(spec, word[0][1]);
	value = !name[n] ? NULL : is_long ? name + n + 1 : name;
	*ret_used = 1;
	if (!o)
		return complain(spec, "unknown option", word[0]);
	if (o->kind == OPTION_FLAG) {
		if (value)
			return complain(spec, "option takes no value:", word[0]);
		*(bool *)o->value = true;
		return -1;
	}
	if (o->kind == OPTION_CHOICE_MAYBE && !value) {
		*(int *)o->value = 1;
		return -1;
	}
	if (!value) {
		value = word[1];
		*ret_used = 2;
	}
	if (!value)
		return complain(spec, "option needs a value:", word[0]);
	return set_value(spec, o, value);
}

int options_parse(const struct verb_spec *spec, int argc, char **argv, const char **operands)
{
	int n_operands = 0;
	bool options_end = false;
	for (int i = 0; i < spec->max_operands; i++)
		operands[i] = NULL;
	for (int i = 1; i < argc;) {
		char *word = argv[i];
		bool is_option = !options_end && word[0] == '-' && word[1];
		if (is_option && strcmp(word, "--") == 0) {
			options_end = true;
			i++;
			continue;
		}
		if (is_option && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
			print_help(spec);
			return VERB_OK;
		}
		if (is_option) {
			int used = 1;
			int status = parse_option(spec, argv + i, &used);
			if (status >= 0)
				return status;
			i += used;
			continue;
		}
		if (n_operands == spec->max_operands)
			return complain(spec, "one argument too many:", word);
		operands[n_operands++] = word;
		i++;
	}
	if (n_operands < spec->min_operands) {
		fprintf(stderr, "mmscope %s: %s (mmscope %s --help)\n", spec->name, spec->missing, spec->name);
		return VERB_USAGE;
	}
	return -1;
}
