/*
 * cow.c - copy-on-write of forks as rows: see cow.h.
 */
#include "store.h"

#include <string.h>

#include "cow.h"
#include "spaces.h"

static int begin(struct store *s)
{
	return sqlite3_get_autocommit(s->db) ? store_exec(s, "BEGIN IMMEDIATE") : 0;
}

static void known(struct row *r, uint64_t value)
{
	row_maybe(r, value != STORE_UNKNOWN, value);
}

struct store_cow_fork store_cow_unknown(uint64_t id)
{
	struct store_cow_fork f;

	memset(&f, 0xff, sizeof(f)); /* STORE_UNKNOWN, -1 */
	f.id = id;
	f.method = f.why = NULL;
	f.watched_share = -1;
	return f;
}

int store_cow_fork(struct store *s, const struct store_cow_fork *f)
{
	const uint64_t first[] = {f->areas, f->page_tables, f->arm_parent_ns, f->arm_child_ns, f->page_size,
		f->pages_shared, f->parent_broke, f->child_broke, f->both_broke, f->still_shared, f->new_parent,
		f->new_child, f->copies, f->copies_low, f->copies_high, f->error_pages, f->parent_faults,
		f->child_faults, f->bytes_changed, f->identical_pages, f->counter_pages, f->pointer_pages,
		f->bulk_pages, f->watched_ns};
	int error = begin(s);
	struct row r = row_of(error ? NULL : store_statement(s, ST_COW_FORK));

	if (error)
		return error;
	row_text(&r, f->method);
	row_maybe(&r, f->exact >= 0, (uint64_t)f->exact);
	row_text(&r, f->why);
	row_real(&r, f->watched_share >= 0, f->watched_share);
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		known(&r, first[i]);
	row_int(&r, f->id);
	return store_run(s, &r);
}

int store_cow_vma(struct store *s, const struct store_cow_vma *v, const struct stack_source *stacks)
{
	char text[5];
	int error = begin(s);

	if (!error)
		error = store_write_stack(s, v->stack, stacks);
	struct row r = row_of(error ? NULL : store_statement(s, ST_COW_VMA));
	if (error)
		return error;
	store_perms(text, v->prot, false);
	row_int(&r, v->fork);
	row_int(&r, v->start);
	row_int(&r, v->end);
	row_text(&r, text);
	row_text(&r, store_origin_word(v->origin));
	row_text(&r, v->name[0] ? v->name : NULL);
	row_int(&r, v->stack);
	row_int(&r, v->shared);
	known(&r, v->parent_broke);
	known(&r, v->child_broke);
	known(&r, v->both_broke);
	row_int(&r, v->huge);
	if (v->pages)
		row_blob(&r, v->pages, v->n_pages);
	else
		row_null(&r);
	known(&r, v->bytes_changed);
	known(&r, v->identical_pages);
	known(&r, v->counter_pages);
	return store_run(s, &r);
}

int store_cow_sample(struct store *s, const struct store_cow_sample *c)
{
	const uint64_t value[] = {c->parent_broke, c->child_broke, c->both_broke, c->new_parent, c->new_child};
	int error = begin(s);
	struct row r = row_of(error ? NULL : store_statement(s, ST_COW_SAMPLE));

	if (error)
		return error;
	row_int(&r, c->fork);
	row_int(&r, c->t_ns);
	for (size_t i = 0; i < sizeof(value) / sizeof(value[0]); i++)
		known(&r, value[i]);
	return store_run(s, &r);
}

int store_cow_interval(struct store *s, uint64_t fork, const char *name, uint64_t low, uint64_t high)
{
	int error = begin(s);
	struct row r = row_of(error ? NULL : store_statement(s, ST_COW_INTERVAL));

	if (error)
		return error;
	row_int(&r, fork);
	row_text(&r, name);
	row_int(&r, low);
	row_int(&r, high);
	return store_run(s, &r);
}

int store_cow_part_interval(struct store *s, uint64_t fork, const struct store_cow_part *p)
{
	int error = begin(s);
	struct row r = row_of(error ? NULL : store_statement(s, ST_COW_PART_INTERVAL));

	if (error)
		return error;
	row_int(&r, fork);
	row_int(&r, p->area);
	row_int(&r, p->stack);
	row_text(&r, p->name);
	row_int(&r, p->low);
	row_int(&r, p->high);
	return store_run(s, &r);
}
