/*
 * limit_rows.c - see limit_rows.h.  Called by pressure.c.
 */
#include "collect/limit_rows.h"

#include "collect/hugetlb.h"
#include "store/writer.h"

static bool is_news(const struct limit_point *l, size_t i, const struct limit_points *before)
{
	const struct limit_point *b = &before->at[i];

	return l->kind < LIMIT_STACK || i >= before->n || b->kind != l->kind || b->usage != l->usage ||
		b->limit != l->limit;
}

void limit_rows(struct store *store, unsigned place, uint64_t process, uint64_t t_ns,
	const struct limit_points *points, const struct limit_points *before)
{
	for (size_t i = 0; store && i < points->n; i++) {
		const struct limit_point *l = &points->at[i];

		if (!is_news(l, i, before))
			continue;
		struct store_limit row = {place + 1, process, t_ns, limit_kind_word(l->kind), l->path, l->limit,
			l->usage, l->reclaimable, l->residue, l->swap, l->failures, l->oom_kills, l->stall_us,
			l->full_stall_us, l->peak};

		store_limit(store, &row);
	}
}

void limit_rows_refused(struct store *store, unsigned place, const struct model_failure *f)
{
	struct limit_points points = { .n = 0 }, none = { .n = 0 };

	if (f->own.mm.total)
		limit_put_own(&f->own, &points);
	if (f->huge)
		hugetlb_read("", f->huge, &points);
	limit_rows(store, place, f->process, f->t_ns, &points, &none);
}

uint64_t limit_debt(uint64_t promised, uint64_t used)
{
	return promised > used ? promised - used : 0;
}

void limit_rows_owed(struct store *store, unsigned place, const struct model_failure *f, uint64_t t_ns)
{
	const struct mms_mm *mm = &f->own.mm;
	struct store_debt row = {.process = f->process, .t_ns = t_ns, .place = place + 1,
		.touch = limit_debt(mm->data, mm->rss_anon + mm->swap), .stack = LIMIT_NONE, .cow = LIMIT_NONE,
		.cow_huge = LIMIT_NONE, .page_tables = mm->page_table, .private_bytes = mm->data + mm->stack,
		.threads = mm->users, .swap = mm->swap, .noreserve = LIMIT_NONE};

	if (store)
		store_debt(store, &row);
}
