/*
 * slots.c - process and thread slots: who began, who is dead.
 *
 * Called by drain within a round.  A process slot that has become live is an
 * event at its begin_stamp, merged with the records.  Whether a thread lives
 * stands in its robust mutex, whose word the kernel marks when the thread is
 * gone however it went; this is asked by time, never "when idle": a busy
 * collector needs the blocks of the dead most (PIPELINE 1).
 *
 * A death notice counts from the next look at the owner words on: only then
 * are all blocks known that the thread had.  So the check stands before that
 * look, and slots are given back after the reading.
 */
#include "collect/stream.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_SLICE 2048u /* slots beyond the inline ones per check */

static uint32_t n_process_slots(const struct drain *d)
{
	uint32_t cells = atomic_load_explicit(&d->session->header->n_process_cells, memory_order_acquire);

	if (cells > MMS_PROCESS_DIR)
		cells = MMS_PROCESS_DIR;
	return MMS_PROCESSES_INLINE + cells * (uint32_t)MMS_PROCESSES_PER_CELL;
}

static uint32_t n_thread_slots(const struct drain *d)
{
	uint32_t cells = atomic_load_explicit(&d->session->header->n_thread_cells, memory_order_acquire);

	if (cells > MMS_THREAD_DIR)
		cells = MMS_THREAD_DIR;
	return MMS_THREADS_INLINE + cells * (uint32_t)MMS_THREADS_PER_CELL;
}

/* Grows a table that goes by slot. */
static bool reach(void **table, uint32_t *n, uint32_t want, size_t size)
{
	void *grown;

	if (want <= *n)
		return true;
	grown = realloc(*table, want * size);
	if (!grown)
		return false;
	memset((char *)grown + *n * size, 0, (want - *n) * size);
	*table = grown;
	*n = want;
	return true;
}

/* ---- processes ---- */

static bool begin_run(struct order_source *source, uint64_t limit)
{
	struct begin_event *b = (struct begin_event *)(void *)source;
	struct drain *d = b->d;
	const struct mms_process *slot = mms_process_slot(d->session, b->slot);
	struct family *f = d->processes[b->slot].family;
	uint64_t t_ns = stamp_ns(&d->clock, source->ticks);

	d->processes[b->slot].begun = true;
	if (t_ns > f->last_ns)
		f->last_ns = t_ns;
	batch_flush(f->lane);
	d->sink->process_begin(d->sink->arg, slot, f->last_ns);
	return false;
}

/* ---- families ---- */

static struct family *family_of_id(struct drain *d, uint64_t id)
{
	struct family *f = d->families;

	while (f && f->id != id)
		f = f->next;
	if (f || !(f = calloc(1, sizeof(*f))))
		return f;
	*f = (struct family){ .id = id, .lane = &d->lane[0], .next = d->families };
	d->families = f;
	return f;
}

/* By whom it forked from: one that has a slot, or one that the sink remembers. */
static uint64_t family_id(struct drain *d, uint32_t at)
{
	for (;;) {
		const struct mms_process *slot = mms_process_slot(d->session, at);
		struct seen_process *parent;

		if (d->processes[at].family->id)
			return d->processes[at].family->id;
		/* A parent is older: whatever is in the slots, this ends. */
		if (slot->begin != MMS_BEGIN_FORK || !slot->parent_number || slot->parent_number >= slot->number)
			return slot->number;
		parent = slots_process(d, slot->parent_number);
		if (!parent) {
			uint64_t id = d->sink->family ? d->sink->family(d->sink->arg, slot->parent_number) : 0;
			return id ? id : slot->number;
		}
		at = (uint32_t)(parent - d->processes);
	}
}

/* After the scan: parents may stand in later slots than their children. */
static void families_join(struct drain *d)
{
	for (struct begin_event *b = d->begins; b; b = b->next) {
		struct seen_process *p = &d->processes[b->slot];
		struct family *f = p->family->id ? NULL : family_of_id(d, family_id(d, b->slot));

		if (p->family->id)
			continue;
		if (!f) { /* no memory: who shares with whom is not known any more */
			d->lanes_max = 1;
			continue;
		}
		f->n_processes++;
		p->family = f;
	}
}

