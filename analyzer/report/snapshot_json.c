/*
 * snapshot_json.c - the answer of `mmscope snapshot` for programs.
 */
#include <string.h>

#include "report/snapshot.h"

static void sites(struct json *j, const struct snapshot_answer *s)
{
	json_array(j, "sites");
	for (size_t i = 0; i < s->n_sites; i++) {
		const struct snapshot_site *v = &s->site[i];
		json_object(j, NULL);
		json_string(j, "id", v->id[0] ? v->id : NULL);
		json_string(j, "verdict", snapshot_words[v->verdict]);
		json_string(j, "own", v->own);
		json_u64(j, "blocks", v->blocks);
		json_u64(j, "bytes", v->bytes);
		if (s->against) {
			json_u64(j, "blocks_before", v->old_blocks);
			json_u64(j, "bytes_before", v->old_bytes);
		}
		answer_stack_json(j, v->stack);
		json_end(j);
	}
	json_end(j);
}

static void threads(struct json *j, const struct snapshot_answer *s)
{
	json_array(j, "threads");
	for (size_t i = 0; i < s->n_frames; i++) {
		const struct snapshot_frame *f = &s->frame[i];
		if (f->first) {
			json_object(j, NULL);
			json_i64(j, "tid", f->tid);
			json_string(j, "name", f->thread);
			json_array(j, "stack");
		}
		json_object(j, NULL);
		json_string(j, "function", f->function);
		json_string(j, "module", f->module);
		if (f->offset >= 0)
			json_address(j, "offset", (uint64_t)f->offset);
		else
			json_null(j, "offset");
		json_address(j, "pc", (uint64_t)f->pc);
		json_end(j);
		if (i + 1 == s->n_frames || s->frame[i + 1].first) {
			json_end(j);
			json_end(j);
		}
	}
	json_end(j);
}

static void areas(struct json *j, const struct snapshot_answer *s)
{
	json_array(j, "areas");
	for (size_t i = 0; i < s->n_areas; i++) {
		const struct snapshot_area *v = &s->area[i];
		json_object(j, NULL);
		json_string(j, "kind", v->kind);
		json_u64(j, "areas", v->n);
		json_u64(j, "bytes", v->bytes);
		json_u64(j, "resident_bytes", v->resident);
		if (s->against) {
			json_u64(j, "areas_before", v->old_n);
			json_u64(j, "bytes_before", v->old_bytes);
			json_u64(j, "resident_bytes_before", v->old_resident);
		}
		json_end(j);
	}
	json_end(j);
}

void snapshot_json(struct snapshot_answer *s)
{
	const struct snapshot_row *v = s->shown;
	struct json j;
	answer_head_json(&j, &s->a);
	json_string(&j, "name", v->name);
	json_string(&j, "against", s->against ? s->against->name : NULL);
	if (v->process)
		answer_process_json(&j, v->process);
	json_u64(&j, "t_ns", v->t_ns);
	json_string(&j, "method", v->method);
	json_string(&j, "why", v->why);
	json_u64(&j, "pause_ns", v->pause_ns);
	json_u64(&j, "read_ns", v->read_ns);
	json_u64(&j, "scan_ns", v->scan_ns);
	json_u64(&j, "scanned_bytes", v->scanned_bytes);
	json_u64(&j, "age_ns", v->age_ns);
	json_object(&j, "totals");
	for (int i = 0; i < N_SNAPSHOT; i++)
		json_amount(&j, snapshot_words[i], s->blocks[i], s->bytes[i]);
	json_end(&j);
	sites(&j, s);
	threads(&j, s);
	json_string(&j, "stacks_why", v->stacks_why);
	areas(&j, s);
	json_array(&j, "names");
	for (size_t i = 0; i < s->n_rows; i++)
		json_string(&j, NULL, s->row[i].name);
	json_end(&j);
	json_finish(&j);
}
