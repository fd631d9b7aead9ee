/*
 * stack_table.c - interned stacks in the session file (mmscope/stacks.h).
 *
 * Called by stack.c for a stack that the thread has not seen lately.  All
 * processes of the session write here at the same time.
 *
 * Law: no lock, no allocation, errno untouched, callable from a signal
 * handler that interrupted itself.  The only system calls are those of
 * stack_table_wait, when the session file is full.  Nothing beyond the cells
 * that the collector has made ready is touched: that would be SIGBUS.
 *
 * A node that loses the race for its slot stays unused; it costs 16 bytes and
 * is not reachable.
 */
#include "stack_table.h"

#include <stdatomic.h>

#include "base/doorbell.h"
#include "base/sys.h"

/* A second in all: a collector that writes a large database in between does
 * not come back sooner on a busy machine. */
#define WAIT_STEP_NS 5000000u
#define WAIT_STEPS 200

struct stack_key stack_root_key(uint32_t context)
{
	return (struct stack_key){ context | (uint64_t)MMS_NODE_ROOT << 48, mms_stack_hash(0, context) };
}

/* The 16 slots of a hash in one segment; NULL: the segment is not there yet. */
static _Atomic uint32_t *bucket(const struct mms_session *s, unsigned segment, uint64_t hash)
{
	if (segment == 0)
		return &s->cell0->index0[(hash % (MMS_INDEX0_SLOTS / MMS_INDEX_BUCKET)) * MMS_INDEX_BUCKET];
	/* 4 + 16 + 64 + 256 cells: segment k begins behind (4^k - 4) / 3. */
	uint32_t n_cells = 1u << (2 * segment), first = (n_cells - 4) / 3;
	uint32_t per_cell = MMS_INDEX_SLOTS_PER_CELL / MMS_INDEX_BUCKET;
	uint32_t n = (uint32_t)(hash % (n_cells * per_cell));

	if (atomic_load_explicit(&s->header->n_index_cells, memory_order_acquire) < first + n_cells)
		return NULL;
	uint32_t cell = s->cell0->index_cell[first + n / per_cell];
	if (cell >= s->n_cells_mapped)
		return NULL;
	_Atomic uint32_t *slots = (_Atomic uint32_t *)(void *)mms_cell(s, cell);
	return slots + (size_t)(n % per_cell) * MMS_INDEX_BUCKET;
}

/* What a slot's node must be to match. */
struct wanted {
	struct stack_key node;
	bool by_id; /* compare the parent's id, else its key and hash */
	uint32_t parent_id;
	struct stack_key parent;
};

static bool matches(const struct mms_session *s, uint32_t slot, const struct wanted *w)
{
	if (slot >> 24 != w->node.hash >> 56)
		return false;
	const struct mms_node *n = mms_node(s, slot & MMS_STACK_MASK);
	if (!n || atomic_load_explicit(&n->w0, memory_order_relaxed) != w->node.key)
		return false;
	uint64_t w1 = atomic_load_explicit(&n->w1, memory_order_relaxed);
	if (mms_node_hash(w1) != w->node.hash >> 24)
		return false;
	if (w->by_id)
		return mms_node_parent(w1) == w->parent_id;
	const struct mms_node *p = mms_node(s, mms_node_parent(w1));
	return p && atomic_load_explicit(&p->w0, memory_order_relaxed) == w->parent.key &&
		mms_node_hash(atomic_load_explicit(&p->w1, memory_order_relaxed)) == w->parent.hash >> 24;
}

uint32_t stack_table_is(const struct mms_session *s, uint32_t id, struct stack_key node)
{
	const struct mms_node *n = id ? mms_node(s, id) : NULL;

	return n && atomic_load_explicit(&n->w0, memory_order_relaxed) == node.key &&
			mms_node_hash(atomic_load_explicit(&n->w1, memory_order_relaxed)) == node.hash >> 24 ?
		id :
		0;
}

