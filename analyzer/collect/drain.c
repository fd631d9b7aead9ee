/*
 * drain.c - rounds: finds new blocks, merges what they hold, gives them back.
 *
 * Called by the collector's loop (collector.c) and by recover.  The order of
 * the steps of a round is the law of this file:
 *
 *   1. read the clock: the horizon          nothing later is delivered
 *   2. look for the dead                    all they wrote is visible now
 *   3. look for new blocks and processes    after 1 and 2
 *   4. merge up to the horizon              blocks that were read go back
 *   5. slots of the dead go back            their blocks are read
 *   6. wake targets that wait for blocks    in batches, always at the end
 *
 * A block that was claimed but has no header yet holds nothing older than the
 * horizon; so does a block that is found in a later round than the next one of
 * the same thread.
 */
#include "collect/drain.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <mmscope/syscall.h>

#include "collect/stream.h"

#define CHECK_NS 5000000u    /* liveness */
#define HOLE_NS 100000000u
#define PARKED_LEAST 4u      /* more than handlers on top of handlers have */

static uint64_t ticks_of_ns(const struct drain *d, uint64_t ns)
{
	return ((unsigned __int128)ns << 32) / d->clock.rate;
}

struct drain *drain_open(const struct mms_session *session, const struct order_sink *sink)
{
	struct drain *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->session = session;
	d->sink = sink;
	d->rescan = true;
	stamp_open(&d->clock, session->header);
	pthread_mutex_init(&d->kept_lock, NULL);
	for (uint32_t i = 0; i < LANES_MAX; i++) {
		d->lane[i].d = d;
		order_init(&d->lane[i].order);
	}
	d->nobody.lane = &d->lane[0];
	d->lanes_max = 1;
	return d;
}

void drain_close(struct drain *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; i < STREAM_BUCKETS; i++)
		while (d->buckets[i]) {
			struct stream *s = d->buckets[i];

			d->buckets[i] = s->next;
			holes_forget(s, NO_CELL);
			free(s);
		}
	slots_done(d);
	lanes_done(d);
	for (uint32_t i = 0; i < LANES_MAX; i++)
		order_done(&d->lane[i].order);
	pthread_mutex_destroy(&d->kept_lock);
	free(d);
}

/* ---- giving back ---- */

static void wake_waiting(struct lane *l)
{
	struct mms_header *h = l->d->session->header;

	if (!l->n_freed)
		return;
	l->n_freed = 0;
	atomic_fetch_add_explicit(&h->free_seq, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&h->n_waiting, memory_order_seq_cst))
		mms_futex_wake(&h->free_seq, INT_MAX);
}

static void count_emptied(struct drain *d, const struct mms_block *b, const struct cell *c)
{
	if (!c->uncounted && atomic_load_explicit(&b->closed, memory_order_relaxed) == MMS_BLOCK_CLOSED)
		atomic_fetch_sub_explicit(&d->session->header->n_full, 1, memory_order_relaxed);
}

/* at: where reading ended.  A slot must not look valid in a later use: what
 * was not written is zeroed, and everything when payload lies in between. */
static void block_recycle(struct lane *l, uint32_t cell, uint32_t at)
{
	struct drain *d = l->d;
	struct mms_block *b = (struct mms_block *)(void *)mms_cell(d->session, cell);
	struct cell *c = &d->cells[cell];
	uint32_t saved = b->saved > MMS_BLOCK_FIRST ? b->saved : MMS_BLOCK_FIRST;

	if (at > saved)
		atomic_fetch_add_explicit(&d->session->header->unsaved_slots, (at - saved) / 16,
			memory_order_relaxed);
	if (c->dirty)
		at = MMS_BLOCK_FIRST;
	if (at < MMS_BLOCK_END)
		memset((uint8_t *)b + at, 0, MMS_BLOCK_END - at);
	count_emptied(d, b, c);
	*c = (struct cell){ 0 };
	b->saved = 0;
	b->gen = b->gen % 3 + 1;
	atomic_store_explicit(&b->closed, MMS_BLOCK_OPEN, memory_order_relaxed);
	atomic_store_explicit(&b->base_stamp, 0, memory_order_relaxed);
	atomic_store_explicit(&d->session->cell0->owner[cell], 0, memory_order_release);
	/* The lowest free block is taken first: what was touched once is used
	 * again before more of the ring becomes memory of the target. */
	if (atomic_load_explicit(&d->session->header->ring_hint, memory_order_relaxed) > cell)
		atomic_store_explicit(&d->session->header->ring_hint, cell, memory_order_relaxed);
	l->stats.n_blocks++;
	if (++l->n_freed >= d->stats.ring_cells / 4)
		wake_waiting(l);
}

