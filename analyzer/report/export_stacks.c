/*
 * export_stacks.c - stacks as text: folded (flamegraph.pl and its kin),
 * speedscope's JSON, CSV for a spreadsheet.
 *
 * Folded and speedscope have the outermost function first.  Where more than
 * one process was recorded, the process is the outermost frame.
 * Format of speedscope: its file-format-schema.json.  CSV: RFC 4180.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/export.h"
#include "report/json.h"
#include "report/render.h"

static bool several_processes(const struct export *x)
{
	size_t n = 0;
	for (size_t i = 0; i < x->a.n_processes; i++)
		n += x->a.processes[i].followed && x->a.processes[i].alloc_blocks > 0;
	return n > 1 && !x->pid;
}

/* ---- folded ---- */

/* ";" separates frames. */
static void folded_name(FILE *out, char *name)
{
	for (char *s = name; *s; s++)
		fputc(*s == ';' ? ':' : *s, out);
	free(name);
}

void export_folded(struct export *x, FILE *out)
{
	bool several = several_processes(x);
	for (size_t i = 0; i < x->rows.n; i++) {
		const struct row *r = &x->rows.row[i];
		size_t n = render_telling_frames(r->stack);
		uint64_t value = row_value(r, x->order);
		if (value == 0)
			continue;
		if (several)
			folded_name(out, answer_who(r->process, true));
		for (size_t k = n; k-- > 0;) {
			if (several || k + 1 < n)
				fputc(';', out);
			folded_name(out, export_frame_name(&r->stack->frames[k]));
		}
		if (n == 0)
			fprintf(out, "%s(stack not captured)", several ? ";" : "");
		fprintf(out, " %" PRIu64 "\n", value);
	}
}

/* ---- speedscope ---- */

struct shared_frame {
	char *name;
	const char *file;
	int64_t line;
};
struct shared_frames {
	struct shared_frame *frame;
	size_t n, capacity;
	size_t *slot; /* index + 1 */
	size_t n_slots;
};

