/*
 * read.c - the records of one thread, in the order of its slots.
 *
 * Reads what targets write at the same time and stores nothing there.  A slot
 * is a record when its generation is the block's.  Where it is not, there are
 * three cases:
 *
 *   frontier   nothing behind it: not written yet.  Come back later.
 *   hole       a record behind it, or the writer has left the block: the
 *              writer was interrupted between reserving and publishing.  It
 *              may still come (a signal handler that runs on top of it), so
 *              wait 100 ms, and hold the horizon back meanwhile: times would
 *              be later than they were.  Then it is left to holes.c, and at
 *              once when targets wait for blocks: the handler may be one of
 *              them.  A dead thread's holes are skipped at once.
 *   the end    of a block that was given back, or whose thread is dead.
 *
 * STAMPS have 38 bits.  A record is younger than everything that was known to
 * lie before it: the block's base, the record before, the moment when its slot
 * was last seen empty.  `anchor` is the latest of these less a margin (records
 * may be out of order within a block by the time that a writer stood still);
 * the stamp is the first one at or after the anchor with these 38 bits.
 */
#include "collect/stream.h"

#define BASE_MARGIN (1ull << 20)  /* ticks: 6 ms at 2.6 GHz */
#define LAST_MARGIN (1ull << 28)  /* 1.6 s: this process may stand still between its clock and the news of a death */
#define ANCHOR_MARGIN (1ull << 35) /* 3.5 minutes of the 28 */
#define ANCHOR_LAG (ANCHOR_MARGIN + ANCHOR_MARGIN / 2) /* so far behind a record it may be */
#define LOOK_SHORT 16u   /* slots behind the frontier looked at each time */
#define LOOK_LONG 400u   /* after 100 ms without a record: the longest record */

struct slot {
	_Atomic uint64_t w0;
	uint64_t w1;
};

static struct slot *slot_of(const struct stream *s, uint32_t at)
{
	return (struct slot *)(void *)((uint8_t *)s->block + at);
}