/* A fresh node, written but not reachable yet; 0: no room. */
static uint32_t make_node(const struct mms_session *s, struct stack_key node, uint32_t parent)
{
	uint32_t id = atomic_load_explicit(&s->header->next_node, memory_order_relaxed);
	struct mms_node *n;

	do {
		n = id <= MMS_STACK_MASK ? mms_node(s, id) : NULL;
		if (!n)
			return 0;
	} while (!atomic_compare_exchange_weak_explicit(&s->header->next_node, &id, id + 1,
		memory_order_relaxed, memory_order_relaxed));
	atomic_store_explicit(&n->w0, node.key, memory_order_relaxed);
	atomic_store_explicit(&n->w1, mms_node_w1(parent, node.hash), memory_order_relaxed);
	return id;
}

/* Walks the buckets of the hash.  Returns the id of the match; 0 when there
 * is none, *ret_empty is then the first empty slot (NULL: no room). */
static uint32_t look(const struct mms_session *s, const struct wanted *w, _Atomic uint32_t **ret_empty)
{
	*ret_empty = NULL;
	for (unsigned segment = 0; segment < MMS_INDEX_SEGMENTS; segment++) {
		_Atomic uint32_t *b = bucket(s, segment, w->node.hash);
		if (!b)
			return 0;
		for (unsigned i = 0; i < MMS_INDEX_BUCKET; i++) {
			uint32_t slot = atomic_load_explicit(&b[i], memory_order_acquire);
			if (!slot) {
				*ret_empty = &b[i];
				return 0;
			}
			if (matches(s, slot, w))
				return slot & MMS_STACK_MASK;
		}
	}
	return 0;
}

uint32_t stack_table_find(const struct mms_session *s, struct stack_key node, struct stack_key parent)
{
	struct wanted w = { .node = node, .parent = parent };
	_Atomic uint32_t *empty;

	return look(s, &w, &empty);
}

uint32_t stack_table_insert(const struct mms_session *s, struct stack_key node, uint32_t parent)
{
	struct wanted w = { .node = node, .by_id = true, .parent_id = parent };
	_Atomic uint32_t *empty;
	uint32_t made = 0, none;

	for (;;) {
		uint32_t id = look(s, &w, &empty);
		if (id || !empty)
			return id;
		if (!made)
			made = make_node(s, node, parent);
		if (!made)
			return 0;
		none = 0;
		if (atomic_compare_exchange_strong_explicit(empty, &none, mms_index_slot(made, node.hash),
			    memory_order_release, memory_order_relaxed))
			return made;
	}
}

uint32_t stack_table_root(const struct mms_session *s, uint32_t context)
{
	return stack_table_insert(s, stack_root_key(context), 0);
}

/* How much room the collector has made; 0 cells of each kind: 0. */
static uint32_t room(const struct mms_header *h)
{
	return atomic_load_explicit(&h->n_node_cells, memory_order_acquire) << 16 |
		atomic_load_explicit(&h->n_index_cells, memory_order_acquire);
}

bool stack_table_wait(const struct mms_session *s)
{
	static _Atomic uint32_t given_up; /* at this much room waiting brought nothing */
	struct mms_header *h = s->header;
	uint32_t before = room(h);

	atomic_fetch_or_explicit(&h->want, 1u << MMS_CELL_NODES | 1u << MMS_CELL_INDEX,
		memory_order_relaxed);
	if (h->policy != MMS_POLICY_BLOCK || given_up == before ||
		atomic_load(&h->stacks_full) || doorbell_is_silent())
		return false;
	for (int i = 0; i < WAIT_STEPS; i++) {
		if (atomic_load(&h->collector_state) != MMS_COLLECTOR_ALIVE || atomic_load(&h->stacks_full))
			return false;
		uint32_t seq = atomic_load(&h->free_seq);
		atomic_fetch_add(&h->wake_seq, 1);
		if (atomic_load(&h->collector_sleeping))
			mms_futex_wake(&h->wake_seq, 1);
		atomic_fetch_add(&h->n_waiting, 1);
		mms_futex_wait(&h->free_seq, seq, WAIT_STEP_NS);
		atomic_fetch_sub(&h->n_waiting, 1);
		if (room(h) != before)
			return true;
	}
	given_up = before;
	return false;
}
