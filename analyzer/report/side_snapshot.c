/*
 * side_snapshot.c - a snapshot of a running process as one side of diff: what
 * was live then, by site, and what could be reached of it.
 *
 * Whatever tells of a whole run (peaks, sums of allocations, pages of forks) is
 * UNKNOWN.  Called by diff; writes nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/alloc.h"
#include "report/side.h"
#include "report/text.h"
#include "report_sql.h"
#include "verbs.h"

char *side_split(const char *operand, const char **ret_snapshot)
{
	*ret_snapshot = NULL;
	for (const char *at = strchr(operand, '@'); at; at = strchr(at + 1, '@')) {
		char *path = xasprintf("%.*s", (int)(at - operand), operand);
		if (access(path, F_OK) == 0 && access(operand, F_OK) != 0) {
			*ret_snapshot = at + 1;
			return path;
		}
		free(path);
	}
	return xstrdup(operand);
}

static bool is_known(size_t m)
{
	return m == M_LIVE_BYTES || m == M_LIVE_BLOCKS || m == M_NEVER_BYTES;
}

static struct side_site *begin_site(struct side *s, struct query *q)
{
	XGROW(s->site, s->n, s->capacity);
	struct side_site *site = &s->site[s->n++];
	memset(site, 0, sizeof(*site));
	snprintf(site->id, sizeof(site->id), "%s", query_text(q, 0));
	snprintf(site->own, sizeof(site->own), "%s", query_text(q, 1));
	site->stack = answer_stack(&s->a, query_int(q, 2));
	for (size_t i = 0; i < N_SITE_MEASURES; i++)
		site->value[i] = is_known(i) ? 0 : UNKNOWN;
	return site;
}

/* What is suppressed is live, and nobody's leak. */
static void add_verdict(struct side *s, struct side_site *site, struct query *q)
{
	enum reach reach = reach_of_word(query_text(q, 3));
	const struct capture_stack *stack = answer_stack(&s->a, query_int(q, 2));
	int64_t blocks = query_int(q, 4), bytes = query_int(q, 5);
	site->value[M_LIVE_BLOCKS] += blocks;
	site->value[M_LIVE_BYTES] += bytes;
	site->value[M_NEVER_BYTES] += query_int(q, 6);
	if (suppress_find(&s->judged.built_in, stack, reach))
		return;
	site->left[reach] += (uint64_t)bytes;
	s->total[M_DEFINITE_BYTES + 2 * reach] += bytes;
	s->total[M_DEFINITE_BLOCKS + 2 * reach] += blocks;
}

static void read_sites(struct side *s, int64_t id, bool all)
{
	struct query *q = answer_query(&s->a, sql_side_snapshot_sites);
	query_bind(q, 1, id);
	while (answer_row(&s->a, q)) {
		if (!all && strcmp(query_text(q, 1), "target") != 0)
			continue;
		struct side_site *last = s->n ? &s->site[s->n - 1] : NULL;
		if (!last || strcmp(last->id, query_text(q, 0)) != 0)
			last = begin_site(s, q);
		add_verdict(s, last, q);
	}
	query_close(q);
	for (size_t i = 0; i < s->n; i++)
		for (size_t m = 0; m < N_SITE_MEASURES; m++)
			s->total[m] += is_known(m) ? s->site[i].value[m] : 0;
}

int side_open_snapshot(struct side *s, const char *verb, const char *path, const char *name, bool all)
{
	memset(s, 0, sizeof(*s));
	int status = answer_open(&s->a, verb, path);
	if (status)
		return status;
	if (!space_snapshot_find(&s->a, name, &s->snapshot)) {
		char *clean = text_clean(name);
		fprintf(stderr, "mmscope %s: %s: there is no snapshot of this name\n", verb, clean);
		free(clean);
		return answer_close(&s->a, VERB_USAGE);
	}
	s->snapshot_name = name;
	for (size_t i = 0; i < N_MEASURES; i++)
		s->total[i] = is_known(i) || i >= M_DEFINITE_BYTES ? 0 : UNKNOWN;
	suppress_built_in(&s->judged.built_in);
	read_sites(s, s->snapshot.id, all);
	return 0;
}
