/*
 * judge.c - the verdicts over the blocks of a process that ends.
 *
 *	target                          collector
 *	ROOTS, reach = ASKED  ------->  copy_read in reader.c, or here (LATER)
 *	waits                           READING
 *	goes on and ends      <-------  DONE
 *	                                copy_roots, reach_classify
 *
 * The target stands still for as long as its memory is copied and no longer:
 * the thread that ends it waits, its others are stopped.  The copy of one that
 * is alone is made by reader.c, which has nothing else to do.
 */
#include "collect/judge.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <mmscope/syscall.h>

#include "collect/blocks.h"
#include "collect/copy.h"

void judge_init(struct judge *j, const struct mms_session *session, struct model *m, struct drain *drain,
	const struct stack_source *stacks)
{
	*j = (struct judge){ .session = session, .model = m, .drain = drain, .clock = drain_clock(drain), .stacks = stacks };
}

bool judge_is_asked(struct judge *j)
{
	uint32_t n = reader_left(j->reader);
	bool asked = n != j->n_seen;

	j->n_seen = n;
	return asked || j->later_ns;
}

/* ---- who asks ---- */

static void answer(struct mms_process *slot, uint32_t state)
{
	atomic_store(&slot->reach, state);
	mms_futex_wake(&slot->reach, 1);
}

static const struct watch_process *process_of(const struct watch *w, uint64_t number)
{
	for (size_t i = w->n_processes; i-- > 0;)
		if (w->processes[i].image == number)
			return w->processes[i].proc_fd >= 0 ? &w->processes[i] : NULL;
	return NULL;
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

/* Its other threads go on while one waits: all are stopped, and their
 * registers are roots.  By a thread of ours that ends, see freeze.h. */
struct stopping {
	struct copy *c;
	struct model_process *p;
	const struct stamp_clock *clock;
	int proc_fd, result;
	pid_t pid;
	bool stopped, unsure;
	uint64_t stamp; /* when all stood */
};

static void *read_stopped(void *arg)
{
	struct stopping *r = arg;
	struct freeze f;

	r->stopped = freeze_stop(&f, r->pid, r->proc_fd) == 0;
	r->stamp = stamp_now(r->clock);
	r->result = copy_read(r->c, r->proc_fd, r->pid);
	if (r->stopped && r->result == 0)
		r->result = copy_frozen_threads(r->c, &f, r->p);
	if (r->stopped)
		freeze_done(&f);
	return NULL;
}

static bool is_alone(const struct model_process *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_threads; i++)
		n += !p->threads[i].end_ns;
	return n < 2;
}

/* Which threads live is asked of /proc, so before it goes on. */
static int read_memory(struct stopping *r, struct store *store)
{
	pthread_t thread;

	if (is_alone(r->p) || r->pid <= 0 || pthread_create(&thread, NULL, read_stopped, r) != 0)
		r->result = copy_read(r->c, r->proc_fd, r->pid);
	else
		pthread_join(thread, NULL);
	if (r->stopped || r->result < 0)
		return r->result;
	r->unsure = !is_alone(r->p);
	if (r->unsure && store)
		store_coverage(store, r->p->number, "registers", 1,
			"Threads could not be stopped at the end: what they held in registers alone, or moved"
			" meanwhile, was not seen, so no block is called lost, only possibly lost.");
	return copy_threads(r->c, r->proc_fd, r->p);
}

/* ---- the verdicts ---- */

/* Where not all roots were seen, nothing is surely lost. */
static uint8_t verdict_of(const struct reach_block *b, bool unsure)
{
	bool lost = b->verdict == REACH_DEFINITE || b->verdict == REACH_INDIRECT;

	return unsure && lost ? REACH_POSSIBLE : b->verdict;
}

static int keep_verdicts(struct model_process *p, const struct blocks *b, bool unsure)
{
	uint64_t *verdicts = reallocarray(NULL, b->n + 1, sizeof(*verdicts));

	if (!verdicts)
		return -ENOMEM;
	for (size_t i = 0; i < b->n; i++)
		verdicts[i] = b->block[i].address << 8 | verdict_of(&b->block[i], unsure);
	free(p->verdicts);
	p->verdicts = verdicts;
	p->n_verdicts = b->n;
	return 0;
}

static int classify(const struct judge *j, struct copy *c, struct model_process *p, bool unsure,
	struct spaces *spaces)
{
	struct blocks b;
	struct reach_totals totals;
	int r = blocks_list(&b, j->model, p, c, j->stacks, spaces_owners(spaces, p->number));

	if (r == 0)
		r = copy_roots(c, p, numbered_find(&spaces->space, p->number), b.block, b.n);
	if (r == 0)
		r = reach_classify(b.block, b.n, c->pieces, c->n_pieces, c->roots, c->n_roots, &totals);
	if (r == 0)
		r = keep_verdicts(p, &b, unsure);
	blocks_done(&b);
	return r;
}

