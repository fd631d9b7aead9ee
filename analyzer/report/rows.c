/*
 * rows.c - see rows.h.  One pass over heap_site, a hash table to merge equal
 * stacks, one sort.  Used by leaks, sites and report.
 */
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/rows.h"
#include "report_sql.h"

/* Open addressing; slot = row index + 1, 0 is empty. */
struct merge_table {
	size_t *slot;
	uint64_t *hash; /* by row */
	size_t n_slots, hash_capacity;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

/* By words: names of C++ are long, and there are many. */
static uint64_t mix_text(uint64_t h, const char *s)
{
	size_t n = s ? strlen(s) : 0, left = n;
	uint64_t word;
	for (; left >= sizeof(word); left -= sizeof(word), s += sizeof(word)) {
		memcpy(&word, s, sizeof(word));
		h = mix(h, word);
	}
	word = 0;
	if (left)
		memcpy(&word, s, left);
	return mix(mix(h, word), n);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* What a reader sees of a frame; the address only where there is no name. */
static uint64_t hash_frame(uint64_t h, const struct capture_frame *f)
{
	h = mix_text(h, f->function);
	h = mix_text(h, f->file);
	h = mix(h, (uint64_t)f->line);
	return f->function ? h : mix(h, f->module ? f->offset : f->address);
}

static bool same_frame(const struct capture_frame *a, const struct capture_frame *b)
{
	if (!same_text(a->function, b->function) || !same_text(a->file, b->file) ||
		a->line != b->line || !same_text(a->module, b->module) || a->inlined != b->inlined)
		return false;
	return a->function || (a->module ? a->offset == b->offset : a->address == b->address);
}

static bool same_stack(const struct capture_stack *a, const struct capture_stack *b)
{
	if (a == b)
		return true;
	if (a->n != b->n || a->truncated != b->truncated)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!same_frame(&a->frames[i], &b->frames[i]))
			return false;
	return true;
}

static uint64_t hash_row(const struct row *r)
{
	uint64_t h = mix((uint64_t)r->process->id, r->stack->truncated);
	for (size_t i = 0; i < r->stack->n; i++)
		h = hash_frame(h, &r->stack->frames[i]);
	return h;
}

static bool same_row(const struct row *a, const struct row *b)
{
	return a->process == b->process && strcmp(a->id, b->id) == 0 &&
		strcmp(a->own, b->own) == 0 && same_stack(a->stack, b->stack);
}

static void table_grow(struct merge_table *t, size_t n_rows)
{
	free(t->slot);
	t->n_slots = t->n_slots ? 2 * t->n_slots : 1024;
	t->slot = xcalloc(t->n_slots, sizeof(*t->slot));
	for (size_t i = 0; i < n_rows; i++) {
		size_t at = t->hash[i] & (t->n_slots - 1);
		while (t->slot[at])
			at = (at + 1) & (t->n_slots - 1);
		t->slot[at] = i + 1;
	}
}

static struct figures figures_of(const struct row *r)
{
	return (struct figures){{r->alloc_bytes, r->live_bytes, r->peak_bytes, r->alloc_blocks, r->live_blocks}};
}

static void add_counts(struct row *to, const struct row *r)
{
	const struct figures mine = figures_of(to), theirs = figures_of(r);
	sampled_add(&to->sampled, &mine, &r->sampled, &theirs);
	to->alloc_blocks += r->alloc_blocks;
	to->alloc_bytes += r->alloc_bytes;
	to->free_blocks += r->free_blocks;
	to->live_blocks += r->live_blocks;
	to->live_bytes += r->live_bytes;
	to->peak_blocks += r->peak_blocks;
	to->peak_bytes += r->peak_bytes;
	to->temporary_blocks += r->temporary_blocks;
	to->cross_frees += r->cross_frees;
	to->realloc_in += r->realloc_in;
	to->life_ns_sum += r->life_ns_sum;
	to->min_size = r->min_size < to->min_size ? r->min_size : to->min_size;
	to->max_size = r->max_size > to->max_size ? r->max_size : to->max_size;
	to->first_ns = r->first_ns < to->first_ns ? r->first_ns : to->first_ns;
	to->last_ns = r->last_ns > to->last_ns ? r->last_ns : to->last_ns;
	to->n_stacks++;
}

/* Returns the row's number. */
static size_t add_row(struct rows *rows, struct merge_table *t, const struct row *r)
{
	if (2 * (rows->n + 1) > t->n_slots)
		table_grow(t, rows->n);
	uint64_t hash = hash_row(r);
	size_t at = hash & (t->n_slots - 1);
	for (; t->slot[at]; at = (at + 1) & (t->n_slots - 1)) {
		size_t i = t->slot[at] - 1;
		if (t->hash[i] == hash && same_row(&rows->row[i], r)) {
			add_counts(&rows->row[i], r);
			return i;
		}
	}
	t->slot[at] = rows->n + 1;
	XGROW(t->hash, rows->n, t->hash_capacity);
	XGROW(rows->row, rows->n, rows->capacity);
	t->hash[rows->n] = hash;
	rows->row[rows->n] = *r;
	rows->row[rows->n].number = rows->n;
	return rows->n++;
}

static void copy_word(char *to, size_t size, const char *from)
{
	size_t n = from ? strnlen(from, size - 1) : 0;
	memcpy(to, from ? from : "", n);
	to[n] = 0;
}

static void read_row(struct row *r, const struct answer *a, struct query *q)
{
	int c = 2;
	copy_word(r->id, sizeof(r->id), query_text(q, c++));
	copy_word(r->own, sizeof(r->own), query_text(q, c++));
	r->alloc_blocks = (uint64_t)query_int(q, c++);
	r->alloc_bytes = (uint64_t)query_int(q, c++);
	r->free_blocks = (uint64_t)query_int(q, c++);
	r->live_blocks = (uint64_t)query_int(q, c++);
	r->live_bytes = (uint64_t)query_int(q, c++);
	r->peak_blocks = (uint64_t)query_int(q, c++);
	r->peak_bytes = (uint64_t)query_int(q, c++);
	r->temporary_blocks = (uint64_t)query_int(q, c++);
	r->cross_frees = (uint64_t)query_int(q, c++);
	r->realloc_in = (uint64_t)query_int(q, c++);
	r->min_size = (uint64_t)query_int(q, c++);
	r->max_size = (uint64_t)query_int(q, c++);
	r->first_ns = (uint64_t)query_int(q, c++);
	r->last_ns = (uint64_t)query_int(q, c++);
	r->life_ns_sum = (uint64_t)query_int(q, c++);
	const struct figures f = figures_of(r);
	r->sampled = sampled_whole(a, &f);
	sampled_read(&r->sampled, a, q, c);
	r->n_stacks = 1;
}

/* Of sampled blocks nobody knows how many they stand for here. */
static void read_uncertain(struct rows *rows, struct answer *a)
{
	if (!a->n_pauses || !a->exact)
		return;
	struct query *q = answer_query(a, sql_uncertain);
	while (answer_row(a, q)) {
		ptrdiff_t number = rows_number(rows, query_int(q, 0), query_int(q, 1));
		if (number < 0)
			continue;
		rows->row[number].uncertain_blocks += (uint64_t)query_int(q, 2);
		rows->row[number].uncertain_bytes += (uint64_t)query_int(q, 3);
	}
	query_close(q);
}

void rows_load(struct rows *rows, struct answer *a, bool live_only, int64_t pid)
{
	struct merge_table table = {NULL};
	memset(rows, 0, sizeof(*rows));
	struct query *q = answer_query(a, sql_heap_sites);
	while (answer_row(a, q)) {
		struct row r = {.process = answer_find(a, query_int(q, 0))};
		int64_t stack_id = query_int(q, 1);
		if (!r.process || (pid && r.process->pid != pid))
			continue;
		read_row(&r, a, q);
		if (live_only && r.live_blocks == 0)
			continue;
		r.stack = answer_stack(a, stack_id);
		XGROW(rows->stack, rows->n_stacks, rows->stack_capacity);
		rows->stack[rows->n_stacks++] = (struct row_stack){r.process->id, stack_id, add_row(rows, &table, &r)};
	}
	query_close(q);
	read_uncertain(rows, a);
	free(table.slot);
	free(table.hash);
}

static int compare_stacks(const void *left, const void *right)
{
	const struct row_stack *a = left, *b = right;
	if (a->process_id != b->process_id)
		return a->process_id < b->process_id ? -1 : 1;
	return a->stack_id < b->stack_id ? -1 : a->stack_id > b->stack_id;
}

ptrdiff_t rows_number(const struct rows *rows, int64_t process_id, int64_t stack_id)
{
	const struct row_stack key = {process_id, stack_id, 0}, *found = rows->n_stacks ?
		bsearch(&key, rows->stack, rows->n_stacks, sizeof(key), compare_stacks) : NULL;
	return found ? (ptrdiff_t)found->number : -1;
}

bool row_is_apart(const struct row *row)
{
	return strcmp(row->own, "target") != 0;
}

uint64_t row_value(const struct row *row, enum row_order order)
{
	switch (order) {
	case BY_PEAK:
		return row->peak_bytes;
	case BY_LIVE:
		return row->live_bytes;
	case BY_COUNT:
		return row->alloc_blocks;
	case BY_TEMPORARY:
		return row->temporary_blocks;
	default:
		return row->alloc_bytes;
	}
}

/* Keys of one sort; qsort_r hands it through. */
struct sort {
	const struct answer *a;
	enum row_order order;
};

static uint64_t process_value(const struct answer_process *p, enum row_order order)
{
	switch (order) {
	case BY_PEAK:
		return p->peak_bytes;
	case BY_LIVE:
		return p->live_bytes;
	case BY_COUNT:
	case BY_TEMPORARY:
		return p->alloc_blocks;
	default:
		return p->alloc_bytes;
	}
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_process(const struct answer_process *a, const struct answer_process *b,
	const struct sort *sort)
{
	if (a == b)
		return 0;
	if (a == sort->a->main || b == sort->a->main)
		return a == sort->a->main ? -1 : 1;
	int c = compare_u64(process_value(b, sort->order), process_value(a, sort->order));
	return c ? c : compare_u64((uint64_t)a->id, (uint64_t)b->id);
}

static int compare_rows(const void *left, const void *right, void *arg)
{
	const struct row *a = left, *b = right;
	const struct sort *sort = arg;
	int c = compare_process(a->process, b->process, sort);
	if (c == 0)
		c = row_is_apart(a) - row_is_apart(b);
	if (c == 0)
		c = compare_u64(row_value(b, sort->order), row_value(a, sort->order));
	if (c == 0)
		c = compare_u64(b->alloc_blocks, a->alloc_blocks);
	if (c == 0)
		c = strcmp(a->id, b->id);
	return c ? c : compare_u64(a->first_ns, b->first_ns);
}

void rows_sort(struct rows *rows, struct answer *a, enum row_order order)
{
	struct sort sort = {.a = a, .order = order};
	if (rows->n)
		qsort_r(rows->row, rows->n, sizeof(*rows->row), compare_rows, &sort);
}

size_t rows_process_end(const struct rows *rows, size_t at)
{
	size_t end = at;
	while (end < rows->n && rows->row[end].process == rows->row[at].process)
		end++;
	return end;
}

void rows_done(struct rows *rows)
{
	free(rows->row);
	free(rows->stack);
	memset(rows, 0, sizeof(*rows));
}
