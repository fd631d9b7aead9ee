/*
 * top_write.c - a moment of `mmscope top` as a screen of text, or as JSON.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/render.h"
#include "report/text.h"
#include "report/top.h"

#define PROCESSES 5
#define SITES 12
#define LINES_AROUND 8 /* head, both tables' titles, empty lines, foot */

/* "+1.2 KiB/s"; "-" where not known. */
static const char *rate_text(char out[TEXT_NUMBER], const struct top_moment *m, double rate)
{
	char size[TEXT_NUMBER];
	if (m->span_s <= 0)
		snprintf(out, TEXT_NUMBER, "-");
	else if (fabs(rate) < 0.5)
		snprintf(out, TEXT_NUMBER, "0 B/s");
	else
		snprintf(out, TEXT_NUMBER, "%c%.20s/s", rate < 0 ? '-' : '+', text_size(size, (uint64_t)(fabs(rate) + 0.5)));
	return out;
}

static const char *count_text(char out[TEXT_NUMBER], const struct top_moment *m, double per_s)
{
	if (m->span_s <= 0)
		return strcpy(out, "-");
	return text_count(out, (uint64_t)(per_s < 0 ? 0 : per_s + 0.5));
}

static const char *state_text(enum capture_state state)
{
	return state == CAPTURE_COMPLETE ? "ended" : state == CAPTURE_RECORDING ? "recording" : "broke off";
}

static void print_head(const struct top *t)
{
	const struct top_moment *m = &t->now;
	char duration[TEXT_NUMBER], n[TEXT_NUMBER], of[TEXT_NUMBER], live[TEXT_NUMBER], blocks[TEXT_NUMBER],
		rate[TEXT_NUMBER], allocs[TEXT_NUMBER];
	char *path = text_cut_start(t->path, render_width() - 54);
	printf("%stop of %s%s  %s, %s, %s of %s %s running\n", render_style(STYLE_BOLD), path, render_style(STYLE_PLAIN),
		state_text(m->state), text_duration(duration, (uint64_t)m->t_ns), text_count(n, m->n_running),
		text_count(of, m->n_processes), text_plural(m->n_processes, "process", "processes"));
	free(path);
	printf("live heap %s in %s blocks", text_size(live, m->live_bytes), text_count(blocks, m->live_blocks));
	if (m->span_s > 0)
		printf(", %s, %s allocations a second", rate_text(rate, m, m->rate), count_text(allocs, m, m->allocs));
	putchar('\n');
	if (m->lost_records)
		printf("%s%s records were lost: figures may be off by what they held%s\n", render_style(STYLE_WARN),
			text_count(n, m->lost_records), render_style(STYLE_PLAIN));
}

static void print_processes(const struct top *t, size_t n)
{
	const struct top_moment *m = &t->now;
	printf("\n%s%8s %10s %13s %10s %10s %9s  %s%s\n", render_style(STYLE_DIM), "pid", "live", "change", "peak",
		"resident", "allocs/s", "program", render_style(STYLE_PLAIN));
	for (size_t i = 0; i < m->n_process && i < n; i++) {
		const struct top_row *r = &m->process[i];
		char live[TEXT_NUMBER], rate[TEXT_NUMBER], peak[TEXT_NUMBER], rss[TEXT_NUMBER], allocs[TEXT_NUMBER];
		char *exe = text_cut_start(r->exe, render_width() - 68);
		char pid[TEXT_NUMBER];
		if (r->merged)
			snprintf(pid, sizeof(pid), "x%llu", (unsigned long long)r->merged);
		else
			snprintf(pid, sizeof(pid), "%lld", (long long)r->pid);
		printf("%8s %10s %13s %10s %10s %9s  %s\n", pid, text_size(live, r->live_bytes),
			rate_text(rate, m, r->rate), text_size(peak, r->peak_bytes),
			r->rss < 0 ? "-" : text_size(rss, (uint64_t)r->rss), count_text(allocs, m, r->allocs), exe);
		free(exe);
	}
}

