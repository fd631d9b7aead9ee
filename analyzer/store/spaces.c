/*
 * spaces.c - address spaces as rows: see spaces.h.
 *
 * Each row stands for itself and replaces an earlier one of the same key, so
 * nothing is remembered here but how many rows there are.
 */
#include "store.h"

#include "spaces.h"

#include <mmscope/record.h>

#include <sys/mman.h>

static const char *const origin_word[MMS_ORIGINS] = {"unknown", "exe", "library", "file", "mapping",
	"heap", "stack", "thread stack", "shared memory", "malloc", "loader", "mmscope", "kernel"};
static const char *const look_word[] = {"", "exit", "exec", "fork", "tick"};

static int begin(struct store *s)
{
	return sqlite3_get_autocommit(s->db) ? store_exec(s, "BEGIN IMMEDIATE") : 0;
}

void store_perms(char text[5], uint32_t prot, int shared)
{
	text[0] = prot & PROT_READ ? 'r' : '-';
	text[1] = prot & PROT_WRITE ? 'w' : '-';
	text[2] = prot & PROT_EXEC ? 'x' : '-';
	text[3] = shared ? 's' : 'p';
	text[4] = 0;
}

const char *store_origin_word(uint32_t origin)
{
	return origin < MMS_ORIGINS ? origin_word[origin] : "unknown";
}

int store_vma(struct store *s, const struct store_vma *v, const struct stack_source *stacks)
{
	int error = begin(s);
	char text[5];

	if (!error)
		error = store_write_stack(s, v->stack, stacks);
	if (error)
		return error;
	struct row r = row_of(store_statement(s, ST_VMA));
	store_perms(text, v->prot, v->shared);
	row_int(&r, v->id);
	row_int(&r, v->process);
	row_int(&r, v->start);
	row_int(&r, v->end);
	row_text(&r, text);
	row_maybe(&r, v->inode != 0, v->pgoff);
	row_text(&r, store_origin_word(v->origin));
	row_text(&r, v->name[0] ? v->name : NULL);
	row_maybe(&r, v->inode != 0, v->inode);
	row_maybe(&r, v->inode != 0, v->device);
	row_int(&r, v->stack);
	row_int(&r, v->born_ns);
	row_maybe(&r, v->died_ns != 0, v->died_ns);
	row_maybe(&r, v->known, v->present);
	row_maybe(&r, v->known == MMS_AREA_KNOWN, v->zero);
	row_maybe(&r, v->known, v->swapped);
	row_maybe(&r, v->known == MMS_AREA_KNOWN, v->huge);
	row_maybe(&r, v->known, v->touched);
	return store_run(s, &r);
}

int store_vma_pages(struct store *s, uint64_t vma, const void *states, size_t n)
{
	int error = begin(s);
	struct row r = row_of(error ? NULL : store_statement(s, ST_VMA_PAGES));

	if (error)
		return error;
	row_int(&r, vma);
	row_blob(&r, states, n);
	return store_run(s, &r);
}

/* Old detail goes first: each time a table is full, every second of its rows
 * that lie between the first and the last of a process. */
static int thin(struct store *s, const char *sql, const char *count, uint64_t *n, uint64_t *at)
{
	int error = store_exec(s, sql);
	uint64_t before = *n;

	if (error)
		return error;
	*n = (uint64_t)db_int(s->db, count, 0);
	s->n_thinned += before > *n ? before - *n : 0;
	/* Of very many processes first and last remain: not asked again at once. */
	*at = *n + *n / 4 > *at ? *n + *n / 4 : *at;
	return store_coverage(s, 0, "looks_thinned", s->n_thinned,
		"Looks at address spaces of long ago are kept less densely: the list was full.");
}

#define THIN(table, kept) \
	"DELETE FROM " table " WHERE (process_id, t_ns) IN (SELECT process_id, t_ns FROM" \
	" (SELECT process_id, t_ns, row_number() OVER w AS n, count(*) OVER (PARTITION BY process_id) AS all_of_it" \
	"  FROM " table " WHERE " kept " WINDOW w AS (PARTITION BY process_id ORDER BY t_ns))" \
	" WHERE n % 2 = 0 AND n < all_of_it)"

