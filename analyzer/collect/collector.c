/*
 * collector.c - one recording, from the session file to the database.
 *
 * Holds the parts together: drain -> order -> feed -> model, watch beside it,
 * store behind it.  Called by collect.c (targets live) and recover.c (they
 * do not).  A database that cannot be written must not cost the recording:
 * the model stays in memory and goes to another folder at the end.
 */
#include "collector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "collect/elf_check.h"
#include "collect/pressure.h"
#include "collect/sums.h"

#define FLUSH_EVERY 1000000000ull
#define FLUSH_SOON 100000000ull

static const char *const raw_names[] = {
	[MMS_OP_MALLOC] = "malloc",
	[MMS_OP_CALLOC] = "calloc",
	[MMS_OP_ALIGNED] = "aligned",
	[MMS_OP_FREE] = "free",
	[MMS_OP_REALLOC_BEGIN] = "realloc_begin",
	[MMS_OP_REALLOC_END] = "realloc_end",
	[MMS_OP_REALLOC_FAIL] = "realloc_fail",
};

static void keep_raw(void *arg, const struct order_writer *w, const struct order_heap *e)
{
	struct collector *c = arg;
	if (c->store && (size_t)e->op < sizeof(raw_names) / sizeof(raw_names[0]) && raw_names[e->op])
		store_heap_event(c->store, w->process, w->thread, e->t_ns, raw_names[e->op], e->address,
			e->size, e->stack);
}

static void keep_space(void *arg, const struct order_writer *w, const struct order_note *n)
{
	struct collector *c = arg;
	spaces_note(&c->spaces, w, n);
}

static void keep_cow(void *arg, const struct order_writer *w, const struct order_note *n)
{
	struct collector *c = arg;
	cows_note(&c->cows, w, n);
}

static void asked(void *arg, struct bell_event *e)
{
	struct collector *c = arg;
	if (e->request.what == MMS_REQUEST_SNAPSHOT) {
		snapshot_asked(&c->snapshots, e);
		return;
	}
	control_asked(&c->control, e);
	c->model->partial = atomic_load(&c->file.session.header->no_reach) == MMS_NO_REACH_PARTIAL;
	c->dirty = true;
}

int collector_begin(struct collector *c)
{
	c->model = model_new();
	if (!c->model)
		return -ENOMEM;
	c->model->partial = atomic_load(&c->file.session.header->no_reach) == MMS_NO_REACH_PARTIAL;
	feed_init(&c->feed, c->model);
	c->drain = drain_open(&c->file.session, &c->feed.sink);
	if (!c->drain)
		return -ENOMEM;
	c->feed.clock = drain_clock(c->drain);
	if (c->file.session.header->record_events) {
		c->feed.raw = keep_raw;
		c->feed.raw_arg = c;
	}
	c->stacks = stack_source_session(&c->file.session);
	spaces_init(&c->spaces, c->model, c->feed.clock, &c->store, &c->stacks);
	c->feed.space = keep_space;
	c->feed.space_arg = c;
	cows_init(&c->cows, c->model, &c->watch, &c->spaces, c->feed.clock, &c->store, &c->stacks);
	c->feed.cow = keep_cow;
	c->feed.cow_arg = c;
	judge_init(&c->judge, &c->file.session, c->model, c->drain, &c->stacks);
	c->snapshots = (struct snapshots){.session = &c->file.session, .model = c->model, .drain = c->drain,
		.watch = &c->watch, .stacks = &c->stacks, .spaces = &c->spaces};
	watch_init(&c->watch, &c->file.session, c->bell, c->drain, c->model);
	control_init(&c->control, c->file.session.header, c->feed.clock);
	c->watch.asked = asked;
	c->watch.asked_arg = c;
	return 0;
}

uint64_t collector_now(const struct collector *c)
{
	const struct stamp_clock *clock = drain_clock(c->drain);
	return stamp_full_ns(clock, stamp_now(clock));
}

int collector_store(struct collector *c, const char *path)
{
	char reason[256] = "";
	snprintf(c->output, sizeof(c->output), "%s", path);
	int r = store_open(path, &c->store, reason, sizeof(reason));
	if (r < 0) {
		snprintf(c->failure, sizeof(c->failure), "%s", reason[0] ? reason : strerror(-r));
		c->store = NULL;
		return r;
	}
	return store_meta_session(c->store, &c->file.session);
}

/* Everything that watch and drain know and the records do not say. */
static void apply_all(struct collector *c)
{
	for (uint32_t i = 0;; i++) {
		const struct mms_process *s = mms_process_slot(&c->file.session, i);
		if (!s)
			break;
		if (atomic_load_explicit(&s->state, memory_order_acquire) != MMS_SLOT_LIVE)
			continue;
		struct model_process *p = model_process_find(c->model, s->number);
		if (p) {
			feed_process_slot(p, s);
			p->lost_records = drain_lost(c->drain, s->number);
		}
	}
	watch_apply(&c->watch);
}

