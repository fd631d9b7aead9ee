/*
 * processes.c - a program that starts short processes for months, in bounded
 * memory.
 *
 * Ended processes become part of a sum, one for each program and way to begin
 * and to end; when there are too many programs the rest is one sum more.  What
 * is worth its detail stays: see model_sum_up in model.h.  Forks whose child
 * went, and those whose child was never seen, become sums likewise: one for
 * each place of a parent.
 *
 *   processes  1 2 3 4 5 6 7 8 9 ...      1 S2 4 9 ...     S2: 2 3 5 6 7 8
 *                                   ->
 *   forks      a b c d e f g h ...        a Sb c ...       Sb: b d e f g h
 *
 * A sum takes the number of the first process in it.  Called by the collector
 * between two rounds, when nobody holds a position or a pointer.
 */
#include "model/process.h"

#include <stdlib.h>
#include <string.h>

#include <mmscope/files.h>

#define SETTLED_NS 2000000000u /* after its end: nothing of it is on the way */
#define CHILD_NS 10000000000u  /* a child that was not seen by then never joins */
#define ANCESTORS 16           /* of who lives */

enum fate { STAYS, MAY_GO, GOES };

struct ranked {
	size_t at;
	uint64_t worth;
};

struct summing {
	struct model *m;
	const struct model_outside *out;
	uint8_t *fate;               /* enum fate, by position */
	struct model_process **into; /* by position: the sum of those that went */
	struct model_process **old;  /* by position: in whose place a sum stands now */
	struct ranked *rank;
	struct index forks;          /* sums of forks, by what they have in common */
	size_t n_gone;
};

/* ---- which go ---- */

static bool is_over(const struct summing *g, const struct model_process *p)
{
	const struct process_state *st = p->state;

	return !p->n_summed && !p->is_wanted && st->ended && (p->read || p->unrecorded) && !st->n_heirs && !st->n_open_forks &&
		p->begin != MMS_BEGIN_START && (g->out->over || p->end_ns + SETTLED_NS < g->m->now_ns) && !g->out->needs(g->out->arg, p);
}

static size_t position_of(const struct model *m, uint64_t number)
{
	uint32_t at = number ? index_find(&m->lineage->processes, number) : INDEX_NONE;

	return at == INDEX_NONE ? SIZE_MAX : at;
}

static void keep_ancestors(struct summing *g, const struct model_process *p)
{
	for (int i = 0; i < ANCESTORS && p; i++) {
		size_t at = position_of(g->m, p->parent);
		if (at == SIZE_MAX || g->m->processes[at] == p)
			return;
		g->fate[at] = STAYS;
		p = g->m->processes[at];
	}
}

static int by_worth(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->worth < y->worth ? 1 : x->worth > y->worth ? -1 : x->at < y->at ? 1 : x->at > y->at ? -1 : 0;
}

static uint64_t worth_peak(const struct model_process *p) { return p->peak_bytes; }
static uint64_t worth_signal(const struct model_process *p) { return p->end == MMS_END_SIGNAL ? p->end_ns : 0; }

/* Those worth most stay, if they are worth anything. */
static void keep_best(struct summing *g, uint64_t (*worth)(const struct model_process *p), size_t n)
{
	size_t n_rank = 0;

	for (size_t i = 0; i < g->m->n_processes; i++) {
		uint64_t value = g->fate[i] == MAY_GO ? worth(g->m->processes[i]) : 0;
		if (value)
			g->rank[n_rank++] = (struct ranked){ i, value };
	}
	qsort(g->rank, n_rank, sizeof(*g->rank), by_worth);
	for (size_t i = 0; i < n_rank && i < n; i++)
		g->fate[g->rank[i].at] = STAYS;
}

static void choose(struct summing *g)
{
	const struct model *m = g->m;
	size_t newest = g->out->max / 4, few = g->out->max / 16;

	for (size_t i = 0; i < m->n_processes; i++)
		g->fate[i] = is_over(g, m->processes[i]) ? MAY_GO : STAYS;
	for (size_t i = 0; i < m->n_processes; i++)
		if (!m->processes[i]->state->ended)
			keep_ancestors(g, m->processes[i]);
	for (size_t i = 0; i < m->n_failures; i++) {
		size_t at = position_of(m, m->failures[i].process);
		if (at != SIZE_MAX)
			g->fate[at] = STAYS;
	}
	keep_best(g, worth_peak, few);
	keep_best(g, merge_lost, few);
	keep_best(g, worth_signal, few);
	for (size_t i = m->n_processes; i-- > 0 && newest;)
		if (g->fate[i] == MAY_GO) {
			g->fate[i] = STAYS;
			newest--;
		}
}

/* ---- sums ---- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool belongs(const struct model_process *sum, const struct model_process *p)
{
	return sum->begin == p->begin && sum->end == p->end && same_text(sum->exe, p->exe) &&
		(p->end == MMS_END_EXEC || (sum->status_known == p->status_known && sum->status == p->status));
}

/* The sum of programs that have none of their own. */
static bool takes_rest(const struct model_process *sum)
{
	return !sum->exe && sum->begin == 0 && sum->end == MMS_END_NONE;
}

