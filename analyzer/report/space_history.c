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