static void kept_release(struct lane *l, uint32_t n)
{
	struct drain *d = l->d;

	for (uint32_t i = 0; i < n; i++)
		block_recycle(l, d->kept[i], d->cells[d->kept[i]].end);
	d->n_kept -= n;
	memmove(d->kept, d->kept + n, d->n_kept * sizeof(*d->kept));
}

/* What a process is and which modules it has is written once: when the
 * collector is killed before the database has it, `recover` finds it here. */
static void block_keep(struct lane *l, uint32_t cell, uint32_t at)
{
	struct drain *d = l->d;
	struct cell *c = &d->cells[cell];
	uint32_t max = d->stats.ring_cells / 4 < KEPT_MAX ? d->stats.ring_cells / 4 : KEPT_MAX;

	if (max == 0) {
		block_recycle(l, cell, at);
		return;
	}
	pthread_mutex_lock(&d->kept_lock);
	if (d->n_kept >= max)
		kept_release(l, d->n_kept - max + 1);
	count_emptied(d, (const struct mms_block *)(const void *)mms_cell(d->session, cell), c);
	c->uncounted = true;
	c->use = CELL_KEPT;
	c->end = at;
	d->kept[d->n_kept++] = cell;
	pthread_mutex_unlock(&d->kept_lock);
}

static void queue_pop(struct stream *s)
{
	s->block = NULL;
	if (s->queue == NO_CELL)
		return;
	stream_open_block(s, s->queue);
	s->queue = s->d->cells[s->cell].next;
}

void block_finished(struct stream *s)
{
	struct cell *c = &s->d->cells[s->cell];

	if (s->dead && c->n_holes)
		holes_forget(s, s->cell);
	if (c->n_holes && !s->dead) {
		count_emptied(s->d, s->block, c);
		c->uncounted = true;
		c->use = CELL_PARKED;
		c->next = s->parked;
		s->parked = s->cell;
	} else if (c->keep && !s->d->finishing) {
		block_keep(s->family->lane, s->cell, s->at);
	} else {
		block_recycle(s->family->lane, s->cell, s->at);
	}
	queue_pop(s);
}

/* Its thread is dead: nothing more is written there. */
static void unpark_all(struct stream *s)
{
	while (s->parked != NO_CELL) {
		uint32_t cell = s->parked;

		s->parked = s->d->cells[cell].next;
		holes_forget(s, cell);
		block_recycle(s->family->lane, cell, MMS_BLOCK_END);
	}
}

/* Late records first; a block whose holes are filled need not be parked. */
static void late_read(struct stream *s)
{
	uint32_t *link = &s->parked;

	if (!s->holes)
		return;
	holes_read(s);
	while (*link != NO_CELL) {
		uint32_t cell = *link;

		if (s->d->cells[cell].n_holes) {
			link = &s->d->cells[cell].next;
			continue;
		}
		*link = s->d->cells[cell].next;
		block_recycle(s->family->lane, cell, MMS_BLOCK_END);
	}
}

static bool ring_can_grow(const struct drain *d)
{
	const struct mms_header *h = d->session->header;
	uint32_t bound = h->n_ring_max ? h->n_ring_max : MMS_RING_CELLS;

	return d->stats.ring_cells < bound &&
		atomic_load_explicit(&h->n_cells_ready, memory_order_relaxed) < h->n_cells_max;
}