/* What measuring costs: our processor time, the session file, and the private
 * memory of the preload in the process where it is largest. */
static void write_cost(struct collector *c)
{
	struct timespec cpu = {0};
	struct drain_stats d;
	uint64_t self_bytes = 0;
	drain_stats(c->drain, &d);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	for (size_t i = 0; i < c->model->n_processes; i++)
		if (c->model->processes[i]->self_bytes > self_bytes)
			self_bytes = c->model->processes[i]->self_bytes;
	store_meta_number(c->store, "collector_cpu_ns", (int64_t)cpu.tv_sec * 1000000000 + cpu.tv_nsec);
	store_meta_number(c->store, "collector_threads", d.lanes ? d.lanes : 1);
	store_meta_number(c->store, "preload_bytes", (int64_t)self_bytes);
	store_meta_number(c->store, "session_bytes",
		(int64_t)atomic_load(&c->file.session.header->n_cells_ready) << MMS_CELL_SHIFT);
}

/* Where every event is listed each process must be, too. */
void collector_sum_up(struct collector *c, bool over)
{
	const struct mms_header *h = c->file.session.header;
	size_t max = h->processes_max ? h->processes_max : MODEL_PROCESSES_MAX;
	if (over)
		c->model->sum_at = 0;
	if (h->record_events || !model_has_too_many(c->model, max))
		return;
	apply_all(c);
	sums_take(c->model, &c->watch, &c->cows, &c->stacks, &(struct sums_when){max, over});
	spaces_forget(&c->spaces);
	c->dirty = true;
}

void collector_flush(struct collector *c)
{
	if (!c->store)
		return;
	uint64_t begin = collector_now(c);
	apply_all(c);
	spaces_pack(&c->spaces);
	write_cost(c);
	control_write(&c->control, c->store);
	int r = store_flush(c->store, c->model, &c->stacks);
	if (r < 0) {
		snprintf(c->failure, sizeof(c->failure), "%s", store_error(c->store));
	} else {
		c->failure[0] = 0;
		cows_flush(&c->cows);
		drain_saved(c->drain);
		model_summed_forget(c->model);
	}
	if (c->flushed_sums != c->model->process_sums)
		spaces_count(&c->spaces);
	c->flushed_sums = c->model->process_sums;
	c->dirty = false;
	c->flushed_ns = collector_now(c);
	c->flush_took_ns = c->flushed_ns - begin;
	c->flushed_modules = c->model->n_modules;
}

/* A flush holds up the reading of the ring: at most a twentieth of the time.
 * Without its modules a stack means nothing: they are written soon. */
bool collector_flush_due(const struct collector *c, uint64_t now_ns)
{
	uint64_t wait = c->flushed_modules != c->model->n_modules ? FLUSH_SOON : FLUSH_EVERY;
	if (wait < c->flush_took_ns * 20)
		wait = c->flush_took_ns * 20;
	return now_ns - c->flushed_ns >= wait;
}

/* What a recording without a collector at its end cannot know. */
static void write_recovered(struct collector *c)
{
	uint64_t unsaved = atomic_load(&c->file.session.header->unsaved_slots), unknown = 0;
	store_coverage(c->store, 0, "recovered", 1,
		"There was no collector at the end: how processes ended was not seen from outside.");
	if (!c->earlier)
		return;
	for (size_t i = 0; i < c->model->n_processes; i++)
		unknown += c->model->processes[i]->unknown_frees;
	store_coverage(c->store, 0, "collector_killed", unsaved,
		"Records that the collector had read and not written when it was killed: counts of "
		"events are lower bounds by so much; live bytes and peaks are upper bounds.");
	if (unknown)
		store_coverage(c->store, 0, "unmatched_frees", unknown,
			"Blocks from before the collector was killed that were freed later: their sites "
			"still count them as live.");
}

