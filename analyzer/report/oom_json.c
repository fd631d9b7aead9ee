/*
 * oom_json.c - the answer of oom as JSON.  Keys are those of DESIGN 6.  What
 * was not measured is null.  Called by oom.c and report.c.
 */
#include <stdio.h>

#include "report/oom_write.h"

#define SITES 10
#define PLOT_POINTS 240

static void known(struct json *j, const char *key, int64_t value)
{
	if (value == OOM_UNKNOWN)
		json_null(j, key);
	else
		json_i64(j, key, value);
}

static void limit_members(struct json *j, const struct oom_limit *l)
{
	json_string(j, "kind", l->kind);
	json_string(j, "path", l->path);
	if (l->unlimited) {
		json_null(j, "limit_bytes");
	} else {
		json_u64(j, "limit_bytes", l->limit);
	}
	json_u64(j, "usage_bytes", l->usage);
	if (l->unlimited) {
		json_null(j, "headroom_bytes");
	} else {
		json_i64(j, "headroom_bytes", l->headroom);
	}
	json_string(j, "unit", l->threads ? "threads" : l->counts ? "areas" : "bytes");
	json_u64(j, "reclaimable_bytes", l->reclaimable);
	known(j, "peak_bytes", l->peak);
	known(j, "swap_bytes", l->swap);
	known(j, "residue_bytes", l->residue);
	known(j, "failures", l->failures);
	known(j, "new_failures", l->new_failures);
	known(j, "oom_kills", l->oom_kills);
	known(j, "new_oom_kills", l->new_kills);
	known(j, "stall_us", l->stall_us);
	known(j, "full_stall_us", l->full_stall_us);
}

static void growth_json(struct json *j, const char *key, const struct growth *g)
{
	bool told = g->verdict != GROWTH_UNPROVEN;
	json_object(j, key);
	if (told) {
		json_double(j, "bytes_per_s", g->per_s);
		json_double(j, "low", g->low);
		json_double(j, "high", g->high);
	} else {
		json_null(j, "bytes_per_s");
		json_null(j, "low");
		json_null(j, "high");
	}
	json_string(j, "method", "repeated medians");
	json_double(j, "window_s", g->window_s);
	json_u64(j, "points", g->n_points);
	json_string(j, "verdict", oom_growth_word(g));
	json_end(j);
}

static void time_json(struct json *j, const char *key, const struct oom_limit *l)
{
	if (!l->has_time) {
		json_null(j, key);
		return;
	}
	json_object(j, key);
	json_double(j, "point", l->time.point_s);
	json_double(j, "low", l->time.low_s);
	json_double(j, "high", l->time.high_s);
	json_end(j);
}

static void debts_json(struct json *j, const struct oom *o)
{
	json_object(j, "debts");
	known(j, "touch", o->touch);
	known(j, "cow", o->cow);
	known(j, "stack", o->stack);
	known(j, "thp", o->thp);
	known(j, "page_tables", o->page_tables_due);
	known(j, "next_fork", o->next_fork);
	known(j, "cow_huge", o->cow_huge);
	known(j, "page_tables_now", o->page_tables);
	known(j, "threads", o->threads);
	known(j, "swapped", o->swap);
	known(j, "noreserve", o->noreserve);
	json_end(j);
}

static void victim_json(struct json *j, const struct oom *o)
{
	if (o->n_victims == 0) {
		json_null(j, "victim");
		return;
	}
	json_object(j, "victim");
	json_i64(j, "pid", o->victims[0].pid);
	json_string(j, "name", o->victims[0].name);
	json_i64(j, "badness_bytes", o->victims[0].badness);
	json_i64(j, "oom_score_adj", o->victims[0].adjustment);
	json_i64(j, "t_ns", o->victims[0].t_ns);
	json_bool(j, "is_this_process", o->victims[0].pid == o->process->pid);
	json_end(j);
	json_array(j, "victims");
	for (size_t i = 0; i < o->n_victims; i++) {
		json_object(j, NULL);
		json_i64(j, "pid", o->victims[i].pid);
		json_string(j, "name", o->victims[i].name);
		json_i64(j, "badness_bytes", o->victims[i].badness);
		json_i64(j, "oom_score_adj", o->victims[i].adjustment);
		json_end(j);
	}
	json_end(j);
}

