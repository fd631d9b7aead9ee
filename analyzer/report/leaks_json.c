/*
 * leaks_json.c - the answer of `mmscope leaks` for programs.
 *
 * An entry of `sites` is the blocks of one site that have one verdict; class,
 * score, growth and thread are those of the site, the same in each of its
 * entries.
 */
#include "report/leaks.h"

static void totals_json(struct json *j, const struct judged_totals *t)
{
	json_object(j, "totals");
	json_amount(j, "live", t->live_blocks, t->live_bytes);
	judged_reach_json(j, t);
	json_amount(j, "apart", t->apart_blocks, t->apart_bytes);
	json_end(j);
}

static void growth_json(struct json *j, const struct growth *g)
{
	static const char *const word[] = {"flat", "growing", "unproven"};
	json_object(j, "growth");
	json_string(j, "verdict", word[g->verdict]);
	if (g->verdict == GROWTH_UNPROVEN) {
		json_null(j, "bytes_per_s");
		json_null(j, "low");
		json_null(j, "high");
		json_null(j, "window_s");
	} else {
		json_double(j, "bytes_per_s", g->per_s);
		json_double(j, "low", g->low);
		json_double(j, "high", g->high);
		json_double(j, "window_s", g->window_s);
	}
	json_end(j);
}

static void evidence_json(struct json *j, const struct evidence *e)
{
	json_string(j, "class", class_word(e->verdict.class));
	if (e->verdict.scored)
		json_double(j, "score_bytes_per_s", e->verdict.score);
	else
		json_null(j, "score_bytes_per_s");
	json_string(j, "why", e->verdict.why);
	growth_json(j, &e->facts.growth);
	if (!e->thread) {
		json_null(j, "last_thread");
		return;
	}
	json_object(j, "last_thread");
	json_i64(j, "number", e->thread);
	json_i64(j, "tid", e->tid);
	json_string(j, "name", e->thread_name[0] ? e->thread_name : NULL);
	json_u64(j, "t_ns", e->last_ns);
	json_end(j);
}

static void entry_json(struct json *j, const struct leaks *l, const struct row *row, enum reach reach)
{
	const struct evidence *e = judged_evidence(&l->judged, row);
	const struct suppress_rule *known = l->judged.known[row->number];
	uint64_t bytes = e->facts.bytes[reach];
	/* A verdict has the bounds of its site where nothing was lost; where blocks
	 * were sampled there is only one verdict. */
	struct bounds bounds = row->sampled.live, of_blocks = row->sampled.live_blocks;
	if (!bounds.unknown && l->a.exact) {
		bounds.low = bounds.high = bytes;
		of_blocks.low = of_blocks.high = e->facts.blocks[reach];
	}
	json_object(j, NULL);
	json_string(j, "id", row->id[0] ? row->id : NULL);
	json_string(j, "verdict", reach_word(reach));
	json_u64(j, "blocks", e->facts.blocks[reach]);
	json_u64(j, "bytes", bytes);
	bounds_json(j, "bytes", &bounds);
	bounds_json(j, "blocks", &of_blocks);
	if (l->a.exact)
		json_null(j, "samples");
	else
		json_u64(j, "samples", row->sampled.live_samples);
	if (l->a.n_pauses && l->a.exact) {
		json_u64(j, "uncertain_blocks", row->uncertain_blocks);
		json_u64(j, "uncertain_bytes", row->uncertain_bytes);
	}
	evidence_json(j, e);
	json_string(j, "own", row->own);
	json_string(j, "suppressed_by", known ? known->name : NULL);
	answer_process_json(j, row->process);
	answer_stack_json(j, row->stack);
	json_end(j);
}

static void sites_json(struct json *j, const struct leaks *l)
{
	json_array(j, "sites");
	for (size_t at = 0, end; at < l->rows.n; at = end) {
		end = rows_process_end(&l->rows, at);
		for (size_t i = at; i < end && (l->limit <= 0 || i - at < (size_t)l->limit); i++)
			for (int k = 0; k < N_REACH; k++)
				if (judged_evidence(&l->judged, &l->rows.row[i])->facts.blocks[k])
					entry_json(j, l, &l->rows.row[i], (enum reach)k);
	}
	json_end(j);
}

static void mappings_json(struct json *j, const struct leaks *l)
{
	json_array(j, "mappings");
	for (size_t i = 0; i < l->mappings.n; i++) {
		const struct mapping *m = &l->mappings.mapping[i];
		json_object(j, NULL);
		json_string(j, "id", m->id[0] ? m->id : NULL);
		json_u64(j, "areas", m->areas);
		json_u64(j, "bytes", m->bytes);
		if (m->touched_bytes < 0)
			json_null(j, "touched_bytes");
		else
			json_i64(j, "touched_bytes", m->touched_bytes);
		answer_process_json(j, m->process);
		answer_stack_json(j, m->stack);
		json_end(j);
	}
	json_end(j);
}

static void processes_json(struct json *j, const struct leaks *l)
{
	json_array(j, "processes");
	for (size_t at = 0, end; at < l->rows.n; at = end) {
		end = rows_process_end(&l->rows, at);
		struct judged_totals t = leaks_totals(l, at, end);
		json_object(j, NULL);
		answer_process_json(j, l->rows.row[at].process);
		totals_json(j, &t);
		json_u64(j, "sites", end - at);
		json_end(j);
	}
	json_end(j);
}

void leaks_json(struct leaks *l)
{
	struct json j;
	struct judged_totals t = leaks_totals(l, 0, l->rows.n);
	answer_head_json(&j, &l->a);
	json_string(&j, "mode", capture_meta(l->a.capture, "mode"));
	totals_json(&j, &t);
	sites_json(&j, l);
	mappings_json(&j, l);
	judged_rules_json(&j, &l->judged);
	processes_json(&j, l);
	json_finish(&j);
}
