/*
 * pressure.c - limits, debts and victims of each tick as rows, bounded; and
 * allocations that failed.
 *
 * As ticks.c: rows wait in memory for the next flush, and when a table is
 * full every second row of every series is removed and from then on every
 * second tick is taken.  The last tick of a process that died is given again
 * by the collector, so a thinned table still holds its end.
 */
#include "store.h"

#include <stdlib.h>

/* One table: how many rows it has, and which ticks are taken. */
struct gate {
	uint64_t last_ns, number, stride, written;
};

struct pressure_rows {
	struct store_limit *limits;
	struct store_debt *debts;
	struct store_victim *victims;
	size_t n_limits, limits_room, n_debts, debts_room, n_victims, victims_room;
	struct gate limit_gate, debt_gate, victim_gate;
};

static struct pressure_rows *rows_of(struct store *s)
{
	if (!s->pressure) {
		s->pressure = calloc(1, sizeof(*s->pressure));
		if (s->pressure)
			s->pressure->limit_gate.stride = s->pressure->debt_gate.stride =
				s->pressure->victim_gate.stride = 1;
	}
	return s->pressure;
}

static bool passes(struct gate *g, uint64_t t_ns)
{
	if (t_ns != g->last_ns) {
		g->last_ns = t_ns;
		g->number++;
	}
	return g->number % g->stride == 0;
}

/* Room for one more element; 0 or -errno. */
static int reserve(struct store *s, void *array, size_t *room, size_t n, size_t size)
{
	void **at = array;

	if (n < *room)
		return 0;
	void *grown = realloc(*at, (*room * 2 + 64) * size);

	if (!grown)
		return store_no_memory(s);
	*at = grown;
	*room = *room * 2 + 64;
	return 0;
}

int store_limit(struct store *s, const struct store_limit *limit)
{
	struct pressure_rows *p = rows_of(s);
	int error = p ? 0 : store_no_memory(s);

	if (error || !passes(&p->limit_gate, limit->t_ns))
		return error;
	error = reserve(s, &p->limits, &p->limits_room, p->n_limits, sizeof(*p->limits));
	if (!error)
		p->limits[p->n_limits++] = *limit;
	return error;
}

int store_debt(struct store *s, const struct store_debt *debt)
{
	struct pressure_rows *p = rows_of(s);
	int error = p ? 0 : store_no_memory(s);

	if (error || !passes(&p->debt_gate, debt->t_ns))
		return error;
	error = reserve(s, &p->debts, &p->debts_room, p->n_debts, sizeof(*p->debts));
	if (!error)
		p->debts[p->n_debts++] = *debt;
	return error;
}

int store_victim(struct store *s, const struct store_victim *victim)
{
	struct pressure_rows *p = rows_of(s);
	int error = p ? 0 : store_no_memory(s);

	if (error || !passes(&p->victim_gate, victim->t_ns))
		return error;
	error = reserve(s, &p->victims, &p->victims_room, p->n_victims, sizeof(*p->victims));
	if (!error)
		p->victims[p->n_victims++] = *victim;
	return error;
}

static void row_known(struct row *r, uint64_t v)
{
	row_maybe(r, v != UINT64_MAX, v);
}

static int write_limit(struct store *s, const struct store_limit *l)
{
	struct row r = row_of(store_statement(s, ST_LIMIT));

	row_int(&r, l->place);
	row_int(&r, l->process);
	row_text(&r, l->kind);
	row_text(&r, l->path);
	row_int(&r, l->t_ns);
	row_int(&r, l->limit > INT64_MAX ? INT64_MAX : l->limit);
	row_int(&r, l->usage);
	row_int(&r, l->reclaimable);
	row_known(&r, l->residue);
	row_known(&r, l->swap);
	row_known(&r, l->failures);
	row_known(&r, l->oom_kills);
	row_known(&r, l->stall_us);
	row_known(&r, l->full_stall_us);
	row_known(&r, l->peak);
	return store_run(s, &r);
}