static void family_leave(struct drain *d, struct family *f)
{
	struct family **link = &d->families;

	if (!f->id || --f->n_processes)
		return;
	/* Those of threads that were seen before the slot was are not counted there. */
	for (uint32_t i = 0; i < STREAM_BUCKETS; i++)
		for (struct stream *s = d->buckets[i]; s; s = s->next)
			s->family = s->family == f ? &d->nobody : s->family;
	while (*link != f)
		link = &(*link)->next;
	*link = f->next;
	free(f);
}

struct family *slots_family(struct drain *d, uint32_t slot, uint64_t number)
{
	return slot < d->n_processes && d->processes[slot].number == number ? d->processes[slot].family : &d->nobody;
}

static void process_seen(struct drain *d, uint32_t at, const struct mms_process *slot)
{
	struct begin_event *b = calloc(1, sizeof(*b));

	if (!b)
		return; /* tried again at the next scan */
	if (d->processes[at].number)
		family_leave(d, d->processes[at].family);
	d->processes[at] = (struct seen_process){ .number = slot->number, .family = &d->nobody };
	b->source.ticks = slot->begin_stamp >> d->clock.shift;
	b->source.run = begin_run;
	b->d = d;
	b->slot = at;
	b->next = d->begins;
	d->begins = b;
}

void slots_scan(struct drain *d)
{
	uint64_t next = atomic_load_explicit(&d->session->header->next_process, memory_order_acquire);
	uint32_t n = n_process_slots(d);

	if (next == d->next_process && !d->claimed_seen && !d->rescan)
		return;
	d->next_process = next;
	d->claimed_seen = d->rescan = false;
	void *table = d->processes;
	if (!reach(&table, &d->n_processes, n, sizeof(*d->processes)))
		return;
	d->processes = table;
	for (uint32_t i = 0; i < n; i++) {
		const struct mms_process *slot = mms_process_slot(d->session, i);
		uint32_t state;

		if (!slot)
			break;
		state = atomic_load_explicit(&slot->state, memory_order_acquire);
		d->claimed_seen |= state == MMS_SLOT_CLAIMED;
		if (state == MMS_SLOT_LIVE && slot->number && d->processes[i].number != slot->number)
			process_seen(d, i, slot);
	}
	families_join(d);
}

/* The round may have been held up since its clock was read. */
static bool is_of_the_future(const struct drain *d, uint64_t ticks)
{
	return !d->clock_unknown && ticks > d->now + d->hole_wait && ticks > stamp_now(&d->clock) + d->hole_wait;
}

/* The begin events take part in this round's merge. */
bool slots_add_begins(struct drain *d)
{
	for (struct begin_event *b = d->begins; b; b = b->next) {
		if (is_of_the_future(d, b->source.ticks)) /* damaged */
			b->source.ticks = d->now;
		if (order_add(&d->processes[b->slot].family->lane->order, &b->source) < 0)
			return false;
	}
	return true;
}

static void begins_forget(struct drain *d)
{
	struct begin_event **link = &d->begins;

	while (*link) {
		struct begin_event *b = *link;

		if (!d->processes[b->slot].begun) {
			link = &b->next;
			continue;
		}
		*link = b->next;
		free(b);
	}
}

struct seen_process *slots_process(struct drain *d, uint64_t number)
{
	for (uint32_t i = 0; i < d->n_processes && number; i++)
		if (d->processes[i].number == number)
			return &d->processes[i];
	return NULL;
}

/* ---- threads ---- */

