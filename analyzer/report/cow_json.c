/*
 * cow_json.c - the answer of cow as JSON.  Keys are those of DESIGN 6; what
 * was not measured is null.  Called by cow.c and report.c.
 */
#include <stdlib.h>
#include <string.h>

#include "report/cow.h"

static void known(struct json *j, const char *key, int64_t value)
{
	if (value < 0)
		json_null(j, key);
	else
		json_i64(j, key, value);
}

/* null: the figures are no estimates. */
static void intervals_json(struct json *j, const struct cow_interval *x, size_t n)
{
	if (n == 0) {
		json_null(j, "intervals");
		return;
	}
	json_object(j, "intervals");
	for (size_t i = 0; i < n; i++) {
		json_object(j, x[i].name);
		json_i64(j, "low", x[i].low);
		json_i64(j, "high", x[i].high);
		json_end(j);
	}
	json_end(j);
}

static void areas_json(struct json *j, struct answer *a, const struct cow_parts *p, size_t limit)
{
	json_array(j, "vmas");
	for (size_t i = 0; i < p->n_areas && (!limit || i < limit); i++) {
		const struct cow_area *x = &p->area[i];
		json_object(j, NULL);
		json_address(j, "start", x->start);
		json_address(j, "end", x->end);
		json_string(j, "perms", x->perms);
		json_string(j, "kind", x->kind);
		json_string(j, "name", x->name[0] ? x->name : NULL);
		known(j, "pages_shared", x->shared);
		known(j, "parent_broke", x->parent);
		known(j, "child_broke", x->child);
		known(j, "both_broke", x->both);
		known(j, "huge_pages", x->huge);
		known(j, "bytes_changed", x->changed);
		known(j, "identical_pages", x->identical);
		known(j, "counter_pages", x->counters);
		intervals_json(j, x->within, x->n_within);
		answer_stack_json(j, answer_stack(a, x->stack_id));
		json_end(j);
	}
	json_end(j);
}

static void places_json(struct json *j, struct answer *a, const struct cow_parts *p, size_t limit)
{
	json_array(j, "sites");
	for (size_t i = 0; i < p->n_places && (!limit || i < limit); i++) {
		const struct cow_place *x = &p->place[i];
		json_object(j, NULL);
		json_string(j, "id", x->id[0] ? x->id : NULL);
		known(j, "pages_shared", x->shared);
		known(j, "parent_broke", x->parent);
		known(j, "child_broke", x->child);
		known(j, "both_broke", x->both);
		known(j, "blocks", x->blocks);
		known(j, "bytes", x->bytes);
		known(j, "false_blocks", x->false_blocks);
		known(j, "bytes_changed", x->changed);
		known(j, "identical_pages", x->identical);
		known(j, "counter_pages", x->counters);
		intervals_json(j, x->within, x->n_within);
		answer_stack_json(j, answer_stack(a, x->stack_id));
		json_end(j);
	}
	json_end(j);
}

static void points_json(struct json *j, const struct cow_parts *p)
{
	json_array(j, "samples");
	for (size_t i = 0; i < p->n_points; i++) {
		const struct cow_point *x = &p->point[i];
		json_object(j, NULL);
		json_i64(j, "t_ns", x->t_ns);
		known(j, "parent_broke", x->parent);
		known(j, "child_broke", x->child);
		known(j, "both_broke", x->both);
		known(j, "new_parent", x->new_parent);
		known(j, "new_child", x->new_child);
		json_end(j);
	}
	json_end(j);
}

static void advice_json(struct json *j, const struct cow_fork *f, const struct cow_parts *p)
{
	static const char *const words[N_COW_RULES] = COW_RULE_WORDS;
	json_array(j, "advice");
	for (int rule = 0; rule < N_COW_RULES; rule++) {
		const struct cow_place *place;
		char *text = cow_advice((enum cow_rule)rule, f, p, &place);
		if (!text)
			continue;
		json_object(j, NULL);
		json_string(j, "rule", words[rule]);
		json_string(j, "text", text);
		json_string(j, "site", place && place->id[0] ? place->id : NULL);
		json_end(j);
		free(text);
	}
	json_end(j);
}

/* In the order of enum cow_number. */
static void numbers_json(struct json *j, const struct cow_fork *f)
{
	static const char *const keys[COW_NUMBERS] = {"page_size", "pages_shared", "parent_broke", "child_broke",
		"both_broke", "still_shared", "new_parent", "new_child", "copies", "copies_low", "copies_high",
		"error_pages", "parent_minor_faults", "child_minor_faults", "bytes_changed", "identical_pages",
		"counter_pages", "pointer_pages", "bulk_pages", "watched_ns"};
	for (size_t i = 0; i < COW_NUMBERS; i++)
		known(j, keys[i], f->n[i]);
	known(j, "bytes_copied", cow_bytes_copied(f));
}

