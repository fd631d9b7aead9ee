/*
 * export.c - mmscope export: a recording for other viewers.
 *
 * Chooses the format and the file.  A file is written beside its place and
 * renamed, so that a reader never sees half of it; with --watch again and
 * again while the recording goes on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "report/alloc.h"
#include "report/export.h"
#include "report/options.h"
#include "report/render.h"
#include "report/text.h"
#include "verbs.h"

static const struct format {
	void (*write)(struct export *, FILE *);
	bool binary;
} formats[] = {{export_pprof, true}, {export_folded}, {export_speedscope}, {export_csv}, {export_openmetrics},
	{export_trace}};
#define FORMATS "pprof|folded|speedscope|csv|openmetrics|trace"
#define FORMAT_OPENMETRICS 4

struct settings {
	int format, order;
	int64_t pid, interval;
	const char *output, *watch;
};

static int complain(const char *about, const char *reason)
{
	char *clean = text_clean(about);
	fprintf(stderr, "mmscope export: %s: %s\n", clean, reason);
	free(clean);
	return VERB_USAGE;
}

char *export_frame_name(const struct capture_frame *f)
{
	return render_frame_name(f, 1 << 20);
}

static int write_file(struct export *x, const struct format *format, const char *path)
{
	char *part = xasprintf("%s.new%ld", path, (long)getpid());
	FILE *out = fopen(part, "we");
	int error = out ? 0 : errno;
	if (out) {
		format->write(x, out);
		errno = 0;
		bool failed = ferror(out);
		failed |= fclose(out) != 0;
		if (failed)
			error = errno ? errno : EIO;
		else if (rename(part, path) < 0)
			error = errno;
		if (error)
			unlink(part);
	}
	free(part);
	return error ? complain(path, strerror(error)) : VERB_OK;
}

/* Opens, writes once, closes.  *ret_going_on: the collector is at work. */
static int write_once(const struct settings *s, const char *db, const char *path, bool *ret_going_on)
{
	const struct format *format = &formats[s->format];
	struct export x = {.order = s->order, .pid = s->pid};
	int status = answer_open(&x.a, "export", db);
	if (status)
		return status;
	*ret_going_on = capture_state(x.a.capture) == CAPTURE_RECORDING;
	/* A recording that has just begun has no process yet. */
	bool waits = s->watch && *ret_going_on;
	if (!x.a.any_followed && !waits)
		return answer_refuse(&x.a, "no process was recorded, so there is nothing to export");
	if (!answer_has_pid(&x.a, s->pid) && !waits)
		return answer_refuse(&x.a, "no process with this pid is in the recording");
	rows_load(&x.rows, &x.a, false, s->pid);
	rows_sort(&x.rows, &x.a, s->order);
	if (path)
		status = write_file(&x, format, path);
	else
		format->write(&x, stdout);
	rows_done(&x.rows);
	return answer_close(&x.a, status);
}

static int watch(const struct settings *s, const char *db)
{
	struct timespec pause = {.tv_sec = s->interval};
	for (;;) {
		bool going_on = false;
		int status = write_once(s, db, s->watch, &going_on);
		if (status || !going_on)
			return status;
		nanosleep(&pause, NULL);
	}
}

static int refuse_options(const struct settings *s)
{
	const char *why = NULL;
	if (s->format < 0)
		why = "--format is needed: " FORMATS;
	else if (s->watch && (s->format != FORMAT_OPENMETRICS || s->output))
		why = "--watch goes with --format openmetrics, and without --output";
	else if (s->interval < 1 || s->interval > 86400)
		why = "--interval is from 1 to 86400 seconds";
	else if (formats[s->format].binary && !s->output && isatty(STDOUT_FILENO))
		why = "this format is not for terminals: give --output FILE";
	if (why)
		fprintf(stderr, "mmscope export: %s (mmscope export --help)\n", why);
	return why ? VERB_USAGE : 0;
}

int verb_export(int argc, char **argv)
{
	struct settings s = {.format = -1, .interval = 5};
	const struct option_spec options[] = {
		{OPTION_CHOICE, "format", FORMATS, "the format", &s.format},
		{OPTION_TEXT, "output", "FILE", "where to; without it standard output", &s.output},
		{OPTION_CHOICE, "by", ROW_ORDERS, "what folded stacks count", &s.order},
		{OPTION_NUMBER, "process", "PID", "this process only", &s.pid},
		{OPTION_TEXT, "watch", "FILE", "openmetrics: write FILE anew while recording", &s.watch},
		{OPTION_NUMBER, "interval", "S", "seconds between two of them (5)", &s.interval},
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "export",
		.operands = "FILE.db",
		.summary = "Writes a recording in the format of another viewer.",
		.example = "    mmscope export --format pprof --output prog.pb.gz prog.db\n"
			   "    go tool pprof -http :8080 prog.pb.gz",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	const char *db;
	bool going_on;
	int status = options_parse(&spec, argc, argv, &db);
	if (status >= 0)
		return status;
	status = refuse_options(&s);
	if (status)
		return status;
	if (s.watch)
		return watch(&s, db);
	return write_once(&s, db, s.output && strcmp(s.output, "-") != 0 ? s.output : NULL, &going_on);
}
