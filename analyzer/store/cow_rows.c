/*
 * cow_rows.c - copy-on-write of a fork, by site: rows as the collector gives
 * them.  Called within store_flush's transaction or outside of one.
 */
#include "store.h"

#include "cow.h"
#include "model/cow_sites.h"

/* Small sites of a fork beyond this many are left out: they hold a page or
 * two each, and a server may fork for every request. */
#define SITES_OF_A_FORK 2000u

static int write_ranges(struct store *s, int64_t fork_id, const struct cow_site_row *x, const struct cow_totals *totals)
{
	static const char *const names[COW_SITE_RANGES] = {"pages_shared", "parent_broke", "child_broke", "both_broke"};
	const bool known[COW_SITE_RANGES] = {true, totals->parent_known, totals->child_known,
		totals->parent_known && totals->child_known};
	int error = 0;

	for (int i = 0; !error && i < COW_SITE_RANGES; i++)
		if (known[i])
			error = store_cow_part_interval(s, (uint64_t)fork_id, &(struct store_cow_part){.stack = x->stack,
				.name = names[i], .low = x->range[i].low, .high = x->range[i].high});
	return error;
}

int store_write_cow_sites(struct store *s, int64_t fork_id, const struct cow_site_row *rows, size_t n,
	const struct cow_totals *totals, const struct stack_source *stacks)
{
	int error = 0;

	for (size_t i = 0; !error && i < n && i < SITES_OF_A_FORK; i++) {
		const struct cow_site_row *x = &rows[i];

		error = store_write_stack(s, x->stack, stacks);
		if (error)
			break;
		struct row r = row_of(store_statement(s, ST_COW_SITE));
		row_int(&r, (uint64_t)fork_id);
		row_int(&r, x->stack);
		row_int(&r, x->pages_shared);
		row_maybe(&r, totals->parent_known, x->parent_broke);
		row_maybe(&r, totals->child_known, x->child_broke);
		row_maybe(&r, totals->parent_known && totals->child_known, x->both_broke);
		row_int(&r, x->blocks);
		row_int(&r, x->bytes);
		row_maybe(&r, totals->compared, x->false_blocks);
		row_maybe(&r, totals->compared, x->bytes_changed);
		row_maybe(&r, totals->compared, x->identical_pages);
		row_maybe(&r, totals->compared, x->counter_pages);
		error = store_run(s, &r);
		if (!error && totals->estimated)
			error = write_ranges(s, fork_id, x, totals);
	}
	return error;
}
