/*
 * doctor.c - mmscope doctor: why a recording would be refused or incomplete.
 *
 * Asks the machine (machine.c), looks for the library, and judges the program
 * that is given with the same check that `run` makes.  Records nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collect/elf_check.h"
#include "collect/run.h"
#include "report/alloc.h"
#include "report/doctor.h"
#include "report/json.h"
#include "report/options.h"
#include "report/render.h"
#include "report/text.h"
#include "verbs.h"

struct doctor {
	struct check check[MACHINE_CHECKS + 2];
	size_t n;
	const char *command; /* as given; NULL: none */
	struct elf_check elf;
	bool refused; /* the program would not be recorded */
};

static const char *state_word(enum check_state state)
{
	static const char *const words[] = {"ok", "limited", "refused"};
	return words[state];
}

static void check_library(struct check *c)
{
	static struct run_library library;
	int r = run_find_library(&library);
	c->name = "library";
	c->state = r == 0 ? CHECK_OK : CHECK_REFUSED;
	if (r == 0)
		snprintf(c->text, sizeof(c->text), "%.180s", library.plain);
	else
		snprintf(c->text, sizeof(c->text), "libmmscope.so was not found beside this program");
}

static enum check_state elf_state(enum elf_kind kind)
{
	if (kind == ELF_GOOD)
		return CHECK_OK;
	return elf_kind_unrecorded(kind) ? CHECK_REFUSED : CHECK_LIMITED;
}

static void check_command(struct doctor *d)
{
	struct check *c = &d->check[d->n++];
	const char *text = elf_kind_text(d->elf.kind);
	c->name = "program";
	c->state = elf_state(d->elf.kind);
	snprintf(c->text, sizeof(c->text), "%s%s", text ? "it " : "", text ? text : "a library can be preloaded into it");
	if (!text && d->elf.sanitizer[0])
		snprintf(c->text, sizeof(c->text),
			"built with a sanitizer (%.60s): its allocator is left alone, nothing is recorded",
			d->elf.sanitizer);
	if (d->elf.sanitizer[0])
		c->state = CHECK_REFUSED;
}

static enum check_state worst(const struct doctor *d)
{
	enum check_state state = CHECK_OK;
	for (size_t i = 0; i < d->n; i++)
		state = d->check[i].state > state ? d->check[i].state : state;
	return state;
}

static void print_json(const struct doctor *d)
{
	struct json j;
	json_begin(&j, stdout);
	json_string(&j, "schema", "mmscope.doctor/1");
	json_null(&j, "capture");
	json_object(&j, "coverage");
	json_bool(&j, "complete", worst(d) == CHECK_OK);
	json_array(&j, "notes");
	for (size_t i = 0; i < d->n; i++) {
		if (d->check[i].state == CHECK_OK)
			continue;
		json_object(&j, NULL);
		json_string(&j, "kind", d->check[i].name);
		json_string(&j, "text", d->check[i].text);
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
	json_string(&j, "verdict", state_word(worst(d)));
	json_string(&j, "version", MMS_VERSION);
	if (d->command) {
		json_object(&j, "program");
		json_string(&j, "command", d->command);
		json_string(&j, "path", d->elf.path);
		json_string(&j, "kind", elf_kind_word(d->elf.kind));
		json_string(&j, "sanitizer", d->elf.sanitizer[0] ? d->elf.sanitizer : NULL);
		json_end(&j);
	} else {
		json_null(&j, "program");
	}
	json_array(&j, "checks");
	for (size_t i = 0; i < d->n; i++) {
		json_object(&j, NULL);
		json_string(&j, "name", d->check[i].name);
		json_string(&j, "state", state_word(d->check[i].state));
		json_string(&j, "text", d->check[i].text);
		json_end(&j);
	}
	json_end(&j);
	json_finish(&j);
}

static void print_check(const struct check *c)
{
	static const enum render_style styles[] = {STYLE_PLAIN, STYLE_WARN, STYLE_BAD};
	char *first = xasprintf("%-8s %-20s ", state_word(c->state), c->name);
	printf("%s", render_style(styles[c->state]));
	render_paragraph(2, first, c->text);
	printf("%s", render_style(STYLE_PLAIN));
	free(first);
}

static void print_text(const struct doctor *d)
{
	printf("mmscope %s\n\n", MMS_VERSION);
	for (size_t i = 0; i < d->n; i++)
		print_check(&d->check[i]);
	putchar('\n');
	switch (worst(d)) {
	case CHECK_OK:
		printf("Everything works here.\n");
		break;
	case CHECK_LIMITED:
		printf("Recording works; what is limited above will be said in each report.\n");
		break;
	default:
		printf("%s would not be recorded.\n", d->command ? d->elf.path : "Programs");
	}
	if (!d->command)
		printf("mmscope doctor PROGRAM judges a program too.\n");
}

static int find_command(struct doctor *d)
{
	char path[4096];
	int r = elf_find(d->command, getenv("PATH"), path, sizeof(path));
	if (r == 0) {
		elf_check_file(path, &d->elf);
		check_command(d);
		return 0;
	}
	char *clean = text_clean(d->command);
	fprintf(stderr, "mmscope doctor: %s: %s\n", clean,
		r == -ENOENT ? "no such program" : "it may not be executed");
	free(clean);
	return VERB_USAGE;
}

int verb_doctor(int argc, char **argv)
{
	static struct doctor d;
	int format = FORMAT_TEXT;
	const struct option_spec options[] = {
		OPTION_FORMAT(&format),
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "doctor",
		.operands = "[PROGRAM]",
		.summary = "Says what this machine lets mmscope measure, and whether PROGRAM can be\n"
			   "recorded.  Status 1: it cannot.",
		.example = "    mmscope doctor /usr/bin/python3",
		.options = options,
		.min_operands = 0,
		.max_operands = 1,
	};
	int status = options_parse(&spec, argc, argv, &d.command);
	if (status >= 0)
		return status;
	d.n = doctor_machine(d.check);
	check_library(&d.check[d.n++]);
	if (d.command && (status = find_command(&d)) > 0)
		return status;
	if (format == FORMAT_JSON)
		print_json(&d);
	else
		print_text(&d);
	if (fflush(stdout) != 0) {
		fprintf(stderr, "mmscope doctor: standard output: %s\n", strerror(errno));
		return VERB_USAGE;
	}
	return worst(&d) == CHECK_REFUSED ? VERB_FINDINGS : VERB_OK;
}