void slots_bind(struct drain *d, struct stream *s)
{
	struct seen_process *p = slots_process(d, s->who.process);
	void *table = d->threads;
	uint32_t slot = s->thread_slot_plus_1 - 1;

	if (p) {
		p->n_streams++;
		s->dead |= p->gone;
	}
	if (!s->thread_slot_plus_1 || slot >= n_thread_slots(d))
		return;
	if (!reach(&table, &d->n_threads, n_thread_slots(d), sizeof(*d->threads)))
		return;
	d->threads = table;
	d->threads[slot].stream = s;
	s->dead |= d->threads[slot].dying;
}

static bool is_dead(const struct mms_thread *t)
{
	const volatile int *word = &t->alive.__data.__lock;

	return (uint32_t)__atomic_load_n(word, __ATOMIC_ACQUIRE) & FUTEX_OWNER_DIED;
}

/* Gives a thread slot back; what it counted is kept. */
static void thread_slot_free(struct drain *d, uint32_t at)
{
	struct mms_thread *t = mms_thread_slot(d->session, at);
	uint32_t process;

	if (at < d->n_threads)
		d->threads[at] = (struct seen_thread){ 0 };
	if (!t)
		return;
	process = atomic_load_explicit(&t->process, memory_order_acquire);
	if (!process)
		return;
	if (process - 1 < d->n_processes)
		d->processes[process - 1].lost += atomic_load_explicit(&t->n_lost, memory_order_relaxed);
	/* Its first word is read by threads that look for a dead one's state. */
	__atomic_store_n((uint32_t *)&t->alive, 0, __ATOMIC_RELAXED);
	memset((char *)&t->alive + sizeof(uint32_t), 0, sizeof(t->alive) - sizeof(uint32_t));
	t->tid = 0;
	atomic_store_explicit(&t->n_lost, 0, memory_order_relaxed);
	atomic_store_explicit(&t->next_seq, 0, memory_order_relaxed);
	atomic_store_explicit(&t->barred, 0, memory_order_relaxed);
	atomic_store_explicit(&t->process, 0, memory_order_release);
}

static void note_dying(struct drain *d, uint32_t at)
{
	if (d->n_dying == d->dying_capacity) {
		uint32_t capacity = d->dying_capacity ? d->dying_capacity * 2 : 16;
		uint32_t *dying = realloc(d->dying, capacity * sizeof(*dying));

		if (!dying)
			return;
		d->dying = dying;
		d->dying_capacity = capacity;
	}
	d->dying[d->n_dying++] = at;
}

static void check_thread(struct drain *d, uint32_t at)
{
	const struct mms_thread *t = mms_thread_slot(d->session, at);
	struct seen_thread *seen = &d->threads[at];

	if (!t || !atomic_load_explicit(&t->process, memory_order_acquire) || seen->dying || !is_dead(t))
		return;
	seen->dying = true;
	if (seen->stream)
		seen->stream->dead = true;
	note_dying(d, at);
}

void slots_check_alive(struct drain *d)
{
	uint32_t n = n_thread_slots(d), more = n - MMS_THREADS_INLINE;
	void *table = d->threads;

	if (!reach(&table, &d->n_threads, n, sizeof(*d->threads)))
		return;
	d->threads = table;
	for (uint32_t i = 0; i < MMS_THREADS_INLINE; i++)
		check_thread(d, i);
	for (uint32_t i = 0; i < more && i < CHECK_SLICE; i++)
		check_thread(d, MMS_THREADS_INLINE + (d->check_at + i) % more);
	d->check_at += CHECK_SLICE;
}

void slots_stream_finished(struct drain *d, struct stream *s)
{
	struct seen_process *p = slots_process(d, s->who.process);
	uint32_t slot = s->thread_slot_plus_1 - 1;

	if (p && p->n_streams)
		p->n_streams--;
	if (s->thread_slot_plus_1 && slot < d->n_threads && d->threads[slot].stream == s)
		thread_slot_free(d, slot);
}

/* ---- the end ---- */

