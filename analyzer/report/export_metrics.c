/*
 * export_metrics.c - OpenMetrics 1.0 text, which Prometheus and the text file
 * collector of its node exporter read.
 *
 * The samples of one family stand together; labels are few and bounded: one
 * sample a process, and the MAX_SITES sites that hold most now.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/export.h"
#include "report/text.h"
#include "report_sql.h"

#define MAX_SITES 20

enum type { GAUGE, COUNTER };
struct family {
	const char *name, *unit, *help;
	enum type type;
	int64_t (*value)(const struct answer_process *p); /* -1: not known */
};

static int64_t live_bytes(const struct answer_process *p)
{
	return (int64_t)p->live_bytes;
}
static int64_t live_blocks(const struct answer_process *p)
{
	return (int64_t)p->live_blocks;
}
static int64_t peak_bytes(const struct answer_process *p)
{
	return (int64_t)p->peak_bytes;
}
static int64_t alloc_bytes(const struct answer_process *p)
{
	return (int64_t)p->alloc_bytes;
}
static int64_t alloc_blocks(const struct answer_process *p)
{
	return (int64_t)p->alloc_blocks;
}
static int64_t failed_allocs(const struct answer_process *p)
{
	return (int64_t)p->failed_allocs;
}
static int64_t lost_records(const struct answer_process *p)
{
	return (int64_t)p->lost_records;
}
static int64_t peak_rss(const struct answer_process *p)
{
	return p->hiwater_rss;
}

static const struct family families[] = {
	{"mmscope_heap_live_bytes", "bytes", "Heap that is in use.", GAUGE, live_bytes},
	{"mmscope_heap_live_blocks", "blocks", "Heap blocks that are in use.", GAUGE, live_blocks},
	{"mmscope_heap_peak_bytes", "bytes", "The most heap that was in use at once.", GAUGE, peak_bytes},
	{"mmscope_resident_peak_bytes", "bytes", "The most resident memory.", GAUGE, peak_rss},
	{"mmscope_heap_allocated_bytes", "bytes", "All bytes ever given out.", COUNTER, alloc_bytes},
	{"mmscope_heap_allocated_blocks", "blocks", "All blocks ever given out.", COUNTER, alloc_blocks},
	{"mmscope_heap_failed_allocations", NULL, "Allocations that failed.", COUNTER, failed_allocs},
	{"mmscope_lost_records", NULL, "Records lost on a full buffer; other figures lack them.", COUNTER,
		lost_records},
};

static void head(FILE *out, const char *name, const char *type, const char *unit, const char *help)
{
	fprintf(out, "# TYPE %s %s\n", name, type);
	if (unit)
		fprintf(out, "# UNIT %s %s\n", name, unit);
	fprintf(out, "# HELP %s %s\n", name, help);
}

/* Labels of the text format: UTF-8, with \, " and line breaks escaped. */
static void label(FILE *out, const char *key, const char *value, bool first)
{
	char *clean = text_clean(value);
	fprintf(out, "%s%s=\"", first ? "{" : ",", key);
	for (const char *s = clean; *s; s++) {
		if (*s == '\\' || *s == '"')
			fputc('\\', out);
		fputc(*s, out);
	}
	fputc('"', out);
	free(clean);
}

/* A pid may be several images, one after the other: `image` tells them apart. */
static void process_labels(FILE *out, const struct answer_process *p)
{
	char number[24];
	label(out, "exe", p->exe, true);
	if (p->merged)
		snprintf(number, sizeof(number), "%" PRIu64, p->merged);
	else
		snprintf(number, sizeof(number), "%" PRId64, p->pid);
	label(out, p->merged ? "merged" : "pid", number, false);
	snprintf(number, sizeof(number), "%" PRId64, p->id);
	label(out, "image", number, false);
}

static bool is_wanted(const struct export *x, const struct answer_process *p)
{
	return p->followed && (x->pid == 0 || p->pid == x->pid);
}

