/*
 * space_history.c - what a process had asked for at each look, and how much of
 * it was real then: see space.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "report/alloc.h"
#include "report/render.h"
#include "report/space.h"
#include "report/text.h"
#include "report_sql.h"

#define LINES 12u

enum { ASKED, WRITABLE, RESIDENT, SWAPPED, N_SIZES };

/* Keys of JSON, in the order of the columns. */
static const char *const names[N_SIZES] = {"total_vm", "data_vm", "rss", "swap"};

struct moment {
	int64_t t_ns;
	int64_t size[N_SIZES]; /* -1: not known */
};

static struct moment *load(struct answer *a, const struct answer_process *p, int64_t at_ns, size_t *ret_n)
{
	struct moment *list = NULL;
	size_t n = 0, capacity = 0;
	struct query *q = answer_query(a, sql_looks_history);

	query_bind(q, 1, p->id);
	if (at_ns < 0)
		query_bind_null(q, 2);
	else
		query_bind(q, 2, at_ns);
	while (answer_row(a, q)) {
		XGROW(list, n, capacity);
		struct moment *x = &list[n++];
		x->t_ns = query_int(q, 0);
		for (int i = 0; i < N_SIZES; i++)
			x->size[i] = query_null(q, i + 2) ? -1 : query_int(q, i + 2);
	}
	query_close(q);
	*ret_n = n;
	return list;
}

void space_history_json(struct json *j, struct answer *a, const struct answer_process *p, int64_t at_ns)
{
	size_t n;
	struct moment *list = load(a, p, at_ns, &n);

	json_array(j, "history");
	for (size_t i = 0; i < n; i++) {
		json_object(j, NULL);
		json_i64(j, "t_ns", list[i].t_ns);
		for (int k = 0; k < N_SIZES; k++)
			if (list[i].size[k] < 0)
				json_null(j, names[k]);
			else
				json_i64(j, names[k], list[i].size[k]);
		json_end(j);
	}
	json_end(j);
	free(list);
}

static void print_moment(const struct moment *x)
{
	char text[TEXT_NUMBER];

	printf("%12s", text_duration(text, (uint64_t)x->t_ns));
	for (int k = 0; k < N_SIZES; k++)
		printf("  %12s", x->size[k] < 0 ? "?" : text_size(text, (uint64_t)x->size[k]));
	putchar('\n');
}

void space_history_print(struct answer *a, const struct answer_process *p, int64_t at_ns)
{
	size_t n;
	struct moment *list = load(a, p, at_ns, &n);
	size_t lines = n < LINES ? n : LINES;

	if (n >= 2) {
		render_heading("What was asked for, and when it became real");
		printf("%s%12s  %12s  %12s  %12s  %12s%s\n", render_style(STYLE_DIM), "after", "all areas", "writable",
			"in memory", "in swap", render_style(STYLE_PLAIN));
		for (size_t i = 0; i < lines; i++) /* evenly, the first and the last among them */
			print_moment(&list[i * (n - 1) / (lines - 1)]);
		if (lines < n)
			printf("  %zu of %zu looks; --format json has all\n", lines, n);
	}
	free(list);
}

/* ---- area by area ---- */

#define AREAS 8u

const struct space_touch *space_touches(const struct space *s, int64_t area, size_t *ret_n)
{
	size_t low = 0, high = s->n_touches;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (s->touch[middle].area < area)
			low = middle + 1;
		else
			high = middle;
	}
	for (high = low; high < s->n_touches && s->touch[high].area == area; high++)
		;
	*ret_n = high - low;
	return s->touch + low;
}

/* Pages of the area that came while it was looked at. */
static int64_t became_real(const struct space *s, const struct space_area *x)
{
	size_t n;
	const struct space_touch *t = space_touches(s, x->id, &n);

	return n < 2 ? 0 : t[n - 1].touched - t[0].touched;
}

static void print_area(const struct space *s, const struct space_area *x)
{
	char size[TEXT_NUMBER], used[TEXT_NUMBER], when[TEXT_NUMBER];
	size_t n;
	const struct space_touch *t = space_touches(s, x->id, &n);

	printf("%12llx %10s  ", (unsigned long long)x->start, text_size(size, x->end - x->start));
	for (size_t i = 0; i < n; i += n - 1) /* the first and the last */
		printf("%10s after %-9s ", text_size(used, (uint64_t)t[i].touched * SPACE_PAGE),
			text_duration(when, (uint64_t)t[i].t_ns));
	putchar('\n');
}

void space_touches_print(const struct space *s)
{
	const struct space_area *most[AREAS];
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) { /* the AREAS largest, by insertion */
		const struct space_area *x = &s->area[i];
		size_t at = n;
		if (became_real(s, x) == 0)
			continue;
		while (at && became_real(s, most[at - 1]) < became_real(s, x))
			at--;
		if (at == AREAS)
			continue;
		n += n < AREAS;
		for (size_t k = n - 1; k > at; k--)
			most[k] = most[k - 1];
		most[at] = x;
	}
	if (!n)
		return;
	render_heading("When areas became real");
	printf("%s%12s %10s  %s%s\n", render_style(STYLE_DIM), "start", "asked for", "used of it, and when",
		render_style(STYLE_PLAIN));
	for (size_t i = 0; i < n; i++)
		print_area(s, most[i]);
}