static int write_debt(struct store *s, const struct store_debt *d)
{
	struct row r = row_of(store_statement(s, ST_DEBT));

	row_int(&r, d->process);
	row_int(&r, d->t_ns);
	row_int(&r, d->place);
	row_known(&r, d->touch);
	row_known(&r, d->stack);
	row_known(&r, d->cow);
	row_known(&r, d->cow_huge);
	row_known(&r, d->page_tables);
	row_known(&r, d->private_bytes);
	row_known(&r, d->threads);
	row_known(&r, d->swap);
	row_known(&r, d->noreserve);
	return store_run(s, &r);
}

static int write_victim(struct store *s, const struct store_victim *v)
{
	struct row r = row_of(store_statement(s, ST_VICTIM));

	row_int(&r, v->place);
	row_text(&r, v->path);
	row_int(&r, v->t_ns);
	row_int(&r, (uint64_t)v->rank);
	row_int(&r, (uint64_t)v->pid);
	row_text(&r, v->name);
	row_int(&r, v->badness);
	row_int(&r, (uint64_t)(int64_t)v->adjustment);
	return store_run(s, &r);
}

#define THIN(table, key) \
	"DELETE FROM " table " WHERE (" key ", t_ns) IN (SELECT " key ", t_ns FROM" \
	" (SELECT " key ", t_ns, dense_rank() OVER (PARTITION BY " key " ORDER BY t_ns) AS n FROM " table ")" \
	" WHERE n % 2 = 0)"

static int thin_when_full(struct store *s, struct gate *g, const char *sql, const char *count)
{
	if (g->written <= STORE_PRESSURE_MAX)
		return 0;
	int error = store_exec(s, sql);

	if (!error) {
		g->stride *= 2;
		g->written = (uint64_t)db_int(s->db, count, 0);
	}
	return error;
}

int store_write_pressure(struct store *s)
{
	struct pressure_rows *p = s->pressure;
	int error = 0;

	if (!p)
		return 0;
	for (size_t i = 0; !error && i < p->n_limits; i++)
		error = write_limit(s, &p->limits[i]);
	for (size_t i = 0; !error && i < p->n_debts; i++)
		error = write_debt(s, &p->debts[i]);
	for (size_t i = 0; !error && i < p->n_victims; i++)
		error = write_victim(s, &p->victims[i]);
	if (error)
		return error;
	p->limit_gate.written += p->n_limits;
	p->debt_gate.written += p->n_debts;
	p->victim_gate.written += p->n_victims;
	p->n_limits = p->n_debts = p->n_victims = 0;
	error = thin_when_full(s, &p->limit_gate, THIN("limit_point", "place, process_id, kind, path"),
		"SELECT count(*) FROM limit_point");
	if (!error)
		error = thin_when_full(s, &p->debt_gate, THIN("debt", "process_id"), "SELECT count(*) FROM debt");
	if (!error)
		error = thin_when_full(s, &p->victim_gate, THIN("victim", "place, path"),
			"SELECT count(*) FROM victim");
	return error;
}

int store_write_failures(struct store *s, const struct model *m, const struct stack_source *stacks)
{
	int error = 0;

	for (; !error && s->n_failures < m->n_failures; s->n_failures++) {
		const struct model_failure *f = &m->failures[s->n_failures];

		error = store_write_stack(s, f->stack, stacks);
		if (error)
			break;
		struct row r = row_of(store_statement(s, ST_FAILURE));

		row_int(&r, s->n_failures + 1);
		row_int(&r, f->process);
		row_int(&r, f->thread);
		row_int(&r, f->t_ns);
		row_int(&r, f->size > INT64_MAX ? INT64_MAX : f->size);
		row_int(&r, (uint64_t)(int64_t)f->error);
		row_int(&r, f->stack);
		row_int(&r, f->huge != 0);
		error = store_run(s, &r);
	}
	return error;
}

void store_pressure_free(struct store *s)
{
	if (!s->pressure)
		return;
	free(s->pressure->limits);
	free(s->pressure->debts);
	free(s->pressure->victims);
	free(s->pressure);
	s->pressure = NULL;
}
