/*
 * side.c - see side.h.
 *
 * Totals are sums over the sites that are compared, so that they add up with
 * what is listed; peak and RSS come from the processes, since peaks of
 * different moments do not add up.  Called by diff and check; writes nothing.
 */
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/cow.h"
#include "report/held.h"
#include "report/side.h"
#include "report_sql.h"
#include "store/cow.h"

static void copy_word(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

double side_slack(double a, double b)
{
	return 1.8 * hypot(a, b);
}

static void read_site(struct side_site *site, struct answer *a, struct query *q)
{
	static const enum measure order[] = {M_LIVE_BYTES, M_LIVE_BLOCKS, M_PEAK_BYTES, M_ALLOC_BYTES,
		M_ALLOC_BLOCKS, M_TEMPORARY_BLOCKS};
	int c = 4;
	memset(site, 0, sizeof(*site));
	for (size_t i = 0; i < N_SITE_MEASURES; i++)
		site->value[i] = UNKNOWN;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		site->value[order[i]] = query_int(q, c++);
	site->own_peak = query_int(q, c++);
	for (size_t i = 0; i + 1 < sizeof(order) / sizeof(order[0]); i++)
		site->slack[order[i]] = sqrt(query_real(q, c++));
	site->slack[M_TEMPORARY_BLOCKS] = site->slack[M_ALLOC_BLOCKS]; /* a part of those */
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
		for (size_t m = 0; m < N_SITE_MEASURES; m++)
			s->total_slack[m] = hypot(s->total_slack[m], s->site[s->n - 1].slack[m]);
	}
	query_close(q);
}

/* ---- memory that was never touched ---- */

static int compare_ids(const void *left, const void *right)
{
	const struct side_site *a = left, *b = right;
	return strcmp(a->id, b->id);
}

static struct side_site *find_site(struct side *s, const char *id)
{
	struct side_site key = {.stack = NULL};
	copy_word(key.id, sizeof(key.id), id);
	return s->n ? bsearch(&key, s->site, s->n, sizeof(*s->site), compare_ids) : NULL;
}

/* Of heap blocks only: how much address space an allocator maps ahead, and
 * from below which call, depends on the moment. */
static void add_held(struct side *s, const struct held *h)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct held_site *x = &h->site[i];
		struct side_site *site = find_site(s, x->id);
		if (site && x->blocks && x->requested > x->touched)
			site->value[M_NEVER_BYTES] += (int64_t)(x->requested - x->touched);
	}
}

static void forget_never(struct side *s)
{
	for (size_t i = 0; i < s->n; i++)
		s->site[i].value[M_NEVER_BYTES] = UNKNOWN;
}

/* Known when the pages of every recorded process were looked at. */
static void read_never(struct side *s)
{
	bool known = true;
	for (size_t i = 0; i < s->n; i++)
		s->site[i].value[M_NEVER_BYTES] = 0;
	for (size_t i = 0; i < s->a.n_processes && known; i++) {
		const struct answer_process *p = &s->a.processes[i];
		struct held h;
		if (!p->followed)
			continue;
		known = held_load(&h, &s->a, p) && h.blocks_known && !h.counts_only;
		if (known)
			add_held(s, &h);
		held_done(&h);
	}
	if (!known)
		forget_never(s);
}

/* ---- pages that a fork shared and a side wrote ---- */

static bool is_small(const struct cow_fork *f)
{
	return f->why && strncmp(f->why, STORE_COW_SMALL, strlen(STORE_COW_SMALL)) == 0;
}

/* Known when every fork was watched, but for those of a program of less than 2 MiB,
 * which are left out, and those whose child became another program: such a
 * child breaks next to nothing. */
static int64_t broken_pages(struct answer *a, char **ret_why)
{
	struct cow c;
	int64_t pages = 0;
	cow_load(&c, a);
	for (size_t i = 0; i < c.n; i++) {
		const struct cow_fork *f = &c.fork[i];
		bool gone = f->child && strcmp(f->child->end, "exec") == 0;
		if (f->watched && cow_broken(f) >= 0)
			pages += cow_broken(f);
		else if (!gone && !is_small(f))
			pages = UNKNOWN;
		if (pages < 0) {
			*ret_why = xstrdup(cow_why_not(f));
			break;
		}
	}
	cow_done(&c);
	return pages;
}

/* A page counts for every site that has a block on it, so the sites add up to
 * more than the whole. */
static void read_cow(struct side *s)
{
	s->total[M_COW_PAGES] = broken_pages(&s->a, &s->cow_why);
	if (s->total[M_COW_PAGES] < 0)
		return;
	for (size_t i = 0; i < s->n; i++)
		s->site[i].value[M_COW_PAGES] = 0;
	struct query *q = answer_query(&s->a, sql_side_cow);
	while (answer_row(&s->a, q)) {
		struct side_site *site = find_site(s, query_text(q, 0));
		if (!site)
			continue;
		site->value[M_COW_PAGES] = query_int(q, 1);
		site->cow_at_most = query_int(q, 2) != 0;
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
	if (s->n == 0 || s->site[0].value[M_NEVER_BYTES] >= 0)
		s->total[M_NEVER_BYTES] = 0;
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

/* Known when at least one block was judged, or none was left. */
static bool are_judged(struct answer *a, const struct rows *rows)
{
	struct query *q = answer_query(a, sql_side_verdicts);
	bool judged = answer_row(a, q) && query_int(q, 0) > 0;
	query_close(q);
	return judged || rows->n == 0;
}

static void add_left(struct side *s, const struct row *row)
{
	struct side_site *site = find_site(s, row->id);
	for (int k = 0; site && k < N_REACH; k++)
		site->left[k] += judged_evidence(&s->judged, row)->facts.bytes[k];
}

/* Of the sites that are compared, as the other totals; what is suppressed is
 * nobody's leak. */
static void read_verdicts(struct side *s, bool all)
{
	struct rows rows = {NULL};
	struct judged_totals t = {{0}};
	rows_load(&rows, &s->a, true, 0);
	judged_load(&s->judged, &s->a, &rows);
	for (size_t i = 0; i < rows.n; i++) {
		const struct row *row = &rows.row[i];
		if (s->judged.known[row->number] || (!all && row_is_apart(row)))
			continue;
		judged_add(&s->judged, row, &t);
		add_left(s, row);
	}
	bool judged = are_judged(&s->a, &rows);
	rows_done(&rows);
	for (int k = 0; k < N_REACH; k++) {
		if (!judged && k != REACH_UNCLASSIFIED)
			continue;
		s->total[M_DEFINITE_BYTES + 2 * k] = (int64_t)t.bytes[k];
		s->total[M_DEFINITE_BLOCKS + 2 * k] = (int64_t)t.blocks[k];
	}
}

static void read_threads(struct side *s)
{
	struct query *q = answer_query(&s->a, sql_side_threads);
	s->threads = answer_row(&s->a, q) && query_int(q, 0);
	query_close(q);
}

int side_open(struct side *s, const char *verb, const char *path, const struct suppressions *rules, bool all)
{
	memset(s, 0, sizeof(*s));
	int status = answer_open(&s->a, verb, path);
	if (status)
		return status;
	if (!s->a.any_followed)
		return answer_refuse(&s->a, "no process was recorded, so its sites are not known");
	if (rules)
		suppress_copy(&s->judged.rules, rules);
	read_sites(s, all);
	read_never(s);
	sum_sites(s);
	read_cow(s);
	read_verdicts(s, all);
	read_threads(s);
	return 0;
}

int side_close(struct side *s, int status)
{
	free(s->site);
	free(s->cow_why);
	judged_done(&s->judged);
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
