/*
 * pages.c - mmscope pages: what was asked for, what was ever used, what is in
 * memory, by site; and every resident byte explained, to the last remainder.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/head.h"
#include "report/held.h"
#include "report/options.h"
#include "report/render.h"
#include "report/text.h"
#include "verbs.h"

#define DEFAULT_ROWS 12

struct pages {
	struct answer a;
	int format;
	int64_t pid, limit;
};

/* ---- JSON ---- */

static void site_json(struct json *j, struct answer *a, const struct held_site *s)
{
	json_object(j, NULL);
	json_string(j, "id", s->id[0] ? s->id : NULL);
	json_u64(j, "requested_bytes", s->requested);
	json_u64(j, "touched_bytes", s->touched);
	json_u64(j, "resident_bytes", s->resident);
	json_u64(j, "never_touched_bytes", s->requested > s->touched ? s->requested - s->touched : 0);
	json_u64(j, "blocks", s->blocks);
	json_u64(j, "areas", s->areas);
	json_u64(j, "pinned_pages", s->pinned_pages);
	json_object(j, "gone");
	json_u64(j, "count", s->gone_count);
	json_u64(j, "requested_bytes", s->gone_requested);
	json_u64(j, "touched_bytes", s->gone_touched);
	json_end(j);
	answer_stack_json(j, answer_stack(a, s->stack_id));
	json_end(j);
}

/* Which mappings an allocator uses is known by the blocks that lie there. */
static void heap_json(struct json *j, const struct held *h)
{
	static const char *const names[] = {"heap_live", "heap_slack", "heap_slack_cached", "heap_slack_fragmented",
		"mappings"};
	const struct held_rss *r = &h->rss;
	const uint64_t values[] = {r->heap_live, r->slack_cached + r->slack_partial, r->slack_cached, r->slack_partial,
		r->mappings};
	json_u64(j, "heap_and_mappings", held_heap(r) + r->mappings);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		if (h->blocks_known)
			json_u64(j, names[i], values[i]);
		else
			json_null(j, names[i]);
	}
}

static void rss_json(struct json *j, const struct held *h)
{
	const struct held_rss *r = &h->rss;
	json_object(j, "rss");
	if (r->total < 0)
		json_null(j, "total");
	else
		json_i64(j, "total", r->total);
	heap_json(j, h);
	json_u64(j, "stacks", r->stacks);
	json_u64(j, "file", r->file);
	json_u64(j, "shmem", r->shmem);
	json_u64(j, "profiler", r->profiler);
	json_u64(j, "other", r->other);
	if (r->total < 0)
		json_null(j, "unexplained");
	else
		json_i64(j, "unexplained", held_unexplained(r));
	json_end(j);
}

static void allocator_json(struct json *j, const struct held_allocator *x)
{
	if (!x->known) {
		json_null(j, "allocator");
		return;
	}
	json_object(j, "allocator");
	json_string(j, "name", x->name);
	json_u64(j, "in_use_bytes", x->in_use);
	json_u64(j, "cached_bytes", x->cached);
	json_u64(j, "fragmented_bytes", x->fragmented);
	json_u64(j, "mapped_bytes", x->mapped);
	json_end(j);
}

static void areas_json(struct json *j, const struct space *s)
{
	json_array(j, "vmas");
	for (size_t i = 0; i < s->n; i++) {
		const struct space_area *x = &s->area[i];
		json_object(j, NULL);
		json_address(j, "start", x->start);
		json_address(j, "end", x->end);
		json_string(j, "kind", x->kind);
		json_string(j, "name", x->name[0] ? x->name : NULL);
		json_u64(j, "requested_bytes", x->end - x->start);
		if (x->present < 0) {
			json_null(j, "touched_bytes");
			json_null(j, "resident_bytes");
		} else {
			json_u64(j, "touched_bytes", x->touched * SPACE_PAGE);
			json_u64(j, "resident_bytes", (uint64_t)x->present * SPACE_PAGE);
		}
		json_end(j);
	}
	json_end(j);
}

static void held_json(struct json *j, struct pages *v, const struct answer_process *p)
{
	struct held h;
	answer_process_json(j, p);
	if (!held_load(&h, &v->a, p)) {
		json_null(j, "sites");
		json_null(j, "rss");
		json_null(j, "allocator");
		held_done(&h);
		return;
	}
	json_array(j, "sites");
	for (size_t i = 0; i < h.n && (v->limit <= 0 || i < (size_t)v->limit); i++)
		site_json(j, &v->a, &h.site[i]);
	json_end(j);
	areas_json(j, &h.space);
	rss_json(j, &h);
	allocator_json(j, &h.allocator);
	json_object(j, "fragmentation");
	json_u64(j, "sparse_pages", h.pinned_pages);
	json_u64(j, "live_bytes", h.pinned_live);
	json_end(j);
	json_bool(j, "counts_only", h.counts_only);
	held_done(&h);
}