static void judge_one(struct judge *j, struct mms_process *slot, struct model_process *p,
	const struct watch_process *w, struct spaces *spaces, struct store *store)
{
	struct copy c = { .areas = NULL };
	struct stopping reading = { .c = &c, .p = p, .clock = j->clock,
		.proc_fd = w ? w->proc_fd : -1, .pid = w ? w->pid : 0 };

	answer(slot, MMS_REACH_READING);
	int r = reading.proc_fd < 0 ? -ESRCH : read_memory(&reading, store);
	if (!reading.stopped)
		reading.stamp = stamp_now(j->clock);
	p->judged_ns = stamp_full_ns(j->clock, reading.stamp);
	answer(slot, MMS_REACH_DONE);
	if (reading.stopped) { /* what its threads did until then */
		drain_round_until(j->drain, reading.stamp);
		j->drained = reading.stamp;
	}
	if (r == 0)
		r = classify(j, &c, p, reading.unsure, spaces);
	if (r < 0 && store)
		store_coverage(store, p->number, "unclassified", p->live_blocks, reason(r));
	copy_done(&c);
}

/* A short process may ask before its bell was heard; how long that is waited for. */
#define LATER_NS 200000000ull

void judge_round(struct judge *j, const struct watch *w, struct spaces *spaces, struct store *store)
{
	uint64_t now = stamp_full_ns(j->clock, stamp_now(j->clock));
	bool again = j->later_ns && now - j->later_ns > LATER_NS, later = false;
	struct mms_process *slot;

	for (uint32_t i = 0; (slot = mms_process_slot(j->session, i)); i++) {
		if (atomic_load(&slot->reach) != MMS_REACH_LATER)
			continue;
		struct model_process *p = model_process_find(j->model, slot->number);
		if (!again && (!p || !p->roots_sp || !process_of(w, p->number))) {
			later = true;
			continue;
		}
		if (p && p->live_blocks && p->roots_sp && !atomic_load(&j->session->header->no_reach))
			judge_one(j, slot, p, process_of(w, p->number), spaces, store);
		else
			answer(slot, MMS_REACH_DONE);
	}
	j->later_ns = !later ? 0 : j->later_ns ? j->later_ns : now;
}

/* ---- what the reader copied ---- */

/* False: what the process said of itself has not been read yet. */
static bool judge_copied(const struct judge *j, struct reading *x, struct spaces *spaces, struct store *store)
{
	struct model_process *p = model_process_find(j->model, x->number);
	int r = x->result;

	if (!p || !p->roots_sp)
		return false;
	if (!p->live_blocks || atomic_load(&j->session->header->no_reach))
		return true;
	p->judged_ns = stamp_full_ns(j->clock, x->stamp);
	if (r == 0)
		r = copy_threads(&x->copy, -1, p);
	if (r == 0)
		r = classify(j, &x->copy, p, false, spaces);
	if (r < 0 && store)
		store_coverage(store, p->number, "unclassified", p->live_blocks, reason(r));
	return true;
}

static void judge_kept(struct judge *j, struct spaces *spaces, struct store *store, uint64_t now_ns)
{
	struct reading **link = &j->kept;

	while (*link) {
		struct reading *x = *link;

		/* It may have been copied after `now`. */
		if (!judge_copied(j, x, spaces, store) && now_ns < stamp_full_ns(j->clock, x->stamp) + LATER_NS) {
			link = &x->next;
			continue;
		}
		*link = x->next;
		reading_free(x);
	}
}

/* One copy a round: slots must be given back meanwhile, and the ring read. */
uint64_t judge_drain(struct judge *j, struct spaces *spaces, struct store *store)
{
	/* Before the list is looked at: whoever is put there later goes on later. */
	uint64_t now = drain_horizon(j->drain), n = 0;
	struct reading *x = j->reader ? reader_take(j->reader) : NULL;
	uint64_t until = x ? x->stamp : now;

	if (until > j->drained) {
		n = drain_round_until(j->drain, until);
		j->drained = until;
	}
	if (x) {
		x->next = j->kept;
		j->kept = x;
	}
	judge_kept(j, spaces, store, stamp_full_ns(j->clock, now));
	j->more = x != NULL;
	return n;
}

void judge_done(struct judge *j)
{
	reader_free(j->reader);
	while (j->kept) {
		struct reading *x = j->kept;

		j->kept = x->next;
		reading_free(x);
	}
}

/* Blocks of the process that nothing is known of. */
static uint64_t unclassified(const struct model_process *p)
{
	uint64_t blocks = 0;

	if (!p->n_summed || p->sampled)
		return p->judged_ns ? 0 : p->live_blocks;
	for (size_t i = 0; i < p->n_sites; i++)
		blocks += p->sites[i]->left->blocks[REACH_UNCLASSIFIED];
	return blocks;
}

static const char *why_not(const struct model_process *p, uint32_t why)
{
	if (why == MMS_NO_REACH_WANTED)
		return "Whether something points to its blocks was not asked for (--reach off).";
	if (why == MMS_NO_REACH_PARTIAL)
		return "Not all blocks were recorded (sampling, or a pause), so whether"
		       " something points to a block cannot be told.";
	if (p->n_summed)
		return "Merged processes that lived shorter than 10 ms or ended without a last word:"
		       " their blocks are unclassified.";
	return p->runs_on ? "The process was still running when the recording was ended:"
			    " its blocks are unclassified."
			  : "The process lived shorter than 10 ms or ended without a last word:"
			    " its blocks are unclassified.";
}

void judge_finish(const struct judge *j, struct store *store)
{
	uint32_t why = atomic_load(&j->session->header->no_reach);

	for (size_t i = 0; i < j->model->n_processes; i++) {
		const struct model_process *p = j->model->processes[i];

		if (unclassified(p))
			store_coverage(store, p->number, "unclassified", unclassified(p), why_not(p, why));
	}
}