int store_page_scan(struct store *s, const struct store_scan *scan)
{
	int error = begin(s);
	struct row r = row_of(error ? NULL : store_statement(s, ST_SCAN));

	if (!error && s->n_scans >= s->scans_at)
		error = thin(s, THIN("page_scan", "look = 'tick'"), "SELECT count(*) FROM page_scan", &s->n_scans, &s->scans_at);
	if (error)
		return error;
	s->n_scans++;
	row_int(&r, scan->process);
	row_int(&r, scan->t_ns);
	row_text(&r, scan->look < sizeof(look_word) / sizeof(look_word[0]) ? look_word[scan->look] : "");
	row_int(&r, scan->n_areas);
	row_int(&r, scan->n_pages);
	row_int(&r, scan->present);
	row_int(&r, scan->zero);
	row_int(&r, scan->swapped);
	row_int(&r, scan->cost_ns);
	row_maybe(&r, scan->error != 0, (uint64_t)scan->error);
	return store_run(s, &r);
}

int store_mm(struct store *s, uint64_t process, uint64_t t_ns, const struct mms_mm *mm, bool tick)
{
	const uint64_t fields[] = {mm->total, mm->peak_total, mm->rss, mm->hiwater_rss, mm->rss_anon,
		mm->rss_file, mm->rss_shmem, mm->data, mm->stack, mm->exec, mm->library, mm->locked,
		mm->pinned, mm->swap, mm->page_table, mm->map_count, mm->users, mm->start_code, mm->end_code,
		mm->start_data, mm->end_data, mm->start_brk, mm->brk, mm->start_stack, mm->arg_start,
		mm->arg_end, mm->env_start, mm->env_end, mm->mmap_base, mm->task_size};
	const size_t n_sizes = 15; /* of these 0 is an answer */
	int error = begin(s);

	if (!error && tick && s->n_mm >= s->mm_at)
		error = thin(s, THIN("mm", "1"), "SELECT count(*) FROM mm", &s->n_mm, &s->mm_at);
	if (error)
		return error;
	struct row r = row_of(store_statement(s, ST_MM));
	row_int(&r, process);
	row_int(&r, t_ns);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		row_maybe(&r, i < n_sizes ? mm->total != 0 : fields[i] != 0, fields[i]);
	s->n_mm++;
	return store_run(s, &r);
}

int store_drift(struct store *s, const struct store_drift *d)
{
	static const char *const word[MMS_HIDDEN_CLASSES] = {"heap growth", "arena", "big block",
		"thread stack", "stack growth", "loader", "mmscope", "other"};
	int error = begin(s);
	struct row r = row_of(error ? NULL : store_statement(s, ST_DRIFT));

	if (error)
		return error;
	row_int(&r, d->process);
	row_int(&r, d->checks);
	row_int(&r, d->differences);
	row_int(&r, d->left);
	row_int(&r, d->missed);
	error = store_run(s, &r);
	for (int i = 0; !error && i < MMS_HIDDEN_CLASSES; i++) {
		if (!d->hidden[i])
			continue;
		r = row_of(store_statement(s, ST_HIDDEN));
		row_int(&r, d->process);
		row_text(&r, word[i]);
		row_int(&r, d->hidden[i]);
		error = store_run(s, &r);
	}
	return error;
}

int store_gone(struct store *s, const struct store_gone *g, const struct stack_source *stacks)
{
	int error = begin(s);

	if (!error)
		error = store_write_stack(s, g->stack, stacks);
	if (error)
		return error;
	struct row r = row_of(store_statement(s, ST_GONE));
	row_int(&r, g->process);
	row_int(&r, g->stack);
	row_int(&r, g->count);
	row_int(&r, g->bytes);
	row_int(&r, g->touched);
	return store_run(s, &r);
}

int store_allocator(struct store *s, uint64_t process, const struct mms_allocator *a)
{
	static const char *const name[] = {"other", "glibc", "jemalloc"};
	int error = begin(s);
	struct row r = row_of(error ? NULL : store_statement(s, ST_ALLOCATOR));

	if (error)
		return error;
	row_int(&r, process);
	row_text(&r, a->kind < 3 ? name[a->kind] : name[0]);
	row_maybe(&r, !a->error, a->in_use);
	row_maybe(&r, !a->error, a->cached);
	row_maybe(&r, !a->error, a->fragmented);
	row_maybe(&r, !a->error, a->mapped);
	row_int(&r, a->cost_ns);
	row_maybe(&r, a->error != 0, (uint64_t)-(int64_t)a->error);
	return store_run(s, &r);
}

int store_touch(struct store *s, const struct store_touch *t)
{
	int error = begin(s);
	struct row r = row_of(error ? NULL : store_statement(s, ST_TOUCH));

	if (error)
		return error;
	row_int(&r, t->vma);
	row_int(&r, t->t_ns);
	row_int(&r, t->pages);
	row_int(&r, t->touched);
	return store_run(s, &r);
}