static uint64_t hash_shared(const struct shared_frame *f)
{
	uint64_t h = 0xcbf29ce484222325ull ^ (uint64_t)f->line;
	for (const char *s = f->name; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3ull;
	for (const char *s = f->file ? f->file : ""; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3ull;
	return h ^ h >> 31;
}

static bool same_shared(const struct shared_frame *a, const struct shared_frame *b)
{
	return a->line == b->line && strcmp(a->name, b->name) == 0 && !a->file == !b->file &&
		(!a->file || strcmp(a->file, b->file) == 0);
}

static void shared_grow(struct shared_frames *s)
{
	free(s->slot);
	s->n_slots = s->n_slots ? 2 * s->n_slots : 1024;
	s->slot = xcalloc(s->n_slots, sizeof(*s->slot));
	for (size_t i = 0; i < s->n; i++) {
		size_t at = hash_shared(&s->frame[i]) & (s->n_slots - 1);
		while (s->slot[at])
			at = (at + 1) & (s->n_slots - 1);
		s->slot[at] = i + 1;
	}
}

/* Takes the name. */
static size_t shared_index(struct shared_frames *s, struct shared_frame f)
{
	if (2 * (s->n + 1) > s->n_slots)
		shared_grow(s);
	size_t at = hash_shared(&f) & (s->n_slots - 1);
	for (; s->slot[at]; at = (at + 1) & (s->n_slots - 1)) {
		if (same_shared(&s->frame[s->slot[at] - 1], &f)) {
			free(f.name);
			return s->slot[at] - 1;
		}
	}
	XGROW(s->frame, s->n, s->capacity);
	s->frame[s->n] = f;
	s->slot[at] = ++s->n;
	return s->n - 1;
}

struct index_list {
	size_t *index;
	size_t n;
};

static struct index_list index_row(struct shared_frames *s, const struct row *r, bool several)
{
	size_t n = render_telling_frames(r->stack);
	struct index_list l = {xcalloc(n + 2, sizeof(*l.index)), 0};
	if (several)
		l.index[l.n++] = shared_index(s, (struct shared_frame){.name = answer_who(r->process, true)});
	for (size_t k = n; k-- > 0;) {
		const struct capture_frame *f = &r->stack->frames[k];
		l.index[l.n++] = shared_index(s, (struct shared_frame){export_frame_name(f), f->file, f->line});
	}
	if (n == 0)
		l.index[l.n++] = shared_index(s, (struct shared_frame){.name = xstrdup("(stack not captured)")});
	return l;
}

static void profile_json(struct json *j, const struct export *x, const struct index_list *lists, const char *name,
	enum row_order order)
{
	uint64_t total = 0;
	json_object(j, NULL);
	json_string(j, "type", "sampled");
	json_string(j, "name", name);
	json_string(j, "unit", order == BY_COUNT || order == BY_TEMPORARY ? "none" : "bytes");
	json_array(j, "samples");
	for (size_t i = 0; i < x->rows.n; i++) {
		if (row_value(&x->rows.row[i], order) == 0)
			continue;
		json_array(j, NULL);
		for (size_t k = 0; k < lists[i].n; k++)
			json_u64(j, NULL, lists[i].index[k]);
		json_end(j);
	}
	json_end(j);
	json_array(j, "weights");
	for (size_t i = 0; i < x->rows.n; i++) {
		uint64_t value = row_value(&x->rows.row[i], order);
		if (value)
			json_u64(j, NULL, value);
		total += value;
	}
	json_end(j);
	json_u64(j, "startValue", 0);
	json_u64(j, "endValue", total);
	json_end(j);
}

static void shared_json(struct json *j, const struct shared_frames *s)
{
	json_object(j, "shared");
	json_array(j, "frames");
	for (size_t i = 0; i < s->n; i++) {
		const struct shared_frame *f = &s->frame[i];
		json_object(j, NULL);
		json_string(j, "name", f->name);
		if (f->file)
			json_string(j, "file", f->file);
		if (f->line > 0)
			json_i64(j, "line", f->line);
		json_end(j);
	}
	json_end(j);
	json_end(j);
}

void export_speedscope(struct export *x, FILE *out)
{
	static const struct {
		const char *name;
		enum row_order order;
	} profiles[] = {{"at peak", BY_PEAK}, {"live at end", BY_LIVE}, {"allocated", BY_BYTES},
		{"allocations", BY_COUNT}, {"temporary", BY_TEMPORARY}};
	struct shared_frames shared = {NULL};
	struct index_list *lists = xcalloc(x->rows.n + 1, sizeof(*lists));
	bool several = several_processes(x);
	struct json j;
	for (size_t i = 0; i < x->rows.n; i++)
		lists[i] = index_row(&shared, &x->rows.row[i], several);
	json_begin(&j, out);
	json_string(&j, "$schema", "https://www.speedscope.app/file-format-schema.json");
	shared_json(&j, &shared);
	json_array(&j, "profiles");
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		profile_json(&j, x, lists, profiles[i].name, profiles[i].order);
	json_end(&j);
	json_string(&j, "name", x->a.main ? x->a.main->exe : NULL);
	json_u64(&j, "activeProfileIndex", 0);
	json_string(&j, "exporter", "mmscope " MMS_VERSION);
	json_finish(&j);
	for (size_t i = 0; i < x->rows.n; i++)
		free(lists[i].index);
	for (size_t i = 0; i < shared.n; i++)
		free(shared.frame[i].name);
	free(lists);
	free(shared.frame);
	free(shared.slot);
}

/* ---- CSV ---- */

static void csv_text(FILE *out, const char *s)
{
	if (!s[strcspn(s, ",\"\r\n")]) {
		fputs(s, out);
		return;
	}
	fputc('"', out);
	for (; *s; s++) {
		if (*s == '"')
			fputc('"', out);
		fputc(*s, out);
	}
	fputc('"', out);
}

static char *csv_stack(const struct capture_stack *s)
{
	char *line = xstrdup("");
	for (size_t i = 0, n = render_telling_frames(s); i < n; i++) {
		char *name = export_frame_name(&s->frames[i]);
		char *longer = xasprintf("%s%s%s", line, i ? " < " : "", name);
		free(name);
		free(line);
		line = longer;
	}
	return line;
}

static void csv_row(FILE *out, const struct row *r)
{
	const struct capture_frame *f = r->stack->n ? &r->stack->frames[0] : NULL;
	char *name = f ? export_frame_name(f) : xstrdup(""), *stack = csv_stack(r->stack);
	if (!r->process->merged) /* a sum has none */
		fprintf(out, "%" PRId64, r->process->pid);
	putc(',', out);
	csv_text(out, r->process->exe);
	fprintf(out, ",%s,%s,", r->id, r->own);
	csv_text(out, name);
	fputc(',', out);
	csv_text(out, f && f->file ? f->file : "");
	if (f && f->line > 0)
		fprintf(out, ",%" PRId64 ",", f->line);
	else
		fputs(",,", out);
	csv_text(out, f && f->module ? f->module : "");
	const uint64_t values[] = {r->alloc_blocks, r->alloc_bytes, r->free_blocks, r->live_blocks, r->live_bytes,
		r->peak_blocks, r->peak_bytes, r->temporary_blocks, r->cross_frees, r->min_size, r->max_size};
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		fprintf(out, ",%" PRIu64, values[i]);
	fputc(',', out);
	csv_text(out, stack);
	fputs("\r\n", out);
	free(stack);
	free(name);
}

void export_csv(struct export *x, FILE *out)
{
	fputs("pid,exe,site,own,function,file,line,module,alloc_blocks,alloc_bytes,free_blocks,live_blocks,"
	      "live_bytes,peak_blocks,peak_bytes,temporary_blocks,cross_thread_frees,min_bytes,max_bytes,stack\r\n",
		out);
	for (size_t i = 0; i < x->rows.n; i++)
		csv_row(out, &x->rows.row[i]);
}
