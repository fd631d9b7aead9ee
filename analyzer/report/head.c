/*
 * head.c - see head.h.  Used by the text side of leaks, sites and report.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/head.h"
#include "report/render.h"
#include "report/text.h"

char *head_end_text(const struct answer_process *p)
{
	if (strcmp(p->end, "exit") == 0)
		return p->status < 0 ? xstrdup("exited, status not known")
				     : xasprintf("exit status %lld", (long long)p->status);
	if (strcmp(p->end, "signal") == 0) {
		const char *name = p->status > 0 ? sigabbrev_np((int)p->status) : NULL;
		if (name)
			return xasprintf("killed by SIG%s", name);
		return p->status > 0 ? xasprintf("killed by signal %lld", (long long)p->status)
				     : xstrdup("killed by a signal");
	}
	if (strcmp(p->end, "exec") == 0)
		return xstrdup("became another program");
	if (strcmp(p->end, "running") == 0)
		return xstrdup("still running");
	return xstrdup("end not seen");
}

static const char *state_warning(const struct answer *a)
{
	switch (capture_state(a->capture)) {
	case CAPTURE_RECORDING:
		return "Still recording: these are the figures of the last flush.";
	case CAPTURE_INCOMPLETE:
		return "The recording broke off: what happened after the last flush is missing "
		       "(see mmscope recover).";
	default:
		return NULL;
	}
}

void head_print(struct answer *a)
{
	const char *bold = render_style(STYLE_BOLD), *plain = render_style(STYLE_PLAIN);
	char *command = a->main ? render_command(a->main->argv, a->main->n_argv, a->main->exe,
					  render_width() - strlen(a->verb) - 4)
				: xstrdup("(no process)");
	printf("%s%s of %s%s\n", bold, a->verb, command, plain);
	free(command);
	char duration[TEXT_NUMBER], count[TEXT_NUMBER];
	printf("%s", !a->any_followed    ? "no block recorded"
			: !a->exact	      ? "sampled: figures are estimates"
			: a->lost_records ? "every block, but records were lost"
					  : "every block recorded");
	if (a->main)
		printf(", pid %lld", (long long)a->main->pid);
	printf(", %s, %s %s\n", text_duration(duration, (uint64_t)a->duration_ns),
		text_count(count, a->n_all), text_plural(a->n_all, "process", "processes"));
	const char *warning = state_warning(a);
	if (warning) {
		printf("%s", render_style(STYLE_WARN));
		render_paragraph(0, NULL, warning);
		printf("%s", plain);
	}
}

/* What is said of several processes in the same words: once, of all of them. */
struct same {
	const struct answer_note *first;
	uint64_t processes;
	int64_t count;
};

static size_t gather(const struct answer *a, struct same *same)
{
	size_t n = 0;
	for (size_t i = 0; i < a->n_notes; i++) {
		const struct answer_note *note = &a->notes[i];
		size_t at = 0;
		while (at < n && (!note->process || !same[at].first->process
					 || strcmp(same[at].first->text, note->text) != 0))
			at++;
		if (at == n)
			same[n++] = (struct same){.first = note};
		same[at].processes += note->process ? answer_processes(note->process) : 1;
		same[at].count += note->count;
	}
	return n;
}

static void print_note(const struct same *same)
{
	const struct answer_process *p = same->first->process;
	char count[TEXT_NUMBER], processes[TEXT_NUMBER];
	char *one = p ? answer_who(p, true) : xstrdup("");
	char *who = !p ? xstrdup("")
		: same->processes == answer_processes(p) ? xasprintf("%s: ", one)
		: xasprintf("%s and %s more: ", one, text_count(processes, same->processes - answer_processes(p)));
	char *many = same->count > 1 ? xasprintf(" (%s)", text_count(count, (uint64_t)same->count)) : xstrdup("");
	char *text = xasprintf("%s%s%s", who, same->first->text, many);
	render_paragraph(2, "- ", text);
	free(text);
	free(many);
	free(who);
	free(one);
}

void head_print_coverage(struct answer *a, size_t limit)
{
	if (a->n_notes == 0 && a->lost_records == 0)
		return;
	render_heading("Not seen");
	char count[TEXT_NUMBER];
	if (a->lost_records) {
		char *text = xasprintf("%s records were lost: every figure may be off by what they held.",
			text_count(count, a->lost_records));
		render_paragraph(2, "- ", text);
		free(text);
	}
	struct same *same = xcalloc(a->n_notes + 1, sizeof(*same));
	size_t n = gather(a, same), shown = n > limit ? limit : n;
	for (size_t i = 0; i < shown; i++)
		print_note(&same[i]);
	if (shown < n)
		printf("  - and %s more (--format json lists all)\n", text_count(count, n - shown));
	free(same);
}

void head_print_process(const struct answer_process *p, const char *text)
{
	size_t room = render_width() > strlen(text) + 20 ? render_width() - strlen(text) - 4 : 16;
	char *who = answer_who(p, p->merged != 0);
	bool apart = p->merged && strlen(who) > room; /* that they are merged is at its end */
	char *cut = p->merged ? text_cut_end(who, render_width()) : text_cut_start(who, room);
	char *line = apart ? xstrdup(cut) : xasprintf("%s: %s", cut, text);
	render_heading(line);
	if (apart)
		printf("  %s\n", text);
	free(line);
	free(cut);
	free(who);
}