static void print_json(struct pages *v, const struct answer_process *main)
{
	struct json j;
	answer_head_json(&j, &v->a);
	held_json(&j, v, main);
	json_array(&j, "processes");
	for (size_t i = 0; i < v->a.n_processes; i++) {
		const struct answer_process *p = &v->a.processes[i];
		if (!p->followed || (v->pid && p->pid != v->pid))
			continue;
		json_object(&j, NULL);
		held_json(&j, v, p);
		json_end(&j);
	}
	json_end(&j);
	json_finish(&j);
}

/* ---- text ---- */

static void line(const char *name, int64_t bytes, int64_t whole, const char *text)
{
	char size[TEXT_NUMBER], part[TEXT_NUMBER];
	uint64_t n = (uint64_t)(bytes < 0 ? -bytes : bytes);
	printf("  %-20s %s%10s %8s  %s\n", name, bytes < 0 ? "-" : " ", text_size(size, n),
		text_percent(part, n, (uint64_t)whole), text);
}

static void print_rss(const struct held *h)
{
	const struct held_rss *r = &h->rss;
	if (r->total <= 0)
		return;
	render_heading("What is in memory");
	if (h->blocks_known) {
		line("live blocks", (int64_t)r->heap_live, r->total, "allocated and not freed");
		line("heap, kept", (int64_t)r->slack_cached, r->total, "pages without a live block");
		line("heap, between", (int64_t)r->slack_partial, r->total, "gaps beside live blocks");
		line("mappings", (int64_t)r->mappings, r->total, "mapped by the program itself");
	} else {
		line("heap and mappings", (int64_t)(held_heap(r) + r->mappings), r->total, "told apart when recording ends");
	}
	line("stacks", (int64_t)r->stacks, r->total, "");
	line("files", (int64_t)r->file, r->total, "programs, libraries, files, data");
	line("shared memory", (int64_t)r->shmem, r->total, "");
	line("mmscope", (int64_t)r->profiler, r->total, "the measuring itself");
	line("other", (int64_t)r->other, r->total, "nobody knows who made it");
	line("not explained", held_unexplained(r), r->total, "counted by the kernel, seen nowhere");
	line("all together", r->total, r->total, "");
}

/* Free memory by the allocator's own books, in memory or not. */
static void print_allocator(const struct held_allocator *x)
{
	char cached[TEXT_NUMBER], fragmented[TEXT_NUMBER], used[TEXT_NUMBER];
	if (!x->known)
		printf("  what the allocator says of the free part: not known (%s)\n",
			x->name[0] ? "no answer, see below" : "it was not asked");
	else
		printf("  by the books of %s: %s kept whole, %s free between blocks,\n"
		       "  and %s in use with what it adds to blocks\n", x->name, text_size(cached, x->cached),
			text_size(fragmented, x->fragmented), text_size(used, x->in_use));
}

static void print_site(struct pages *v, const struct held_site *s)
{
	char requested[TEXT_NUMBER], touched[TEXT_NUMBER], present[TEXT_NUMBER], never[TEXT_NUMBER];
	uint64_t unused = s->requested > s->touched ? s->requested - s->touched : 0;
	printf("%11s %11s %11s %11s%s%s%s%s\n", text_size(requested, s->requested), text_size(touched, s->touched),
		text_size(present, s->resident), text_size(never, unused), render_style(STYLE_DIM),
		s->id[0] ? "  " : "", s->id, render_style(STYLE_PLAIN));
	char *chain = render_chain(answer_stack(&v->a, s->stack_id), render_width() - 6);
	printf("      %s\n", chain);
	free(chain);
	if (s->gone_count)
		printf("      and %s in %llu given back, of which %s had been used\n",
			text_size(requested, s->gone_requested), (unsigned long long)s->gone_count,
			text_size(touched, s->gone_touched));
}