static uint32_t count_parked(const struct stream *s)
{
	uint32_t n = 0;

	for (uint32_t cell = s->parked; cell != NO_CELL; cell = s->d->cells[cell].next)
		n++;
	return n;
}

/* A parked block stays as long as its thread lives: whoever was interrupted
 * may still write there, and would write into somebody else's records.  A
 * thread that leaves its handlers by longjmp, again and again, would so take
 * the whole ring.  With half of it parked and no more to be had, the thread
 * that has most gets no further block; what it loses, it counts. */
static void bar_worst(struct drain *d, uint32_t n_parked)
{
	struct stream *worst = NULL;
	uint32_t most = PARKED_LEAST - 1;

	if (n_parked * 2 <= d->stats.ring_cells || ring_can_grow(d))
		return;
	for (struct stream *s = d->busy; s; s = s->next_busy)
		if (!s->barred && s->thread_slot_plus_1 && count_parked(s) > most) {
			worst = s;
			most = count_parked(s);
		}
	struct mms_thread *t = worst ? mms_thread_slot(d->session, worst->thread_slot_plus_1 - 1) : NULL;
	if (!t)
		return;
	worst->barred = true;
	atomic_store_explicit(&t->barred, 1, memory_order_relaxed);
	d->stats.n_barred++;
}

/* ---- new blocks ---- */

static struct stream **bucket_of(struct drain *d, uint64_t process, uint32_t thread, uint32_t tid)
{
	uint64_t h = (process << 24 ^ (uint64_t)thread << 8 ^ tid) * 0x9e3779b97f4a7c15ull;

	return &d->buckets[h >> 54 & (STREAM_BUCKETS - 1)];
}

static struct stream *stream_of(struct drain *d, const struct mms_block *b, uint64_t owner)
{
	struct stream **bucket = bucket_of(d, b->process_number, b->thread_number, b->tid);
	struct stream *s;

	for (s = *bucket; s; s = s->next)
		if (s->who.process == b->process_number && s->who.thread == b->thread_number &&
			s->who.tid == b->tid)
			return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->source.run = stream_run;
	s->d = d;
	s->who = (struct order_writer){ .process = b->process_number, .thread = b->thread_number,
		.pid = b->pid, .tid = b->tid, .tcb = b->tcb };
	s->family = &d->nobody;
	s->process_slot = mms_owner_process(owner);
	s->thread_slot_plus_1 = mms_owner_thread_plus_1(owner);
	s->dead = d->finishing;
	s->next = *bucket;
	*bucket = s;
	d->stats.threads++;
	if (!slots_process(d, s->who.process)) {
		d->rescan = true;
		slots_scan(d);
	}
	slots_bind(d, s);
	return s;
}

static bool is_before(const struct cell *a, const struct cell *b)
{
	return a->seq != b->seq ? (int32_t)(a->seq - b->seq) < 0 : a->base_ticks < b->base_ticks;
}

static void queue_insert(struct stream *s, uint32_t cell)
{
	struct cell *cells = s->d->cells;
	uint32_t *link = &s->queue;

	while (*link != NO_CELL && is_before(&cells[*link], &cells[cell]))
		link = &cells[*link].next;
	cells[cell].next = *link;
	*link = cell;
	if (!s->busy) {
		s->busy = true;
		s->next_busy = s->d->busy;
		s->d->busy = s;
	}
}

static void block_attach(struct drain *d, uint32_t cell, uint64_t owner)
{
	struct mms_block *b = (struct mms_block *)(void *)mms_cell(d->session, cell);
	uint64_t base = atomic_load_explicit(&b->base_stamp, memory_order_acquire);
	struct stream *s;

	if (!base)
		return;
	if (b->gen < 1 || b->gen > 3) { /* damaged: nothing in it can be told from nothing */
		b->gen = 1;
		d->cells[cell].dirty = true;
		d->stats.n_bad++;
		block_recycle(&d->lane[0], cell, MMS_BLOCK_FIRST);
		return;
	}
	s = stream_of(d, b, owner);
	if (!s)
		return; /* no memory: tried again in the next round */
	d->cells[cell] = (struct cell){ .use = CELL_QUEUED, .seq = b->thread_seq,
		.base_ticks = base >> d->clock.shift };
	queue_insert(s, cell);
}

