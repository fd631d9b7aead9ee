/*
 * side.c - see side.h.
 *
 * Totals are sums over the sites that are compared, so that they add up with
 * what is listed; peak and RSS come from the processes, since peaks of
 * different moments do not add up.  Called by diff and check; writes nothing.
 */
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/side.h"
#include "report/text.h"
#include "report_sql.h"

const struct measure_words measures[N_MEASURES] = {
	[M_LIVE_BYTES] = {"live.bytes", "live_bytes", "live at end", UNIT_BYTES},
	[M_LIVE_BLOCKS] = {"live.blocks", "live_blocks", "live blocks", UNIT_BLOCKS},
	[M_PEAK_BYTES] = {"peak.bytes", "peak_bytes", "peak", UNIT_BYTES},
	[M_ALLOC_BYTES] = {"alloc.bytes", "alloc_bytes", "allocated", UNIT_BYTES},
	[M_ALLOC_BLOCKS] = {"alloc.blocks", "alloc_blocks", "allocations", UNIT_BLOCKS},
	[M_TEMPORARY_BLOCKS] = {"temporary.blocks", "temporary_blocks", "temporary", UNIT_BLOCKS},
	[M_NEVER_BYTES] = {"touch.never.bytes", "never_touched_bytes", "never touched", UNIT_BYTES},
	[M_COW_PAGES] = {"cow.broken.pages", "cow_broken_pages", "broken COW pages", UNIT_PAGES},
	[M_RSS_PEAK] = {"rss.peak.bytes", "rss_peak_bytes", "RSS peak", UNIT_BYTES},
	[M_DEFINITE_BYTES] = {"leaks.definite.bytes", "leaks_definite_bytes", "definite leaks", UNIT_BYTES},
	[M_DEFINITE_BLOCKS] = {"leaks.definite.blocks", "leaks_definite_blocks", "definite leak blocks",
		UNIT_BLOCKS},
	[M_INDIRECT_BYTES] = {"leaks.indirect.bytes", "leaks_indirect_bytes", "indirect leaks", UNIT_BYTES},
	[M_INDIRECT_BLOCKS] = {"leaks.indirect.blocks", "leaks_indirect_blocks", "indirect leak blocks",
		UNIT_BLOCKS},
	[M_POSSIBLE_BYTES] = {"leaks.possible.bytes", "leaks_possible_bytes", "possible leaks", UNIT_BYTES},
	[M_POSSIBLE_BLOCKS] = {"leaks.possible.blocks", "leaks_possible_blocks", "possible leak blocks",
		UNIT_BLOCKS},
	[M_REACHABLE_BYTES] = {"leaks.reachable.bytes", "leaks_reachable_bytes", "still reachable",
		UNIT_BYTES},
	[M_REACHABLE_BLOCKS] = {"leaks.reachable.blocks", "leaks_reachable_blocks",
		"still reachable blocks", UNIT_BLOCKS},
	[M_UNCLASSIFIED_BYTES] = {"leaks.unclassified.bytes", "leaks_unclassified_bytes",
		"not freed, unclassified", UNIT_BYTES},
	[M_UNCLASSIFIED_BLOCKS] = {"leaks.unclassified.blocks", "leaks_unclassified_blocks",
		"unclassified blocks", UNIT_BLOCKS},
};

char *measure_text(char buffer[MEASURE_TEXT], enum measure m, int64_t value)
{
	char number[TEXT_NUMBER];
	if (value < 0)
		snprintf(buffer, MEASURE_TEXT, "not known");
	else if (measures[m].unit == UNIT_BYTES)
		snprintf(buffer, MEASURE_TEXT, "%s", text_size(number, (uint64_t)value));
	else
		snprintf(buffer, MEASURE_TEXT, "%s", text_count(number, (uint64_t)value));
	return buffer;
}

char *measure_change_text(char buffer[MEASURE_TEXT], enum measure m, int64_t change)
{
	char number[MEASURE_TEXT];
	measure_text(number, m, change < 0 ? -change : change);
	snprintf(buffer, MEASURE_TEXT, "%c%.*s", change < 0 ? '-' : '+', MEASURE_TEXT - 2, number);
	return buffer;
}

