/*
 * cow_forget.c - which forks may become part of a sum (model_sum_up), and what
 * is forgotten then.  Called by sums.c, between two rounds.
 */
#include "collect/cow_private.h"

#include <stdlib.h>

static uint64_t broken(const struct cow_fork *f)
{
	uint64_t n = 0;

	for (int side = 0; side < SIDES; side++) {
		uint64_t pages = side == PARENT ? f->row.parent_broke : f->row.child_broke;
		n += pages == STORE_UNKNOWN ? 0 : pages;
	}
	return n;
}

/* Its row is written and will not change. */
static bool is_done(const struct cow_fork *f)
{
	bool armed = f->side[PARENT].armed || f->side[CHILD].armed;

	return f->over && !f->changed && f->id && (f->released || !armed);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

uint64_t cows_worth(const struct cows *c, size_t n)
{
	uint64_t *pages = calloc(c->n + 1, sizeof(*pages)), worth;
	size_t n_pages = 0;

	if (!pages)
		return 0; /* none is given up now */
	for (size_t i = 0; i < c->n; i++)
		if (is_done(c->forks[i]) && broken(c->forks[i]))
			pages[n_pages++] = broken(c->forks[i]);
	qsort(pages, n_pages, sizeof(*pages), by_size);
	worth = n_pages > n ? pages[n] + 1 : 1;
	free(pages);
	return worth;
}

uint64_t cows_kind(const struct cows *c, uint64_t fork, uint64_t at_least)
{
	const struct cow_fork *f = NULL;
	uint64_t word = 2;

	for (size_t i = c->n; i-- > 0 && !f;)
		if (c->forks[i]->id == fork)
			f = c->forks[i];
	if (!f)
		return 1; /* shared no memory */
	if (!is_done(f) || broken(f) >= at_least)
		return 0;
	for (const char *m = f->row.method; m && *m; m++)
		word = word * 31 + (unsigned char)*m;
	return word;
}

/* No memory: it is told without its process then. */
static void need(struct index *ret, uint64_t number)
{
	if (number && index_find(ret, number) == INDEX_NONE)
		index_put(ret, number, 0);
}

void cows_needed(const struct cows *c, uint64_t at_least, struct index *ret)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct cow_fork *f = c->forks[i];

		if (is_done(f) && broken(f) < at_least)
			continue;
		need(ret, f->side[PARENT].process);
		if (!is_done(f))
			need(ret, f->side[CHILD].process);
	}
}

static void forget_forks(struct cows *c)
{
	size_t n = 0, open = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct cow_fork *f = c->forks[i];
		const struct model_fork *m = is_done(f) ? model_fork_find(c->model, f->id) : NULL;

		if (is_done(f) && (!m || m->n_summed)) {
			for (int side = 0; side < SIDES; side++) {
				struct cow_process *p = cow_process_find(c, f->side[side].process);
				if (p && p->newest == f)
					p->newest = NULL;
			}
			cow_fork_release(f);
			free(f);
			continue;
		}
		open += i < c->first_open;
		c->forks[n++] = f;
	}
	c->n = n;
	c->first_open = open;
}

static bool has_row(void *arg, uint64_t number, void *item)
{
	const struct cows *c = arg;
	const struct model_process *m = model_process_find(c->model, number);

	if (m && !m->n_summed)
		return true;
	cow_process_done(item);
	return false;
}

void cows_forget(struct cows *c)
{
	forget_forks(c);
	numbered_sift(&c->processes, has_row, c);
}
