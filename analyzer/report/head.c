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

static void print_note(const struct answer_note *n)
{
	char count[TEXT_NUMBER];
	char *name = n->process ? answer_who(n->process, true) : NULL;
	char *who = name ? xasprintf("%s: ", name) : xstrdup("");
	char *many = n->count > 1 ? xasprintf(" (%s)", text_count(count, (uint64_t)n->count)) : xstrdup("");
	char *text = xasprintf("%s%s%s", who, n->text, many);
	render_paragraph(2, "- ", text);
	free(text);
	free(many);
	free(name);
	free(who);
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
	size_t shown = a->n_notes > limit ? limit : a->n_notes;
	for (size_t i = 0; i < shown; i++)
		print_note(&a->notes[i]);
	if (shown < a->n_notes)
		printf("  - and %s more (--format json lists all)\n",
			text_count(count, a->n_notes - shown));
}

void head_print_process(const struct answer_process *p, const char *text)
{
	size_t room = render_width() > strlen(text) + 20 ? render_width() - strlen(text) - 4 : 16;
	char *who = answer_who(p, p->merged != 0);
	char *cut = text_cut_start(who, room);
	char *line = xasprintf("%s: %s", cut, text);
	render_heading(line);
	free(line);
	free(cut);
	free(who);
}