static struct model_process *sum_for(struct summing *g, size_t at)
{
	struct model *m = g->m;
	const struct model_process *p = m->processes[at];
	struct model_process *rest = NULL, *sum;

	for (size_t i = 0; i < m->n_processes; i++) {
		struct model_process *s = m->processes[i];
		if (!s->n_summed || s->sampled != p->sampled || s->unrecorded != p->unrecorded)
			continue;
		if (belongs(s, p))
			return s;
		if (takes_rest(s))
			rest = s;
	}
	if (rest)
		return rest;
	sum = merge_begin(m, p);
	if (sum && m->n_sums >= MODEL_SUMS_MAX) {
		free(sum->exe);
		sum->exe = NULL;
		sum->begin = 0;
		sum->end = MMS_END_NONE;
		sum->status_known = false;
	}
	return sum;
}

/* The process at this position becomes part of a sum, or the first of one. */
static void take(struct summing *g, size_t at)
{
	struct model *m = g->m;
	struct model_process *p = m->processes[at], *sum = sum_for(g, at);
	bool is_new = sum && !sum->n_summed;

	if (sum && !merge_add(m, sum, p, g->out)) {
		if (is_new)
			process_free(sum);
		sum = NULL;
	}
	if (!sum)
		return; /* no memory: it stays, until the next time */
	if (is_new) {
		m->processes[at] = sum;
		m->n_sums++;
		g->old[at] = p;
		return;
	}
	g->fate[at] = GOES;
	g->into[at] = sum;
	g->n_gone++;
}

/* The number under which a process is listed now. */
static uint64_t listed(const struct summing *g, uint64_t number)
{
	size_t at = position_of(g->m, number);

	return at != SIZE_MAX && g->fate[at] == GOES ? g->into[at]->number : number;
}

/* ---- what refers to them ---- */

static bool is_sum(const struct summing *g, uint64_t number)
{
	size_t at = position_of(g->m, number);

	return at != SIZE_MAX && (g->fate[at] == GOES || g->m->processes[at]->n_summed);
}

/* A program that follows another in one process is known to have done so. */
static void note_followed(struct summing *g, const struct model_process *p)
{
	size_t at = p->begin == MMS_BEGIN_EXEC ? position_of(g->m, p->parent) : SIZE_MAX;

	if (at != SIZE_MAX)
		g->m->processes[at]->was_followed = true;
}

static void move_processes(struct summing *g)
{
	for (size_t i = 0; i < g->m->n_processes; i++) {
		struct model_process *p = g->m->processes[i];
		size_t parent = p->state->parent ? position_of(g->m, p->state->parent->number) : SIZE_MAX;

		if (g->fate[i] == GOES)
			note_followed(g, p);
		else if (p->n_summed && is_sum(g, p->parent))
			p->parent = 0; /* no circles */
		else
			p->parent = listed(g, p->parent);
		/* Who is ended needs its parent's blocks no more, and the parent may be a sum. */
		if (p->state->ended && (parent == SIZE_MAX || g->fate[parent] == GOES || g->m->processes[parent]->n_summed))
			p->state->parent = NULL;
	}
}

static void move_events(struct summing *g)
{
	struct model *m = g->m;
	size_t n = 0;

	for (size_t i = 0; i < m->n_vm_events; i++)
		if (!is_sum(g, m->vm_events[i].process))
			m->vm_events[n++] = m->vm_events[i];
	if (n == m->n_vm_events)
		return;
	m->n_vm_summed += m->n_vm_events - n;
	m->n_vm_events = n;
	m->vm_full = false;
	m->vm_merges++;
}

/* ---- forks ---- */

static uint64_t fork_key(const struct summing *g, const struct model_fork *f, uint64_t kind)
{
	uint64_t place = f->stack ? g->out->place(g->out->arg, g->m, f->stack) : 0;
	uint64_t key = (place + kind) * 0x9e3779b97f4a7c15ull + f->kind;

	return (key ^ key >> 29) * 0xff51afd7ed558ccdull + listed(g, f->parent);
}

static bool fork_may_go(const struct summing *g, const struct model_fork *f)
{
	if (f->child)
		return is_sum(g, f->child);
	return g->out->over || f->t_ns + CHILD_NS < g->m->now_ns;
}

static bool fork_went(struct summing *g, struct model_fork *f, size_t at)
{
	struct model *m = g->m;
	uint64_t kind = f->n_summed ? f->sum_kind : fork_may_go(g, f) ? g->out->fork_kind(g->out->arg, f) : 0;
	uint64_t key = kind ? fork_key(g, f, kind) : 0;
	uint32_t into = kind ? index_find(&g->forks, key) : INDEX_NONE;
	size_t capacity = m->n_fork_summed;

	if (!kind)
		return false;
	if (into == INDEX_NONE) {
		if (index_put(&g->forks, key, (uint32_t)at) < 0)
			return false;
		f->n_summed += !f->n_summed;
		f->sum_kind = kind;
		f->child = f->child_pid = f->thread = 0;
		return false;
	}
	void *more = reallocarray(m->fork_summed, capacity + 1, sizeof(*m->fork_summed));
	if (!more)
		return false;
	m->fork_summed = more;
	for (size_t i = 0; f->n_summed && i < m->n_fork_summed; i++)
		if (m->fork_summed[i].into == f->id)
			m->fork_summed[i].into = m->forks[into].id;
	m->fork_summed[m->n_fork_summed++] = (struct model_fork_summed){ f->id, m->forks[into].id };
	m->forks[into].n_summed += f->n_summed ? f->n_summed : 1;
	m->forks[into].pause_ns += f->pause_ns;
	return true;
}

