/*
 * fake_session.c - a session in plain memory and threads that write into it.
 *
 * The writers are the protocol of ring.h written down once more, slowly and
 * for one real thread; linked by the tests of drain and model and by
 * bench_collector.
 */
#include "fake_session.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>

struct mms_session *fake_session_new(uint32_t n_ring)
{
	struct mms_session *s = calloc(1, sizeof(*s));
	uint32_t n = n_ring + 1;

	s->base = aligned_alloc(MMS_CELL_SIZE, (size_t)n * MMS_CELL_SIZE);
	memset(s->base, 0, (size_t)n * MMS_CELL_SIZE);
	s->n_cells_mapped = n;
	struct mms_header *h = s->header;
	h->magic = MMS_SESSION_MAGIC;
	h->version = MMS_PROTOCOL_VERSION;
	h->n_cells_max = n;
	h->clock = MMS_CLOCK_MONOTONIC_RAW;
	h->clock_hz = 1000000000;
	h->clock_shift = 4;
	h->start_stamp = fake_stamp(FAKE_START_TICKS);
	h->next_process = 1;
	s->cell0->cell_kind[0] = MMS_CELL_HEADER;
	for (uint32_t i = 1; i < n; i++) {
		s->cell0->cell_kind[i] = MMS_CELL_RING;
		((struct mms_block *)(void *)mms_cell(s, i))->gen = 1 + i % 3;
	}
	atomic_store(&h->n_cells_ready, n);
	return s;
}

void fake_session_free(struct mms_session *s)
{
	free(s->base);
	free(s);
}

uint64_t fake_process(struct mms_session *s, uint64_t parent, uint32_t begin, uint32_t pid, uint64_t ticks)
{
	for (uint32_t i = 0; i < MMS_PROCESSES_INLINE; i++) {
		struct mms_process *p = &s->cell0->process[i];

		if (atomic_load(&p->state) != MMS_SLOT_FREE)
			continue;
		p->pid = pid;
		p->begin = begin;
		p->parent_number = parent;
		p->number = atomic_fetch_add(&s->header->next_process, 1);
		p->begin_stamp = fake_stamp(ticks);
		atomic_store(&p->state, MMS_SLOT_LIVE);
		return p->number;
	}
	abort();
}

struct fake_thread fake_thread(struct mms_session *s, uint64_t process, uint32_t number)
{
	struct fake_thread t = { .session = s, .process = process, .number = number, .tid = 1000 + number };

	while (t.process_slot < MMS_PROCESSES_INLINE && s->cell0->process[t.process_slot].number != process)
		t.process_slot++;
	while (t.slot < MMS_THREADS_INLINE && atomic_load(&s->cell0->thread[t.slot].process))
		t.slot++;
	if (t.process_slot == MMS_PROCESSES_INLINE || t.slot == MMS_THREADS_INLINE)
		abort();
	atomic_store(&s->cell0->thread[t.slot].process, t.process_slot + 1);
	s->cell0->thread[t.slot].tid = t.tid;
	s->cell0->thread[t.slot].alive.__data.__lock = (int)t.tid;
	return t;
}

void fake_thread_dies(struct fake_thread *t)
{
	t->session->cell0->thread[t->slot].alive.__data.__lock = FUTEX_OWNER_DIED;
}

static struct mms_block *block_of(const struct fake_thread *t)
{
	return (struct mms_block *)(void *)mms_cell(t->session, t->cell);
}

void fake_close_block(struct fake_thread *t, enum mms_closed how)
{
	if (!t->cell)
		return;
	atomic_store(&block_of(t)->closed, how);
	if (how == MMS_BLOCK_CLOSED)
		atomic_fetch_add(&t->session->header->n_full, 1);
	t->cell = 0;
}