/* What could not be seen, as rows of coverage. */
static void write_coverage(struct collector *c)
{
	const struct mms_header *h = c->file.session.header;
	struct drain_stats d;
	char text[512];
	drain_stats(c->drain, &d);
	if (d.n_holes)
		store_coverage(c->store, 0, "holes", d.n_holes,
			"Lost records that were begun and never finished: a thread died in the middle, or left a "
			"signal handler by a jump.");
	if (d.n_barred)
		store_coverage(c->store, 0, "barred", d.n_barred,
			"Threads that left signal handlers by a jump again and again, out of the recording of "
			"a call: what they did since then is among the lost records.");
	if (d.n_bad)
		store_coverage(c->store, 0, "damaged", d.n_bad, "Words in the ring that were no record.");
	if (d.n_torn)
		store_coverage(c->store, 0, "torn", d.n_torn,
			"Blocks of the ring that a process took at the moment of its death.");
	uint64_t lost = atomic_load(&h->lost_stacks);
	if (lost)
		store_coverage(c->store, 0, "lost_stacks", lost,
			"Allocations whose stack found no room in the table: they have no call site.");
	lost = atomic_load(&h->lost_processes);
	if (lost)
		store_coverage(c->store, 0, "lost_processes", lost,
			"Processes that found no slot in the session: nothing of them was recorded.");
	if (c->file.n_refused) {
		snprintf(text, sizeof(text), "Pieces of 64 KiB by which the session file could not be extended: %s.",
			strerror(c->file.error));
		store_coverage(c->store, 0, "no_space", c->file.n_refused, text);
	}
	size_t unjoined = watch_unjoined(&c->watch);
	if (unjoined)
		store_coverage(c->store, 0, "not_recorded", unjoined,
			"Processes that ended in a program which was not recorded (static, set-uid, another "
			"kind of binary, or left out by --follow).");
	if (c->recovering)
		write_recovered(c);
	struct elf_check elf = {.kind = ELF_GOOD};
	if (h->program[0] && c->watch.n_processes && c->watch.processes[0].image == 0)
		elf_check_file(h->program, &elf);
	if (elf.kind != ELF_GOOD) {
		snprintf(text, sizeof(text), "%.300s %s.", elf.path, elf_kind_text(elf.kind));
		store_coverage(c->store, 0, elf_kind_word(elf.kind), 1, text);
	}
}

static int finish_store(struct collector *c)
{
	struct store_finish options = {.incomplete = c->incomplete, .earlier = c->earlier};
	write_coverage(c);
	c->control.changed = c->control.ever_changed; /* this may be another database */
	control_write(&c->control, c->store);
	spaces_finish(&c->spaces);
	cows_finish(&c->cows, collector_now(c));
	if (store_flush(c->store, c->model, &c->stacks) == 0)
		cows_flush(&c->cows);
	collector_sum_up(c, true);
	judge_finish(&c->judge, c->store);
	write_cost(c);
	int r = store_finish(c->store, c->model, &c->stacks, &options);
	if (r < 0)
		snprintf(c->failure, sizeof(c->failure), "%s", store_error(c->store));
	return r;
}

/* One line beside the database that could not be written: the collector has
 * no terminal. */
static void leave_note(const char *wanted, const char *failure, const char *rescued)
{
	char path[4200];
	snprintf(path, sizeof(path), "%s.failed", wanted);
	FILE *f = fopen(path, "we");
	if (!f)
		return;
	fprintf(f, "mmscope: %s: %s; %s%s\n", wanted, failure,
		rescued ? "the recording was saved as " : "the recording is lost", rescued ? rescued : "");
	fclose(f);
}

/* The database in the session's own folder, else below /tmp. */
static int rescue(struct collector *c)
{
	char wanted[4096], failure[512], path[4096];
	const char *name = strrchr(c->output, '/') ? strrchr(c->output, '/') + 1 : c->output;
	int n = (int)(strrchr(c->session_path, '/') ? strrchr(c->session_path, '/') - c->session_path : 0);
	snprintf(wanted, sizeof(wanted), "%s", c->output);
	snprintf(failure, sizeof(failure), "%s", c->failure);
	store_close(c->store);
	c->store = NULL;
	int r = -EIO;
	for (int i = 0; i < 2 && r < 0; i++) {
		if (i == 0)
			snprintf(path, sizeof(path), "%.*s/%.255s", n, c->session_path, name);
		else
			snprintf(path, sizeof(path), "/tmp/%.255s", name);
		if (strcmp(path, wanted) == 0)
			continue;
		r = collector_store(c, path);
		if (r == 0)
			r = finish_store(c);
		store_close(c->store);
		c->store = NULL;
		if (r < 0)
			unlink(path);
	}
	leave_note(wanted, failure, r == 0 ? path : NULL);
	if (r == 0)
		snprintf(c->failure, sizeof(c->failure), "%.200s; the recording was saved as %.280s", failure, path);
	return r;
}

int collector_finish(struct collector *c)
{
	if (c->control.stopped_ns)
		watch_leave(&c->watch);
	snapshot_finish(&c->snapshots, c->store);
	do
		if (c->judge.reader)
			judge_drain(&c->judge, &c->spaces, c->store);
	while (c->judge.more);
	drain_finish(c->drain);
	if (c->pressure) /* not when it is recovered: the machine is another by now */
		pressure_refused(c->pressure, &c->watch, c->store, collector_now(c));
	watch_finish(&c->watch);
	apply_all(c);
	int r = c->store ? finish_store(c) : -EIO;
	return r == 0 ? 0 : rescue(c);
}

void collector_end(struct collector *c)
{
	store_close(c->store);
	judge_done(&c->judge);
	drain_close(c->drain);
	spaces_done(&c->spaces);
	cows_done(&c->cows);
	watch_done(&c->watch);
	pressure_free(c->pressure);
	model_free(c->model);
	session_file_close(&c->file);
}