/* Positions of sums stand before all that is moved. */
static void move_forks(struct summing *g)
{
	struct model *m = g->m;
	size_t n = 0, newest = g->out->max / 4, all = m->n_forks;

	for (size_t i = 0; i < all; i++) {
		struct model_fork *f = &m->forks[i];

		if ((i + newest < all || f->n_summed) && fork_went(g, f, n))
			continue;
		f->parent = listed(g, f->parent);
		f->child = listed(g, f->child);
		m->forks[n++] = *f;
	}
	m->n_forks = n;
}

/* ---- modules ---- */

/* Contexts that some stack is still read in. */
static bool contexts_in_use(const struct summing *g, struct index *ret)
{
	const struct model *m = g->m;
	bool whole = true;

	for (size_t i = 0; i < m->n_processes && whole; i++) {
		const struct model_process *p = m->processes[i];
		for (size_t k = 0; k < p->n_sites && g->fate[i] != GOES && whole; k++) {
			uint32_t context = g->out->context(g->out->arg, p->sites[k]->stack);
			whole = index_find(ret, context) != INDEX_NONE || index_put(ret, context, 0) == 0;
		}
		if (g->fate[i] != GOES && !p->n_summed && index_find(ret, p->context) == INDEX_NONE)
			whole = whole && index_put(ret, p->context, 0) == 0;
	}
	for (size_t i = 0; i < m->n_forks && whole; i++) {
		uint32_t context = g->out->context(g->out->arg, m->forks[i].stack);
		whole = index_find(ret, context) != INDEX_NONE || index_put(ret, context, 0) == 0;
	}
	return whole;
}

static void move_modules(struct summing *g)
{
	struct model *m = g->m;
	struct index used = { 0 };
	bool known = contexts_in_use(g, &used);
	size_t n = 0;

	for (size_t i = 0; i < m->n_modules; i++) {
		struct model_module *o = &m->modules[i];

		if (known && is_sum(g, o->process) && o->context != MMS_CONTEXT_COMMON && index_find(&used, o->context) == INDEX_NONE) {
			free(o->path);
			continue;
		}
		o->process = listed(g, o->process);
		m->modules[n++] = *o;
	}
	m->n_modules = n;
	index_done(&used);
}

/* ---- all of it ---- */

static void close_up(struct summing *g, struct index *new)
{
	struct model *m = g->m;
	struct lineage *l = m->lineage;
	size_t n = 0;

	l->n_active = 0; /* those that stay in it were in it: there is room */
	for (size_t i = 0; i < m->n_processes; i++) {
		struct model_process *p = m->processes[i];

		if (g->old[i])
			process_free(g->old[i]);
		if (g->fate[i] == GOES) {
			process_free(p);
			continue;
		}
		m->processes[n] = p;
		if (!p->n_summed && process_is_active(p->state))
			l->active[l->n_active++] = p;
		*index_slot_of(new, p->number) = (struct index_slot){ p->number, (uint32_t)n + 1 };
		new->n++;
		n++;
	}
	m->n_processes = n;
	index_done(&m->lineage->processes);
	m->lineage->processes = *new;
	m->process_sums++;
}

bool model_has_too_many(const struct model *m, size_t max)
{
	return m->n_processes > (m->sum_at > max ? m->sum_at : max);
}

bool model_sum_up(struct model *m, const struct model_outside *out)
{
	size_t max = out->max, n = m->n_processes;
	struct summing g = { .m = m, .out = out };
	struct index new = { 0 };

	if (!model_has_too_many(m, max))
		return false;
	g.fate = calloc(n, 1);
	g.into = calloc(n, sizeof(struct model_process *));
	g.old = calloc(n, sizeof(struct model_process *));
	g.rank = calloc(n, sizeof(*g.rank));
	if (g.fate && g.into && g.old && g.rank && index_like(&new, &m->lineage->processes)) {
		choose(&g);
		for (size_t i = 0; i < n; i++)
			if (g.fate[i] == MAY_GO)
				take(&g, i);
		move_processes(&g);
		move_events(&g);
		move_forks(&g);
		move_modules(&g);
		close_up(&g, &new);
	}
	/* Of many that stay: not asked again at once. */
	m->sum_at = m->n_processes + max / 2;
	index_done(&g.forks);
	free(g.fate);
	free(g.into);
	free(g.old);
	free(g.rank);
	return g.n_gone > 0;
}

void model_summed_forget(struct model *m)
{
	free(m->fork_summed);
	m->fork_summed = NULL;
	m->n_fork_summed = 0;
}