static void fork_json(struct json *j, struct answer *a, const struct cow_fork *f, size_t limit)
{
	struct cow_parts p;
	json_object(j, NULL);
	json_i64(j, "id", f->id);
	known(j, "parent", f->parent && !f->parent->merged ? f->parent->pid : COW_UNKNOWN);
	if (f->merged)
		json_u64(j, "merged", f->merged);
	known(j, "child", f->child_pid);
	json_string(j, "kind", f->kind);
	json_i64(j, "t_ns", f->t_ns);
	json_string(j, "method", f->method);
	if (f->exact < 0)
		json_null(j, "exact");
	else
		json_bool(j, "exact", f->exact);
	json_string(j, "why", f->why);
	if (f->share < 0)
		json_null(j, "watched_share");
	else
		json_double(j, "watched_share", f->share);
	numbers_json(j, f);
	json_i64(j, "pause_ns", f->pause_ns);
	known(j, "areas", f->areas);
	known(j, "page_tables", f->page_tables);
	known(j, "arm_parent_ns", f->arm_parent_ns);
	known(j, "arm_child_ns", f->arm_child_ns);
	cow_parts_load(&p, a, f);
	intervals_json(j, p.interval, p.n_intervals);
	points_json(j, &p);
	areas_json(j, a, &p, limit);
	places_json(j, a, &p, limit);
	advice_json(j, f, &p);
	cow_parts_done(&p);
	answer_stack_json(j, answer_stack(a, f->stack_id));
	json_end(j);
}

/* parent NULL: of all processes. */
static void forks_json(struct json *j, struct answer *a, const struct cow *c, const struct answer_process *parent,
	const struct cow_fork *only, size_t limit)
{
	json_array(j, "forks");
	for (size_t i = 0; i < c->n; i++)
		if ((!only || only == &c->fork[i]) && (!parent || parent == c->fork[i].parent))
			fork_json(j, a, &c->fork[i], limit);
	json_end(j);
}

static void unwatched_json(struct json *j, const struct cow *c)
{
	json_array(j, "not_watched");
	for (size_t i = 0; i < c->n_unwatched; i++) {
		json_object(j, NULL);
		json_string(j, "why", c->unwatched[i].why);
		json_u64(j, "forks", c->unwatched[i].n);
		json_end(j);
	}
	json_end(j);
}

static bool has_forked(const struct cow *c, const struct answer_process *p)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->fork[i].parent == p)
			return true;
	return false;
}

void cow_json(struct answer *a, const struct cow *c, const struct cow_fork *only, size_t limit)
{
	struct json j;
	answer_head_json(&j, a);
	forks_json(&j, a, c, NULL, only, limit);
	unwatched_json(&j, c);
	json_array(&j, "processes");
	for (size_t i = 0; i < a->n_processes; i++) {
		const struct answer_process *p = &a->processes[i];
		if (!has_forked(c, p))
			continue;
		json_object(&j, NULL);
		answer_process_json(&j, p);
		forks_json(&j, a, c, p, only, limit);
		json_end(&j);
	}
	json_end(&j);
	json_finish(&j);
}

static void add(int64_t *sum, int64_t value)
{
	if (value >= 0)
		*sum = (*sum < 0 ? 0 : *sum) + value;
}

void cow_head_json(struct json *j, const char *key, const struct cow *c)
{
	enum { SHARED, BROKEN, PARENT, CHILD, BOTH, COPIES, COPIED, N };
	static const char *const keys[N] = {"pages_shared", "broken_pages", "parent_broke", "child_broke", "both_broke",
		"copies", "bytes_copied"};
	int64_t sum[N];
	for (size_t i = 0; i < N; i++)
		sum[i] = COW_UNKNOWN;
	for (size_t i = 0; i < c->n; i++) {
		const struct cow_fork *f = &c->fork[i];
		if (!f->watched)
			continue;
		add(&sum[SHARED], f->n[COW_SHARED]);
		add(&sum[BROKEN], cow_broken(f));
		add(&sum[PARENT], f->n[COW_PARENT]);
		add(&sum[CHILD], f->n[COW_CHILD]);
		add(&sum[BOTH], f->n[COW_BOTH]);
		add(&sum[COPIES], f->n[COW_COPIES]);
		add(&sum[COPIED], cow_bytes_copied(f));
	}
	if (c->n == 0) {
		json_null(j, key);
		return;
	}
	json_object(j, key);
	json_u64(j, "forks", c->n_all);
	json_u64(j, "watched", c->n_watched);
	for (size_t i = 0; i < N; i++)
		known(j, keys[i], sum[i]);
	json_end(j);
}