static bool take_block(struct fake_thread *t, uint64_t ticks)
{
	struct mms_session *s = t->session;

	fake_close_block(t, MMS_BLOCK_CLOSED);
	for (uint32_t i = 1; i < s->n_cells_mapped; i++) {
		if (s->cell0->cell_kind[i] != MMS_CELL_RING || atomic_load(&s->cell0->owner[i]))
			continue;
		atomic_store(&s->cell0->owner[i], mms_owner_word(t->process_slot, t->slot + 1));
		t->cell = i;
		t->at = MMS_BLOCK_FIRST;
		struct mms_block *b = block_of(t);
		b->process_number = t->process;
		b->pid = s->cell0->process[t->process_slot].pid;
		b->tid = t->tid;
		b->thread_number = t->number;
		b->thread_seq = atomic_fetch_add(&s->cell0->thread[t->slot].next_seq, 1);
		atomic_store(&b->base_stamp, fake_stamp(ticks));
		return true;
	}
	return false;
}

/* n slots that lie in one block; NULL: no room anywhere. */
static uint64_t *room(struct fake_thread *t, uint32_t n, uint64_t ticks)
{
	uint64_t *slot;

	if (t->cell && t->at + n * 16 > MMS_BLOCK_END && t->at < MMS_BLOCK_END) {
		slot = (uint64_t *)(void *)((uint8_t *)block_of(t) + t->at);
		slot[1] = mms_w1(0, MMS_OP_PAD, (MMS_BLOCK_END - t->at) / 16);
		slot[0] = mms_w0(ticks & MMS_STAMP_MASK, 0, block_of(t)->gen);
		t->at = MMS_BLOCK_END;
	}
	if ((!t->cell || t->at >= MMS_BLOCK_END) && !take_block(t, ticks))
		return NULL;
	slot = (uint64_t *)(void *)((uint8_t *)block_of(t) + t->at);
	t->at += n * 16;
	return slot;
}

uint64_t *fake_reserve(struct fake_thread *t, uint64_t ticks)
{
	return room(t, 1, ticks);
}

void fake_publish(struct fake_thread *t, uint64_t *slot, enum mms_op op, uint64_t address, uint32_t size, uint32_t stack, uint64_t ticks)
{
	struct mms_block *b = (struct mms_block *)((uintptr_t)slot & ~(uintptr_t)0xffff);

	slot[1] = mms_w1(address >> 3, op, size);
	__atomic_store_n(&slot[0], mms_w0(ticks & MMS_STAMP_MASK, stack, b->gen), __ATOMIC_RELEASE);
}

bool fake_heap(struct fake_thread *t, enum mms_op op, uint64_t address, uint64_t size, uint32_t stack, uint64_t ticks)
{
	/* A failed realloc has no _EXT form: its address is cut. */
	bool ext = op == MMS_OP_REALLOC_FAIL ? false : size >= MMS_SIZE_EXT || address & 7 || address >= MMS_PTR_LIMIT;
	uint64_t *slot = room(t, ext ? 2 : 1, ticks);

	if (!slot)
		return false;
	if (!ext) {
		fake_publish(t, slot, op, address, (uint32_t)size, stack, ticks);
		return true;
	}
	slot[2] = size;
	slot[3] = address;
	fake_publish(t, slot, op - MMS_OP_MALLOC + MMS_OP_MALLOC_EXT, 0, 0, stack, ticks);
	return true;
}

bool fake_long(struct fake_thread *t, enum mms_long type, const void *payload, size_t bytes, uint64_t ticks)
{
	uint32_t n = 1 + (uint32_t)((bytes + 15) / 16);
	uint64_t *slot = room(t, n, ticks);

	if (!slot)
		return false;
	memcpy(&slot[2], payload, bytes);
	slot[1] = mms_w1(type, MMS_OP_LONG, n);
	__atomic_store_n(&slot[0], mms_w0(ticks & MMS_STAMP_MASK, 0, block_of(t)->gen), __ATOMIC_RELEASE);
	return true;
}

uint32_t fake_free_cells(const struct mms_session *s)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < s->n_cells_mapped; i++)
		n += s->cell0->cell_kind[i] == MMS_CELL_RING && !atomic_load(&s->cell0->owner[i]);
	return n;
}
