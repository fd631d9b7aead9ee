/*
 * judge.c - the verdicts over the blocks of a process that ends.
 *
 *	target                          collector
 *	ROOTS, reach = ASKED  ------->  judge_is_asked, drain_round
 *	waits                           READING: copy_read
 *	goes on and ends      <-------  DONE
 *	                                copy_roots, reach_classify
 *
 * The target stands still for as long as its memory is copied and no longer.
 * Other threads of it go on: a pointer that wanders meanwhile from what is
 * copied late to what was copied early is missed.
 */
#include "collect/judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mmscope/syscall.h>

#include "collect/copy.h"

void judge_init(struct judge *j, const struct mms_session *session, struct model *m,
	const struct stamp_clock *clock, const struct stack_source *stacks)
{
	*j = (struct judge){ .session = session, .model = m, .clock = clock, .stacks = stacks };
}

bool judge_is_asked(struct judge *j)
{
	uint32_t n = atomic_load(&j->session->header->n_reach);
	bool asked = n != j->n_seen;

	j->n_seen = n;
	return asked || j->later_ns;
}

/* ---- the blocks ---- */

struct blocks {
	struct reach_block *block;
	size_t n, room;
	const struct judge *j;
	struct copy *copy;
	bool no_memory;
};

static void add_inherited(void *arg, uint64_t address, uint64_t size)
{
	struct blocks *b = arg;

	if (b->n == b->room) {
		size_t room = b->room * 2 + 1024;
		void *grown = reallocarray(b->block, room, sizeof(*b->block));

		if (!grown) {
			b->no_memory = true;
			return;
		}
		b->block = grown;
		b->room = room;
	}
	b->block[b->n++] = (struct reach_block){ .address = address, .size = size };
}

/* What the loader allocates for itself (vectors of thread-local storage, its
 * lists) is not the program's to free. */
static bool is_loaders(const struct blocks *b, uint32_t stack)
{
	struct stack_node node;

	return b->j->stacks->node(b->j->stacks->arg, stack, &node) && copy_is_loader(b->copy, node.pc);
}

static void add_own(void *arg, uint64_t address, uint64_t size, uint32_t stack, uint32_t thread, uint64_t t_ns)
{
	struct blocks *b = arg;

	(void)thread;
	(void)t_ns;
	add_inherited(b, address, size);
	if (is_loaders(b, stack))
		copy_word(b->copy, address);
}

