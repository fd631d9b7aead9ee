/*
 * html.c - mmscope html: the whole recording as one page for a browser.
 *
 * The page is one file: style, scripts and data stand in it, and a policy in
 * its head forbids it to load anything.  Its parts are in html/; page.html
 * says with @style@, @data@ and @script@ where they go.  With -o the file is
 * written beside its place and renamed, so nobody opens half a page.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/alloc.h"
#include "report/answer.h"
#include "report/html_data.h"
#include "report/options.h"
#include "report/text.h"
#include "report_page.h"
#include "verbs.h"

/* Kept in memory first: it is passed on with changes.  In JSON a '<' stands in strings only; written so it can neither end the
 * script element nor begin a comment. */
static void write_data(struct answer *a, FILE *out)
{
	char *json = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&json, &size);
	if (!memory)
		return;
	html_data(a, memory);
	if (fclose(memory) == 0)
		for (const char *s = json, *end = json + size; s < end;) {
			size_t plain = strcspn(s, "<");
			fwrite(s, 1, plain, out);
			s += plain;
			if (s < end) {
				fputs("\\u003c", out);
				s++;
			}
		}
	free(json);
}

static void write_scripts(FILE *out)
{
	const char *const scripts[] = {js_data, js_parts, js_flame, js_time, js_space, js_cow, js_main};
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		fputs(scripts[i], out);
}

static void write_page(struct answer *a, FILE *out)
{
	const char *s = html_page;
	while (*s) {
		size_t plain = strcspn(s, "@");
		fwrite(s, 1, plain, out);
		s += plain;
		size_t word = *s ? strcspn(s + 1, "@") + 2 : 0;
		if (word == strlen("@style@") && memcmp(s, "@style@", word) == 0)
			fputs(css_page, out);
		else if (word == strlen("@data@") && memcmp(s, "@data@", word) == 0)
			write_data(a, out);
		else if (word == strlen("@script@") && memcmp(s, "@script@", word) == 0)
			write_scripts(out);
		s += word;
	}
}

static int complain(const char *path, int error)
{
	char *clean = text_clean(path);
	fprintf(stderr, "mmscope html: %s: %s\n", clean, strerror(error));
	free(clean);
	return VERB_USAGE;
}

/* 0 or -errno. */
static int write_file(struct answer *a, const char *path)
{
	char *part = xasprintf("%s.part", path);
	FILE *out = fopen(part, "we");
	int error = out ? 0 : errno;
	if (out) {
		write_page(a, out);
		error = ferror(out) ? EIO : 0;
		if (fclose(out) != 0)
			error = errno;
		if (!error && rename(part, path) != 0)
			error = errno;
		if (error)
			unlink(part);
	}
	free(part);
	return -error;
}

/* prog.db becomes prog.html. */
static char *default_name(const char *path)
{
	size_t n = strlen(path);
	bool db = n > 3 && strcmp(path + n - 3, ".db") == 0;
	return xasprintf("%.*s.html", (int)(db ? n - 3 : n), path);
}

static int make_page(struct answer *a, const char *given)
{
	if (given && strcmp(given, "-") == 0) {
		write_page(a, stdout);
		return answer_close(a, VERB_OK);
	}
	char *path = given ? xstrdup(given) : default_name(capture_path(a->capture));
	int error = write_file(a, path), status;
	if (error) {
		status = complain(path, -error);
		answer_close(a, status);
	} else {
		char *clean = text_clean(path);
		printf("%s\n", clean);
		free(clean);
		status = answer_close(a, VERB_OK);
	}
	free(path);
	return status;
}

int verb_html(int argc, char **argv)
{
	const char *output = NULL, *path;
	const struct option_spec options[] = {
		{OPTION_TEXT, "output", "FILE", "the page; - is standard output (default: FILE.html)", &output, 'o'},
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "html",
		.operands = "FILE.db",
		.summary = "Writes one page that shows the whole recording in a browser.",
		.example = "    mmscope html -o prog.html prog.db",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	struct answer a;
	int status = options_parse(&spec, argc, argv, &path);
	if (status >= 0)
		return status;
	status = answer_open(&a, "html", path);
	return status ? status : make_page(&a, output);
}