/* Blocks that the process claimed and never got to. */
static void give_back_torn(struct drain *d, uint32_t process)
{
	struct mms_cell0 *cell0 = d->session->cell0;

	for (uint32_t i = 1; i < MMS_MAX_CELLS; i++) {
		uint64_t owner = atomic_load_explicit(&cell0->owner[i], memory_order_acquire);

		if (!owner || mms_owner_process(owner) != process || d->cells[i].use != CELL_UNKNOWN)
			continue;
		atomic_store_explicit(&cell0->owner[i], 0, memory_order_release);
		d->stats.n_torn++;
		d->lane[0].n_freed++;
	}
}

static uint64_t process_lost(const struct drain *d, uint32_t at)
{
	const struct mms_process *slot = mms_process_slot(d->session, at);
	uint64_t lost = d->processes[at].lost + (slot ? atomic_load_explicit(&slot->n_lost, memory_order_relaxed) : 0);

	for (uint32_t i = 0; i < n_thread_slots(d); i++) {
		const struct mms_thread *t = mms_thread_slot(d->session, i);

		if (t && atomic_load_explicit(&t->process, memory_order_relaxed) == at + 1)
			lost += atomic_load_explicit(&t->n_lost, memory_order_relaxed);
	}
	return lost;
}

uint64_t drain_lost(const struct drain *d, uint64_t number)
{
	for (uint32_t i = 0; i < d->n_processes && number; i++)
		if (d->processes[i].number == number)
			return process_lost(d, i);
	return 0;
}

static void process_finished(struct drain *d, uint32_t at)
{
	struct mms_process *slot = mms_process_slot(d->session, at);

	d->sink->process_read(d->sink->arg, slot, process_lost(d, at));
	give_back_torn(d, at);
	for (uint32_t i = 0; i < n_thread_slots(d); i++) {
		const struct mms_thread *t = mms_thread_slot(d->session, i);

		if (t && atomic_load_explicit(&t->process, memory_order_acquire) == at + 1)
			thread_slot_free(d, i);
	}
	family_leave(d, d->processes[at].family);
	d->processes[at] = (struct seen_process){ 0 };
	memset((char *)slot + sizeof(slot->state), 0, sizeof(*slot) - sizeof(slot->state));
	atomic_store_explicit(&slot->state, MMS_SLOT_FREE, memory_order_release);
}

static bool is_over(const struct drain *d, uint32_t at)
{
	const struct seen_process *p = &d->processes[at];

	return p->number && p->begun && !p->n_streams && (p->gone || d->finishing);
}

/* A child of the process was seen, and its begin is not told yet. */
static bool has_coming_child(const struct drain *d, uint64_t number)
{
	for (const struct begin_event *b = d->begins; b; b = b->next)
		if (mms_process_slot(d->session, b->slot)->parent_number == number)
			return true;
	return false;
}

/* Children that began while the round was read come first: what they inherited
 * is known while their parent is. */
static void release_processes(struct drain *d)
{
	bool some = false;

	for (uint32_t i = 0; i < d->n_processes && !some; i++)
		some = is_over(d, i);
	if (!some)
		return;
	d->rescan = true;
	slots_scan(d);
	for (uint32_t i = 0; i < d->n_processes; i++)
		if (is_over(d, i) && !has_coming_child(d, d->processes[i].number))
			process_finished(d, i);
}

void slots_release(struct drain *d)
{
	begins_forget(d);
	for (uint32_t i = 0; i < d->n_dying; i++)
		if (!d->threads[d->dying[i]].stream && d->threads[d->dying[i]].dying)
			thread_slot_free(d, d->dying[i]);
	d->n_dying = 0;
	release_processes(d);
}

void slots_done(struct drain *d)
{
	while (d->begins) {
		struct begin_event *b = d->begins;

		d->begins = b->next;
		free(b);
	}
	while (d->families) {
		struct family *f = d->families;

		d->families = f->next;
		free(f);
	}
	free(d->processes);
	free(d->threads);
	free(d->dying);
}