static void write_family(const struct export *x, const struct family *f, FILE *out)
{
	head(out, f->name, f->type == GAUGE ? "gauge" : "counter", f->unit, f->help);
	for (size_t i = 0; i < x->a.n_processes; i++) {
		const struct answer_process *p = &x->a.processes[i];
		int64_t value = f->value(p);
		if (value < 0 || !is_wanted(x, p))
			continue;
		fprintf(out, "%s%s", f->name, f->type == COUNTER ? "_total" : "");
		process_labels(out, p);
		fprintf(out, "} %" PRId64 "\n", value);
	}
}

static void write_resident(struct export *x, FILE *out)
{
	head(out, "mmscope_resident_bytes", "gauge", "bytes", "Resident memory at the last tick.");
	struct query *q = answer_query(&x->a, sql_metrics_rss);
	while (answer_row(&x->a, q)) {
		const struct answer_process *p = answer_find(&x->a, query_int(q, 0));
		if (!p || !is_wanted(x, p) || query_null(q, 2))
			continue;
		fputs("mmscope_resident_bytes", out);
		process_labels(out, p);
		fprintf(out, "} %" PRId64 "\n", query_int(q, 2));
	}
	query_close(q);
}

/* Sites of one id in one process are one sample: label sets must be unique. */
struct site_sum {
	const struct row *row;
	uint64_t live_bytes;
};

static int compare_identity(const void *left, const void *right)
{
	const struct site_sum *a = left, *b = right;
	if (a->row->process != b->row->process)
		return a->row->process < b->row->process ? -1 : 1;
	return strcmp(a->row->id, b->row->id);
}

static int compare_size(const void *left, const void *right)
{
	const struct site_sum *a = left, *b = right;
	if (a->live_bytes != b->live_bytes)
		return a->live_bytes > b->live_bytes ? -1 : 1;
	return compare_identity(left, right);
}

static size_t sum_sites(const struct export *x, struct site_sum *sum)
{
	size_t n = 0;
	for (size_t i = 0; i < x->rows.n; i++)
		sum[i] = (struct site_sum){&x->rows.row[i], x->rows.row[i].live_bytes};
	if (x->rows.n)
		qsort(sum, x->rows.n, sizeof(*sum), compare_identity);
	for (size_t i = 0; i < x->rows.n; i++) {
		if (n && compare_identity(&sum[n - 1], &sum[i]) == 0)
			sum[n - 1].live_bytes += sum[i].live_bytes;
		else
			sum[n++] = sum[i];
	}
	if (n)
		qsort(sum, n, sizeof(*sum), compare_size);
	return n < MAX_SITES ? n : MAX_SITES;
}

static void write_sites(const struct export *x, FILE *out)
{
	struct site_sum *sum = xcalloc(x->rows.n + 1, sizeof(*sum));
	size_t n = sum_sites(x, sum);
	head(out, "mmscope_site_live_bytes", "gauge", "bytes", "Heap in use by the sites that hold most.");
	for (size_t i = 0; i < n && sum[i].live_bytes; i++) {
		const struct row *r = sum[i].row;
		char *name = r->stack->n ? export_frame_name(&r->stack->frames[0]) : xstrdup("?");
		fputs("mmscope_site_live_bytes", out);
		process_labels(out, r->process);
		label(out, "site", r->id, false);
		label(out, "function", name, false);
		fprintf(out, "} %" PRIu64 "\n", sum[i].live_bytes);
		free(name);
	}
	free(sum);
}

void export_openmetrics(struct export *x, FILE *out)
{
	static const char *const states[] = {"complete", "recording", "incomplete"};
	head(out, "mmscope_recording", "info", NULL, "The recording these figures are from.");
	fputs("mmscope_recording_info", out);
	label(out, "state", states[capture_state(x->a.capture)], true);
	label(out, "mode", x->a.exact ? "exact" : "sample", false);
	label(out, "version", MMS_VERSION, false);
	fputs("} 1\n", out);
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		write_family(x, &families[i], out);
	write_resident(x, out);
	write_sites(x, out);
	fputs("# EOF\n", out);
}