static void copy_word(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

static void read_site(struct side_site *site, struct answer *a, struct query *q)
{
	static const enum measure order[] = {M_LIVE_BYTES, M_LIVE_BLOCKS, M_PEAK_BYTES, M_ALLOC_BYTES,
		M_ALLOC_BLOCKS, M_TEMPORARY_BLOCKS};
	int c = 4;
	for (size_t i = 0; i < N_SITE_MEASURES; i++)
		site->value[i] = UNKNOWN;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		site->value[order[i]] = query_int(q, c++);
	site->own_peak = query_int(q, c);
	copy_word(site->id, sizeof(site->id), query_text(q, 0));
	copy_word(site->own, sizeof(site->own), query_text(q, 1));
	site->stack = answer_stack(a, query_int(q, 2));
}

static void read_sites(struct side *s, bool all)
{
	struct query *q = answer_query(&s->a, sql_side_sites);
	while (answer_row(&s->a, q)) {
		const char *own = query_text(q, 1);
		if (!all && own && strcmp(own, "target") != 0)
			continue;
		XGROW(s->site, s->n, s->capacity);
		read_site(&s->site[s->n++], &s->a, q);
	}
	query_close(q);
}

static void add_known(int64_t *to, int64_t value)
{
	if (value >= 0)
		*to = *to < 0 ? value : *to + value;
}

static void sum_sites(struct side *s)
{
	for (size_t i = 0; i < N_MEASURES; i++)
		s->total[i] = i <= M_TEMPORARY_BLOCKS ? 0 : UNKNOWN;
	for (size_t i = 0; i < s->n; i++)
		for (size_t m = 0; m < N_SITE_MEASURES; m++)
			if (m != M_PEAK_BYTES)
				add_known(&s->total[m], s->site[i].value[m]);
	for (size_t i = 0; i < s->a.n_processes; i++) {
		const struct answer_process *p = &s->a.processes[i];
		if (p->followed && (int64_t)p->peak_bytes > s->total[M_PEAK_BYTES])
			s->total[M_PEAK_BYTES] = (int64_t)p->peak_bytes;
		if (p->hiwater_rss > s->total[M_RSS_PEAK])
			s->total[M_RSS_PEAK] = p->hiwater_rss;
	}
}

static enum measure verdict_measure(const char *verdict)
{
	static const char *const words[] = {"definite", "indirect", "possible", "reachable"};
	for (size_t i = 0; verdict && i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(verdict, words[i]) == 0)
			return M_DEFINITE_BYTES + 2 * (enum measure)i;
	return M_UNCLASSIFIED_BYTES;
}

/* Verdicts are known when at least one block was judged, or none was left. */
static void read_verdicts(struct side *s)
{
	int64_t sum[N_MEASURES] = {0};
	bool judged = true;
	struct query *q = answer_query(&s->a, sql_side_verdicts);
	for (size_t n = 0; answer_row(&s->a, q); n++) {
		enum measure m = verdict_measure(query_text(q, 0));
		sum[m] += query_int(q, 2);
		sum[m + 1] += query_int(q, 1);
		judged = (judged && n > 0) || m != M_UNCLASSIFIED_BYTES;
	}
	query_close(q);
	for (size_t m = M_DEFINITE_BYTES; m < N_MEASURES; m++)
		if (judged || m >= M_UNCLASSIFIED_BYTES)
			s->total[m] = sum[m];
}

int side_open(struct side *s, const char *verb, const char *path, bool all)
{
	memset(s, 0, sizeof(*s));
	int status = answer_open(&s->a, verb, path);
	if (status)
		return status;
	if (!s->a.any_followed)
		return answer_refuse(&s->a, "no process was recorded, so its sites are not known");
	read_sites(s, all);
	sum_sites(s);
	read_verdicts(s);
	return 0;
}

int side_close(struct side *s, int status)
{
	free(s->site);
	return answer_close(&s->a, status);
}

bool side_site_fits(const struct side_site *site, const char *pattern)
{
	if (strcmp(site->id, pattern) == 0)
		return true;
	for (size_t i = 0; i < site->stack->n; i++)
		if (site->stack->frames[i].function &&
			fnmatch(pattern, site->stack->frames[i].function, 0) == 0)
			return true;
	return false;
}