static void blocks_scan(struct drain *d)
{
	struct mms_cell0 *cell0 = d->session->cell0;
	uint32_t n = atomic_load_explicit(&cell0->header.n_cells_ready, memory_order_acquire);
	uint32_t n_ring = 0, n_free = 0, n_parked = 0;

	if (n > d->session->n_cells_mapped)
		n = d->session->n_cells_mapped;
	if (n > MMS_MAX_CELLS)
		n = MMS_MAX_CELLS;
	for (uint32_t i = 1; i < n; i++) {
		if (cell0->cell_kind[i] != MMS_CELL_RING)
			continue;
		n_ring++;
		n_parked += d->cells[i].use == CELL_PARKED;
		if (d->cells[i].use != CELL_UNKNOWN)
			continue;
		uint64_t owner = atomic_load_explicit(&cell0->owner[i], memory_order_acquire);
		if (owner)
			block_attach(d, i, owner);
		else
			n_free++;
	}
	d->stats.ring_cells = n_ring;
	d->stats.free_cells = n_free;
	if (n_parked)
		bar_worst(d, n_parked);
}

/* ---- rounds ---- */

/* A slot may be seen only after the first block was. */
static void families_find(struct drain *d)
{
	for (struct stream *s = d->busy; s; s = s->next_busy) {
		if (s->family->id)
			continue;
		s->family = slots_family(d, s->process_slot, s->who.process);
		if (s->family->last_ns < d->nobody.last_ns)
			s->family->last_ns = d->nobody.last_ns;
	}
}

static void merge(struct drain *d, uint64_t horizon)
{
	families_find(d);
	uint32_t n_lanes = lanes_plan(d);
	uint64_t done = horizon;

	/* A stream may find a hole while it is added, and hold the rest back. */
	for (uint32_t i = 0; i < n_lanes; i++)
		d->lane[i].order.horizon = horizon;
	slots_add_begins(d);
	for (struct stream *s = d->busy; s; s = s->next_busy)
		late_read(s);
	for (struct stream *s = d->busy; s; s = s->next_busy) {
		if (!s->block)
			queue_pop(s);
		if (stream_next(s))
			order_add(&s->family->lane->order, &s->source);
	}
	lanes_merge(d, n_lanes);
	for (uint32_t i = 0; i < n_lanes; i++)
		done = d->lane[i].order.horizon < done ? d->lane[i].order.horizon : done;
	if (done > d->done)
		d->done = done;
}

static void stream_free(struct drain *d, struct stream *s)
{
	struct stream **link = bucket_of(d, s->who.process, s->who.thread, s->who.tid);

	d->sink->thread_read(d->sink->arg, &s->who);
	slots_stream_finished(d, s);
	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	d->stats.threads--;
	free(s);
}

/* Streams without blocks are put aside; those of the dead end. */
static void streams_sort_out(struct drain *d)
{
	struct stream **link = &d->busy;

	while (*link) {
		struct stream *s = *link;

		if (s->dead)
			unpark_all(s);
		if (s->block || s->queue != NO_CELL || s->parked != NO_CELL) {
			link = &s->next_busy;
			continue;
		}
		*link = s->next_busy;
		s->busy = false;
	}
	for (uint32_t i = 0; i < STREAM_BUCKETS; i++)
		for (struct stream *s = d->buckets[i], *next; s; s = next) {
			next = s->next;
			if (s->dead && !s->busy)
				stream_free(d, s);
		}
}

static bool check_is_due(const struct drain *d)
{
	return d->now >= d->check_ticks || d->stats.free_cells * 2 < d->stats.ring_cells;
}

/* What each lane counted. */
static void stats_add(struct drain *d)
{
	for (uint32_t i = 0; i < LANES_MAX; i++) {
		struct drain_stats *from = &d->lane[i].stats;

		d->stats.n_records += from->n_records;
		d->stats.n_blocks += from->n_blocks;
		d->stats.n_late += from->n_late;
		d->stats.n_holes += from->n_holes;
		d->stats.n_bad += from->n_bad;
		*from = (struct drain_stats){ 0 };
	}
}