static int by_address(const void *a, const void *b)
{
	const struct reach_block *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

/* Blocks do not overlap, unless records were lost: the earlier one is cut. */
static void sort_blocks(struct blocks *b)
{
	size_t n = 0;

	if (b->n)
		qsort(b->block, b->n, sizeof(*b->block), by_address);
	for (size_t i = 0; i < b->n; i++) {
		struct reach_block *last = n ? &b->block[n - 1] : NULL;

		if (last && last->address == b->block[i].address)
			continue;
		if (last && last->address + last->size > b->block[i].address)
			last->size = b->block[i].address - last->address;
		b->block[n++] = b->block[i];
	}
	b->n = n;
}

static int keep_verdicts(struct model_process *p, const struct blocks *b)
{
	uint64_t *verdicts = reallocarray(NULL, b->n + 1, sizeof(*verdicts));

	if (!verdicts)
		return -ENOMEM;
	for (size_t i = 0; i < b->n; i++)
		verdicts[i] = b->block[i].address << 8 | b->block[i].verdict;
	free(p->verdicts);
	p->verdicts = verdicts;
	p->n_verdicts = b->n;
	return 0;
}

static int classify(const struct judge *j, struct copy *c, struct model_process *p, const struct space *sp)
{
	struct blocks b = { .j = j, .copy = c };
	struct reach_totals totals;

	model_live_blocks(p, add_own, &b);
	model_inherited_blocks(p, add_inherited, &b);
	sort_blocks(&b);
	int r = b.no_memory || c->no_memory ? -ENOMEM : copy_roots(c, p, sp, b.block, b.n);
	if (r == 0)
		r = reach_classify(b.block, b.n, c->pieces, c->n_pieces, c->roots, c->n_roots, &totals);
	if (r == 0)
		r = keep_verdicts(p, &b);
	free(b.block);
	return r;
}

/* ---- who asks ---- */

static void answer(struct mms_process *slot, uint32_t state)
{
	atomic_store(&slot->reach, state);
	mms_futex_wake(&slot->reach, 1);
}

static int proc_fd_of(const struct watch *w, uint64_t number)
{
	for (size_t i = w->n_processes; i-- > 0;)
		if (w->processes[i].image == number)
			return w->processes[i].proc_fd;
	return -1;
}

static const char *reason(int error)
{
	switch (error) {
	case -EFBIG:
	case -ENOMEM:
		return "There was no memory for a copy of the process: its blocks are unclassified.";
	case -EPERM:
	case -EACCES:
		return "The process may not be read from outside: its blocks are unclassified.";
	default:
		return "The process's memory could not be read: its blocks are unclassified.";
	}
}

static void judge_one(const struct judge *j, struct mms_process *slot, struct model_process *p, int proc_fd,
	const struct space *sp, struct store *store)
{
	struct copy c = { .areas = NULL };

	answer(slot, MMS_REACH_READING);
	int r = proc_fd < 0 ? -ESRCH : copy_read(&c, proc_fd);
	p->judged_ns = stamp_full_ns(j->clock, stamp_now(j->clock));
	/* Which threads live is asked of /proc, so before it goes on. */
	if (r == 0)
		r = copy_threads(&c, proc_fd, p);
	answer(slot, MMS_REACH_DONE);
	if (r == 0)
		r = classify(j, &c, p, sp);
	if (r < 0 && store)
		store_coverage(store, p->number, "unclassified", p->live_blocks, reason(r));
	copy_done(&c);
}

/* A short process may ask before its bell was heard; how long that is waited for. */
#define LATER_NS 200000000ull

void judge_round(struct judge *j, const struct watch *w, const struct spaces *spaces, struct store *store)
{
	uint64_t now = stamp_full_ns(j->clock, stamp_now(j->clock));
	bool again = j->later_ns && now - j->later_ns > LATER_NS, later = false;
	struct mms_process *slot;

	for (uint32_t i = 0; (slot = mms_process_slot(j->session, i)); i++) {
		if (atomic_load(&slot->reach) != MMS_REACH_ASKED)
			continue;
		struct model_process *p = model_process_find(j->model, slot->number);
		if (!again && (!p || !p->roots_sp || proc_fd_of(w, p->number) < 0)) {
			later = true;
			continue;
		}
		if (p && p->live_blocks && p->roots_sp && !atomic_load(&j->session->header->no_reach))
			judge_one(j, slot, p, proc_fd_of(w, p->number),
				p->number < spaces->n ? spaces->space[p->number] : NULL, store);
		else
			answer(slot, MMS_REACH_DONE);
	}
	j->later_ns = !later ? 0 : j->later_ns ? j->later_ns : now;
}

void judge_finish(const struct judge *j, struct store *store)
{
	uint32_t why = atomic_load(&j->session->header->no_reach);

	for (size_t i = 0; i < j->model->n_processes; i++) {
		const struct model_process *p = j->model->processes[i];

		if (p->live_blocks && !p->judged_ns)
			store_coverage(store, p->number, "unclassified", p->live_blocks,
				why == MMS_NO_REACH_WANTED ?
					"Whether something points to its blocks was not asked for (--reach off)." :
				why == MMS_NO_REACH_PARTIAL ?
					"Not all blocks were recorded (sampling, or a pause), so whether"
					" something points to a block cannot be told." :
				p->runs_on ?
					"The process was still running when the recording was ended:"
					" its blocks are unclassified." :
					"The process lived shorter than 10 ms or ended without a last word:"
					" its blocks are unclassified.");
	}
}
