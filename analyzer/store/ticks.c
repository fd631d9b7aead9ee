/*
 * ticks.c - one row per tick and process in `sample`, bounded for ever.
 *
 * Ticks wait in memory for the next flush, so that a tick costs no
 * transaction.  When the table is full every second tick of every process is
 * removed and from then on every second tick is taken: the curve keeps its
 * shape and its length, its resolution halves.  The highest RSS of a process
 * is kept by the kernel (process.hiwater_rss), so thinning loses no peak.
 */
#include "store.h"

#include <stdlib.h>

int store_sample(struct store *s, const struct store_tick *tick)
{
	if (tick->t_ns != s->last_tick_ns) {
		s->last_tick_ns = tick->t_ns;
		s->tick_number++;
	}
	if (s->tick_number % s->tick_stride)
		return 0;
	if (s->n_ticks == s->ticks_room) {
		size_t room = s->ticks_room * 2 + 64;
		struct store_tick *grown = realloc(s->ticks, room * sizeof(*grown));

		if (!grown)
			return store_no_memory(s);
		s->ticks = grown;
		s->ticks_room = room;
	}
	s->ticks[s->n_ticks++] = *tick;
	return 0;
}

static int write_tick(struct store *s, const struct store_tick *t)
{
	struct row r = row_of(store_statement(s, ST_TICK));
	const int64_t read[] = {t->rss, t->vm_size, t->shared, t->data, t->minflt, t->majflt};

	row_int(&r, t->process);
	row_int(&r, t->t_ns);
	for (size_t i = 0; i < sizeof(read) / sizeof(read[0]); i++)
		row_maybe(&r, read[i] >= 0, (uint64_t)read[i]);
	row_int(&r, t->live_bytes);
	row_int(&r, t->live_blocks);
	return store_run(s, &r);
}

static int thin_out(struct store *s)
{
	int error = store_exec(s,
		"DELETE FROM sample WHERE (process_id, t_ns) IN (SELECT process_id, t_ns FROM"
		" (SELECT process_id, t_ns, row_number() OVER (PARTITION BY process_id ORDER BY t_ns) AS n"
		"  FROM sample) WHERE n % 2 = 0)");

	if (!error) {
		s->tick_stride *= 2;
		s->ticks_written = (uint64_t)db_int(s->db, "SELECT count(*) FROM sample", 0);
	}
	return error;
}

int store_write_ticks(struct store *s)
{
	int error = 0;

	for (size_t i = 0; !error && i < s->n_ticks; i++)
		error = write_tick(s, &s->ticks[i]);
	if (error)
		return error;
	s->ticks_written += s->n_ticks;
	s->n_ticks = 0;
	return s->ticks_written > STORE_TICKS_MAX ? thin_out(s) : 0;
}