static uint64_t round_to(struct drain *d, uint64_t horizon)
{
	uint64_t before = d->stats.n_records;

	d->hole_wait = ticks_of_ns(d, HOLE_NS);
	if (check_is_due(d)) {
		slots_check_alive(d);
		d->check_ticks = d->now + ticks_of_ns(d, CHECK_NS);
		d->rescan = true;
	}
	blocks_scan(d);
	slots_scan(d);
	merge(d, horizon);
	streams_sort_out(d);
	slots_release(d);
	wake_waiting(&d->lane[0]);
	stats_add(d);
	return d->stats.n_records - before;
}

static uint64_t round_told(struct drain *d, uint64_t horizon)
{
	uint64_t n = round_to(d, horizon);

	d->sink->round(d->sink->arg, stamp_ns(&d->clock, d->done));
	return n;
}

uint64_t drain_round_at(struct drain *d, uint64_t stamp)
{
	d->now = stamp >> d->clock.shift;
	return round_told(d, d->now);
}

uint64_t drain_round_until(struct drain *d, uint64_t stamp)
{
	d->now = stamp_now(&d->clock) >> d->clock.shift;
	return round_told(d, stamp >> d->clock.shift);
}

uint64_t drain_horizon(struct drain *d)
{
	stamp_refine(&d->clock);
	return stamp_now(&d->clock);
}

uint64_t drain_round(struct drain *d)
{
	return drain_round_at(d, drain_horizon(d));
}

void drain_process_gone(struct drain *d, uint64_t number)
{
	struct seen_process *p = slots_process(d, number);

	if (!p) { /* it began and ended since the last round */
		d->rescan = true;
		slots_scan(d);
		p = slots_process(d, number);
	}
	if (p)
		p->gone = true;
	for (uint32_t i = 0; i < STREAM_BUCKETS; i++)
		for (struct stream *s = d->buckets[i]; s; s = s->next)
			s->dead |= s->who.process == number;
}

void drain_finish_at(struct drain *d, uint64_t stamp)
{
	if (!stamp)
		d->clock_unknown = true;
	else if (stamp >> d->clock.shift > d->now)
		d->now = stamp >> d->clock.shift;
	d->finishing = true;
	d->rescan = true;
	for (uint32_t i = 0; i < STREAM_BUCKETS; i++)
		for (struct stream *s = d->buckets[i]; s; s = s->next)
			s->dead = true;
	round_to(d, UINT64_MAX);
	d->sink->round(d->sink->arg, UINT64_MAX);
}

void drain_finish(struct drain *d)
{
	drain_finish_at(d, stamp_same_boot(&d->clock) ? stamp_now(&d->clock) : 0);
}

static void block_saved(struct drain *d, uint32_t cell, uint32_t at, uint64_t ticks)
{
	struct mms_block *b = (struct mms_block *)(void *)mms_cell(d->session, cell);

	b->saved_ticks = ticks;
	b->saved = at;
}

void drain_saved(struct drain *d)
{
	kept_release(&d->lane[0], d->n_kept);
	for (struct stream *s = d->busy; s; s = s->next_busy) {
		if (s->block)
			block_saved(d, s->cell, s->at, s->anchor);
		for (uint32_t i = s->parked; i != NO_CELL; i = d->cells[i].next)
			block_saved(d, i, MMS_BLOCK_END, 0);
	}
	atomic_store_explicit(&d->session->header->unsaved_slots, 0, memory_order_relaxed);
}

void drain_lanes(struct drain *d, uint32_t n, uint32_t n_blocks)
{
	d->lanes_max = n < LANES_MAX ? n : LANES_MAX;
	d->lane_blocks = n_blocks;
}

void drain_stats(const struct drain *d, struct drain_stats *ret)
{
	*ret = d->stats;
}

const struct stamp_clock *drain_clock(const struct drain *d)
{
	return &d->clock;
}