/* The innermost functions: "f < g < main". */
static char *chain_text(const struct capture_stack *stack, size_t width)
{
	size_t n = render_telling_frames(stack);
	char *text = xstrdup(n ? "" : "(stack not captured)");
	for (size_t i = 0; i < n && strlen(text) < width; i++) {
		char *name = render_frame_name(&stack->frames[i], width);
		char *longer = xasprintf("%s%s%s", text, i ? " < " : "", name);
		free(name);
		free(text);
		text = longer;
	}
	char *cut = text_cut_end(text, width);
	free(text);
	return cut;
}

static void print_sites(struct top *t, size_t n)
{
	const struct top_moment *m = &t->now;
	printf("\n%s%10s %13s %10s %9s  %s%s\n", render_style(STYLE_DIM), "live", "change", "peak", "allocs/s",
		"site", render_style(STYLE_PLAIN));
	for (size_t i = 0; i < m->n_site && i < n; i++) {
		const struct top_row *r = &m->site[i];
		char live[TEXT_NUMBER], rate[TEXT_NUMBER], peak[TEXT_NUMBER], allocs[TEXT_NUMBER];
		char *chain = chain_text(top_stack(t, r->stack_id), render_width() - 48);
		printf("%10s %13s %10s %9s  %s\n", text_size(live, r->live_bytes), rate_text(rate, m, r->rate),
			text_size(peak, r->peak_bytes), count_text(allocs, m, r->allocs), chain);
		free(chain);
	}
}

void top_text(struct top *t, size_t rows, const char *below)
{
	size_t n_processes = t->now.n_process < PROCESSES ? t->now.n_process : PROCESSES;
	size_t taken = LINES_AROUND + n_processes + (t->now.lost_records ? 1 : 0);
	size_t fits = !rows ? SITES : rows > taken ? rows - taken : 0;
	print_head(t);
	print_processes(t, n_processes);
	print_sites(t, t->limit < 0 ? fits : t->limit == 0 && !rows ? t->now.n_site
		: rows && (size_t)t->limit > fits ? fits : (size_t)t->limit);
	if (below)
		printf("\n%s%s%s\n", render_style(STYLE_DIM), below, render_style(STYLE_PLAIN));
}

/* ---- JSON ---- */

static void rate_json(struct json *j, const char *key, const struct top_moment *m, double value)
{
	if (m->span_s > 0)
		json_double(j, key, value);
	else
		json_null(j, key);
}

static void row_json(struct json *j, const struct top_moment *m, const struct top_row *r)
{
	if (r->merged) {
		json_null(j, "pid");
		json_u64(j, "merged", r->merged);
	} else {
		json_i64(j, "pid", r->pid);
	}
	json_u64(j, "live_blocks", r->live_blocks);
	json_u64(j, "live_bytes", r->live_bytes);
	json_u64(j, "peak_bytes", r->peak_bytes);
	json_u64(j, "alloc_blocks", r->alloc_blocks);
	rate_json(j, "bytes_per_s", m, r->rate);
	rate_json(j, "allocs_per_s", m, r->allocs);
}

void top_json(struct top *t)
{
	const struct top_moment *m = &t->now;
	struct json j;
	answer_head_json(&j, &t->names);
	json_i64(&j, "t_ns", m->t_ns);
	json_string(&j, "state", state_text(m->state));
	json_u64(&j, "running", m->n_running);
	json_u64(&j, "live_blocks", m->live_blocks);
	json_u64(&j, "live_bytes", m->live_bytes);
	rate_json(&j, "bytes_per_s", m, m->rate);
	rate_json(&j, "allocs_per_s", m, m->allocs);
	json_array(&j, "processes");
	for (size_t i = 0; i < m->n_process; i++) {
		json_object(&j, NULL);
		row_json(&j, m, &m->process[i]);
		if (m->process[i].rss < 0)
			json_null(&j, "rss");
		else
			json_i64(&j, "rss", m->process[i].rss);
		json_string(&j, "exe", m->process[i].exe);
		json_string(&j, "end", m->process[i].end);
		json_end(&j);
	}
	json_end(&j);
	json_array(&j, "sites");
	for (size_t i = 0; i < m->n_site && (t->limit <= 0 || i < (size_t)t->limit); i++) {
		json_object(&j, NULL);
		row_json(&j, m, &m->site[i]);
		answer_stack_json(&j, top_stack(t, m->site[i].stack_id));
		json_end(&j);
	}
	json_end(&j);
	json_finish(&j);
}