static void sites_json(struct json *j, const char *key, const struct oom_sites *s, bool growing)
{
	json_array(j, key);
	for (size_t i = 0; i < s->n && i < SITES; i++) {
		if (growing ? s->site[i].grown <= 0 : s->site[i].live == 0)
			break;
		json_object(j, NULL);
		json_string(j, "id", s->site[i].id[0] ? s->site[i].id : NULL);
		json_i64(j, "grown_bytes", s->site[i].grown);
		json_u64(j, "live_bytes", s->site[i].live);
		answer_stack_json(j, s->site[i].stack);
		json_end(j);
	}
	json_end(j);
}

static void death_json(struct json *j, const struct oom *o, struct answer *a)
{
	const struct oom_death *d = &o->death;
	if (!d->killed && !d->perhaps && !d->failed_allocs) {
		json_null(j, "post_mortem");
		return;
	}
	json_object(j, "post_mortem");
	if (d->perhaps)
		json_null(j, "oom_killed");
	else
		json_bool(j, "oom_killed", d->killed);
	json_string(j, "counted_by", d->who);
	known(j, "kills_before", d->who ? d->kills_before : OOM_UNKNOWN);
	known(j, "kills_after", d->who ? d->kills_after : OOM_UNKNOWN);
	json_i64(j, "last_headroom_bytes", o->binding->headroom);
	json_i64(j, "failed_allocs", d->failed_allocs);
	if (d->failed_allocs) {
		json_i64(j, "failed_size", d->failed_size);
		json_i64(j, "failed_t_ns", d->failed_t_ns);
		json_string(j, "failed_limit", d->failed_limit ? d->failed_limit->kind : NULL);
		answer_stack_json(j, answer_stack(a, d->failed_stack));
	}
	json_end(j);
}

static void plot_json(struct json *j, const struct oom_limit *l)
{
	size_t n = l->n_points < PLOT_POINTS ? l->n_points : PLOT_POINTS;
	json_array(j, "plot");
	for (size_t i = 0; i < n; i++) {
		const struct growth_point *p = &l->points[(i + 1) * l->n_points / n - 1];
		json_array(j, NULL);
		json_double(j, NULL, p->t_s);
		json_double(j, NULL, p->value);
		json_end(j);
	}
	json_end(j);
}

void oom_head_json(struct json *j, const struct oom *o)
{
	json_string(j, "verdict", oom_verdict_word(o->verdict));
	json_array(j, "reasons");
	for (size_t i = 0; i < o->n_reasons; i++)
		json_string(j, NULL, o->reasons[i]);
	json_end(j);
	json_i64(j, "t_ns", o->t_ns);
	json_object(j, "binding");
	limit_members(j, o->binding);
	json_end(j);
	growth_json(j, "growth", &o->binding->growth);
	time_json(j, "time_to_limit_s", o->binding);
}

void oom_json(struct json *j, const struct oom *o, struct oom_sites *sites, struct answer *a)
{
	json_array(j, "limits");
	for (size_t i = 0; i < o->n_limits; i++) {
		if (o->limits[i].n_points == 0)
			continue;
		json_object(j, NULL);
		limit_members(j, &o->limits[i]);
		growth_json(j, "growth", &o->limits[i].growth);
		time_json(j, "time_to_limit_s", &o->limits[i]);
		json_end(j);
	}
	json_end(j);
	oom_head_json(j, o);
	json_bool(j, "own_cgroup_only", o->own_cgroup_only);
	if (o->has_live)
		growth_json(j, "live_growth", &o->live);
	else
		json_null(j, "live_growth");
	oom_sites_by_growth(sites);
	sites_json(j, "growing_sites", sites, true);
	oom_sites_by_size(sites);
	sites_json(j, "largest_sites", sites, false);
	debts_json(j, o);
	victim_json(j, o);
	death_json(j, o, a);
	plot_json(j, o->binding);
}