static void print_sites(struct pages *v, const struct held *h)
{
	char count[TEXT_NUMBER];
	render_heading("By site, most memory that was never used first");
	printf("%s%11s %11s %11s %11s  %s%s\n", render_style(STYLE_DIM), "asked for", "ever used", "in memory",
		"never used", "site", render_style(STYLE_PLAIN));
	size_t limit = v->limit < 0 ? DEFAULT_ROWS : v->limit == 0 ? h->n : (size_t)v->limit;
	limit = limit < h->n ? limit : h->n;
	for (size_t i = 0; i < limit; i++)
		print_site(v, &h->site[i]);
	if (limit < h->n)
		printf("      and %s more (--limit 0 shows all)\n", text_count(count, h->n - limit));
}

/* The sites that hold most of the nearly empty pages. */
static void print_fragmentation(struct pages *v, const struct held *h)
{
	char pages[TEXT_NUMBER], live[TEXT_NUMBER], bytes[TEXT_NUMBER];
	const struct held_site *most = NULL;
	if (!h->pinned_pages)
		return;
	for (size_t i = 0; i < h->n; i++)
		if (!most || h->site[i].pinned_pages > most->pinned_pages)
			most = &h->site[i];
	render_heading("Pages kept for little");
	printf("  %s pages (%s) hold %s of live blocks, less than a tenth each.\n",
		text_count(pages, h->pinned_pages), text_size(bytes, h->pinned_pages * SPACE_PAGE),
		text_size(live, h->pinned_live));
	char *chain = render_chain(answer_stack(&v->a, most->stack_id), render_width() - 6);
	printf("  Most of them, %s, are kept by blocks of\n      %s\n", text_count(pages, most->pinned_pages), chain);
	free(chain);
}

static void print_process(struct pages *v, const struct answer_process *p)
{
	struct held h;
	char size[TEXT_NUMBER], time[TEXT_NUMBER];
	if (!held_load(&h, &v->a, p)) {
		head_print_process(p, !v->a.exact ? "blocks were sampled: what each of them used is not known"
				: v->a.n_pauses   ? "recording was paused: not all blocks are known"
						  : "its pages were not, or could not be looked at");
		held_done(&h);
		return;
	}
	char *when = h.space.from_outside ? xasprintf("the last look, %s after the start",
		text_duration(time, (uint64_t)h.space.look_ns)) : xstrdup("the end");
	char *text = h.rss.total < 0 ? xstrdup("memory in use is not known")
		: xasprintf("%s in memory at %s", text_size(size, (uint64_t)h.rss.total), when);
	free(when);
	head_print_process(p, text);
	free(text);
	if (!h.blocks_known)
		printf("  Its blocks are known when the recording ends: the sites are those of mappings.\n");
	if (h.counts_only)
		printf("  Pages of some areas are known by number only: figures by site leave them out.\n");
	print_rss(&h);
	if (h.rss.total > 0)
		print_allocator(&h.allocator);
	print_sites(v, &h);
	print_fragmentation(v, &h);
	held_done(&h);
}

static void print_text(struct pages *v, const struct answer_process *main)
{
	head_print(&v->a);
	if (!v->pid) {
		print_process(v, main);
		if (v->a.n_processes > 1)
			printf("\nOther processes: --process PID shows one.\n");
	}
	for (size_t i = 0; v->pid && i < v->a.n_processes; i++)
		if (v->a.processes[i].pid == v->pid && v->a.processes[i].followed)
			print_process(v, &v->a.processes[i]);
	head_print_coverage(&v->a, 5);
}

int verb_pages(int argc, char **argv)
{
	struct pages v = {.limit = -1};
	const struct option_spec options[] = {
		{OPTION_NUMBER, "process", "PID", "this process only", &v.pid},
		{OPTION_NUMBER, "limit", "N", "sites to show, 0: all", &v.limit},
		OPTION_FORMAT(&v.format),
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "pages",
		.operands = "FILE.db",
		.summary = "Shows by site what was asked for, what was ever used and what is in\n"
			   "memory, and explains the memory in use to the last remainder.",
		.example = "    mmscope pages --limit 5 prog.db",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	const char *path;
	int status = options_parse(&spec, argc, argv, &path);
	if (status >= 0)
		return status;
	status = answer_open(&v.a, "pages", path);
	if (status)
		return status;
	if (!v.a.any_followed)
		return answer_refuse(&v.a, "no process was recorded, so its pages are not known");
	if (!answer_has_pid(&v.a, v.pid))
		return answer_refuse(&v.a, "no process with this pid is in the recording");
	const struct answer_process *main = v.pid ? answer_last_image(&v.a, v.pid) : v.a.main;
	if (v.format == FORMAT_JSON)
		print_json(&v, main);
	else
		print_text(&v, main);
	return answer_close(&v.a, VERB_OK);
}