static uint64_t saturating_sub(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static void anchor_raise(struct stream *s, uint64_t ticks)
{
	uint64_t anchor = saturating_sub(ticks, ANCHOR_MARGIN);

	if (anchor > s->anchor)
		s->anchor = anchor;
}

static uint64_t extend(const struct stream *s, uint64_t w0)
{
	return s->anchor + ((mms_w0_stamp(w0) - s->anchor) & MMS_STAMP_MASK);
}

void stream_open_block(struct stream *s, uint32_t cell)
{
	struct drain *d = s->d;

	s->block = (struct mms_block *)(void *)mms_cell(d->session, cell);
	s->cell = cell;
	s->at = MMS_BLOCK_FIRST;
	s->gen = s->block->gen;
	s->anchor = saturating_sub(d->cells[cell].base_ticks, BASE_MARGIN);
	/* Only after a collector was killed: what it wrote is not read again. */
	if (s->block->saved > MMS_BLOCK_FIRST && s->block->saved <= MMS_BLOCK_END && s->block->saved % 16 == 0) {
		s->at = s->block->saved;
		if (s->block->saved_ticks > s->anchor)
			s->anchor = s->block->saved_ticks;
	}
	s->prev = d->cells[cell].base_ticks;
	s->hole_ticks = 0;
	s->look_ticks = d->now;
}

static uint32_t slots_of(uint32_t op, uint32_t size)
{
	if (op == MMS_OP_LONG || op == MMS_OP_PAD)
		return size;
	return op >= MMS_OP_MALLOC_EXT ? 2 : 1;
}

/* Nothing that can be read is stamped after this. */
static uint64_t latest(const struct stream *s)
{
	if (s->d->clock_unknown)
		return UINT64_MAX;
	return s->d->now + (s->dead ? LAST_MARGIN : BASE_MARGIN);
}

/* As the first word of a record a size below 1 GiB has such a stamp: no record
 * behind a hole is believed to be from these 100 ns of the 28 minutes. */
static bool is_size(uint64_t w0)
{
	return mms_w0_stamp(w0) < 16;
}

/* Could the words at this offset be the head of a record?  Payload may look
 * like one by chance: the stamp must fit too (1 in 10^4 for 100 ms).  The slot
 * may be in the middle of being written: what is read here is a guess, and is
 * read again, in order, before it is believed. */
static __attribute__((no_sanitize("thread"))) bool is_plausible(const struct stream *s, uint32_t at)
{
	const volatile uint64_t *word = (const volatile uint64_t *)(const volatile void *)slot_of(s, at);
	uint64_t w0 = word[0], w1 = word[1];
	uint32_t op = mms_w1_op(w1), n = slots_of(op, mms_w1_size(w1));
	uint64_t ticks = extend(s, w0);

	if (mms_w0_gen(w0) != s->gen || !op || !n || is_size(w0))
		return false;
	if (n > 2 && at + n * 16 > MMS_BLOCK_END)
		return false;
	if (ticks + BASE_MARGIN < s->prev)
		return false;
	return ticks <= latest(s);
}

/* Offset of the first record within n slots behind the frontier; 0: none. */
static uint32_t find_behind(const struct stream *s, uint32_t n)
{
	uint32_t end = s->at + 16 + n * 16;

	if (end > MMS_BLOCK_END)
		end = MMS_BLOCK_END;
	for (uint32_t at = s->at + 16; at < end; at += 16)
		if (is_plausible(s, at))
			return at;
	return 0;
}

static uint32_t look_behind(struct stream *s, bool whole)
{
	if (whole)
		return find_behind(s, MMS_RECORDS_PER_BLOCK);
	if (s->d->now - s->look_ticks < s->d->hole_wait)
		return find_behind(s, LOOK_SHORT);
	s->look_ticks = s->d->now;
	return find_behind(s, LOOK_LONG);
}

enum found { FOUND_RECORD, FOUND_NOTHING, FOUND_END, FOUND_SKIP };

/* What was reserved after the hole is this old: so is the hole, however late
 * we come to see it.  A reader that lags does not wait again at each. */
static bool has_aged(const struct stream *s, uint32_t behind)
{
	const struct drain *d = s->d;
	uint64_t after = d->now;

	if (behind)
		after = extend(s, atomic_load_explicit(&slot_of(s, behind)->w0, memory_order_relaxed));
	else if (s->queue != NO_CELL)
		after = d->cells[s->queue].base_ticks;
	return after < d->now && d->now - after >= d->hole_wait;
}

/* What the handler on top of the hole is waiting for.  Not in the round that
 * first meets the thread, whose process may not have begun for the sink. */
static bool is_waited_for(const struct stream *s)
{
	const struct mms_header *h = s->d->session->header;

	return s->prev <= s->d->done && atomic_load_explicit(&h->n_waiting, memory_order_relaxed);
}

static enum found hole(struct stream *s, uint32_t behind)
{
	struct drain *d = s->d;
	bool waited = (s->hole_ticks && d->now - s->hole_ticks >= d->hole_wait) || has_aged(s, behind);

	if (!s->dead && !waited && !is_waited_for(s)) {
		if (!s->hole_ticks)
			s->hole_ticks = d->now;
		if (s->prev < s->family->lane->order.horizon)
			s->family->lane->order.horizon = s->prev;
		return FOUND_NOTHING;
	}
	behind = behind ? behind : MMS_BLOCK_END;
	holes_leave(s, s->cell, s->at, behind);
	d->cells[s->cell].dirty = true;
	s->hole_ticks = 0;
	s->at = behind;
	return FOUND_SKIP;
}

/* What stands at the offset, with all the questions of the head of this file. */
static enum found look(struct stream *s)
{
	uint32_t closed = atomic_load_explicit(&s->block->closed, memory_order_acquire);
	uint64_t w0;
	uint32_t behind;

	/* The last record may have been read before the writer knows that the
	 * block is full: it is still to store `closed` there. */
	if (s->at >= MMS_BLOCK_END)
		return closed != MMS_BLOCK_OPEN || s->dead ? FOUND_END : FOUND_NOTHING;
	w0 = atomic_load_explicit(&slot_of(s, s->at)->w0, memory_order_acquire);
	if (mms_w0_gen(w0) == s->gen) {
		s->source.ticks = extend(s, w0);
		s->hole_ticks = 0;
		return FOUND_RECORD;
	}
	behind = look_behind(s, s->dead || closed != MMS_BLOCK_OPEN);
	if (behind || (closed == MMS_BLOCK_CLOSED && !s->dead))
		return hole(s, behind);
	if (s->dead || closed == MMS_BLOCK_RETURNED)
		return FOUND_END;
	anchor_raise(s, s->d->now);
	return FOUND_NOTHING;
}

static bool next_slow(struct stream *s)
{
	while (s->block) {
		switch (look(s)) {
		case FOUND_RECORD:
			return true;
		case FOUND_NOTHING:
			return false;
		case FOUND_END:
			block_finished(s);
			break;
		case FOUND_SKIP:
			break;
		}
	}
	return false;
}

static inline __attribute__((always_inline)) bool next_record(struct stream *s)
{
	if (__builtin_expect(s->block && s->at < MMS_BLOCK_END, 1)) {
		uint64_t w0 = atomic_load_explicit(&slot_of(s, s->at)->w0, memory_order_acquire);

		if (__builtin_expect(mms_w0_gen(w0) == s->gen && !s->hole_ticks, 1)) {
			s->source.ticks = extend(s, w0);
			return true;
		}
	}
	return next_slow(s);
}

bool stream_next(struct stream *s)
{
	return next_record(s);
}

/* Time of the record: it never runs backwards, whatever the stamps do. */
static uint64_t event_ns(struct stream *s, uint64_t ticks)
{
	struct family *f = s->family;
	uint64_t t_ns = stamp_ns(&s->d->clock, ticks);

	f->lane->stats.n_late += ticks < s->d->done;
	if (t_ns > f->last_ns)
		f->last_ns = t_ns;
	return f->last_ns;
}

static void deliver_long(struct stream *s, const struct slot *slot, uint32_t n)
{
	struct drain *d = s->d;
	struct order_note note = {
		.type = mms_w1_long(slot->w1),
		.stack = mms_w0_stack(atomic_load_explicit(&slot->w0, memory_order_relaxed)),
		.payload = slot + 1,
		.bytes = (n - 1) * sizeof(*slot),
		.t_ns = event_ns(s, s->source.ticks),
	};

	d->cells[s->cell].keep |= note.type == MMS_LONG_PROCESS || note.type == MMS_LONG_MODULE ||
		note.type == MMS_LONG_CONTEXT;
	batch_flush(s->family->lane);
	d->sink->note(d->sink->arg, &s->who, &note);
}

/* Place for one event more. */
static inline __attribute__((always_inline)) struct order_heap *batch_add(struct lane *l)
{
	if (__builtin_expect(l->n_batch == ORDER_BATCH, 0))
		batch_flush(l);
	return &l->batch[l->n_batch++];
}

static void deliver_heap(struct stream *s, const struct slot *slot, uint32_t op)
{
	struct order_heap *e = batch_add(s->family->lane);

	*e = (struct order_heap){
		.w = &s->who,
		.address = mms_w1_ptr(slot->w1),
		.size = mms_w1_size(slot->w1),
		.t_ns = event_ns(s, s->source.ticks),
		.stack = mms_w0_stack(atomic_load_explicit(&slot->w0, memory_order_relaxed)),
		.op = op,
	};
	if (op >= MMS_OP_MALLOC_EXT) {
		const struct mms_ext *x = (const struct mms_ext *)(const void *)(slot + 1);

		e->op = op - MMS_OP_MALLOC_EXT + MMS_OP_MALLOC;
		e->address = x->address;
		e->size = x->size;
	}
}

static bool is_plain(uint64_t w1)
{
	return mms_w1_op(w1) - 1 < MMS_OP_MALLOC_EXT - 1;
}

/* The record at the offset; moves past it. */
static void deliver(struct stream *s)
{
	struct drain *d = s->d;
	struct drain_stats *stats = &s->family->lane->stats;
	const struct slot *slot = slot_of(s, s->at);
	uint32_t op = mms_w1_op(slot->w1), n = op ? slots_of(op, mms_w1_size(slot->w1)) : 0;

	if (!n || (op >= MMS_OP_LONG && s->at + n * 16 > MMS_BLOCK_END)) {
		stats->n_bad++;
		op = MMS_OP_PAD;
		n = 1;
	}
	d->cells[s->cell].dirty |= !is_plain(slot->w1);
	if (op == MMS_OP_LONG)
		deliver_long(s, slot, n);
	else if (op != MMS_OP_PAD)
		deliver_heap(s, slot, op);
	stats->n_records += op != MMS_OP_PAD;
	s->at += n * 16;
	s->prev = s->source.ticks;
	anchor_raise(s, s->prev);
}

/* Heap records of one slot each, the usual ones, up to what is none.  The
 * first is known to be there and due.  s->at is then behind the last.  What
 * deliver() does, with all that stays the same in registers. */
static void run_plain(struct stream *s, uint64_t limit)
{
	struct family *family = s->family;
	struct lane *lane = family->lane;
	const struct stamp_clock clock = s->d->clock;
	const uint64_t done = s->d->done;
	uint64_t ticks = s->source.ticks, last_ns = family->last_ns, w1 = slot_of(s, s->at)->w1, w0, n_late = 0;
	uint32_t at = s->at, gen = s->gen;

	w0 = atomic_load_explicit(&slot_of(s, at)->w0, memory_order_relaxed);
	do {
		struct order_heap *e = batch_add(lane);
		uint64_t t_ns = stamp_ns(&clock, ticks);

		last_ns = t_ns > last_ns ? t_ns : last_ns;
		n_late += ticks < done;
		e->w = &s->who;
		e->address = mms_w1_ptr(w1);
		e->size = mms_w1_size(w1);
		e->t_ns = last_ns;
		e->stack = mms_w0_stack(w0);
		e->op = mms_w1_op(w1);
		at += 16;
		s->prev = ticks;
		if (__builtin_expect(ticks - s->anchor > ANCHOR_LAG, 0))
			anchor_raise(s, ticks);
		if (at >= MMS_BLOCK_END)
			break;
		w0 = atomic_load_explicit(&slot_of(s, at)->w0, memory_order_acquire);
		if (mms_w0_gen(w0) != gen)
			break;
		w1 = slot_of(s, at)->w1;
		ticks = extend(s, w0);
	} while (ticks <= limit && is_plain(w1));
	family->last_ns = last_ns;
	lane->stats.n_late += n_late;
	lane->stats.n_records += (at - s->at) / 16;
	s->at = at;
}

/* ---- late records ---- */

static struct slot *slot_in(const struct stream *s, uint32_t cell, uint32_t at)
{
	return (struct slot *)(void *)((uint8_t *)mms_cell(s->d->session, cell) + at);
}

static uint64_t late_ticks(const struct stream *s, uint64_t w0)
{
	uint64_t latest = s->d->now + ANCHOR_MARGIN;

	return latest - ((latest - mms_w0_stamp(w0)) & MMS_STAMP_MASK);
}

/* The slot may be in the middle of being written, as in is_plausible. */
__attribute__((no_sanitize("thread"))) uint32_t stream_late_slots(const struct stream *s, uint32_t cell, uint32_t at)
{
	const struct slot *slot = slot_in(s, cell, at);
	uint64_t w0 = atomic_load_explicit(&slot->w0, memory_order_acquire);
	uint32_t gen = ((const struct mms_block *)(const void *)mms_cell(s->d->session, cell))->gen;
	uint32_t n = slots_of(mms_w1_op(slot->w1), mms_w1_size(slot->w1));

	if (mms_w0_gen(w0) != gen)
		return 0;
	return n && at + n * 16 <= MMS_BLOCK_END ? n : 1; /* damaged: deliver() counts it */
}

__attribute__((no_sanitize("thread"))) bool stream_late_plausible(const struct stream *s, uint32_t cell, uint32_t at)
{
	const struct slot *slot = slot_in(s, cell, at);
	uint64_t w0 = atomic_load_explicit(&slot->w0, memory_order_acquire), ticks = late_ticks(s, w0);

	return stream_late_slots(s, cell, at) && mms_w1_op(slot->w1) && !is_size(w0) &&
		ticks + BASE_MARGIN >= s->d->cells[cell].base_ticks && ticks <= latest(s);
}

void stream_late(struct stream *s, uint32_t cell, uint32_t at)
{
	struct stream reading = *s;
	uint64_t ticks;

	s->block = (struct mms_block *)(void *)mms_cell(s->d->session, cell);
	s->cell = cell;
	s->at = at;
	ticks = late_ticks(s, atomic_load_explicit(&slot_of(s, at)->w0, memory_order_relaxed));
	s->source.ticks = ticks < s->d->now ? ticks : s->d->now;
	deliver(s);
	s->block = reading.block;
	s->cell = reading.cell;
	s->at = reading.at;
	s->prev = reading.prev;
	s->source.ticks = reading.source.ticks;
}

bool stream_run(struct order_source *source, uint64_t limit)
{
	struct stream *s = (struct stream *)(void *)source;

	do {
		if (is_plain(slot_of(s, s->at)->w1))
			run_plain(s, limit);
		else
			deliver(s);
		if (!next_record(s))
			return false;
	} while (source->ticks <= limit);
	return true;
}
