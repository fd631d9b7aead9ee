/*
 * mappings.c - see mappings.h.
 *
 * The areas of a process are a sorted array without overlaps; programs have
 * some dozens of them, so inserting by memmove is good enough (65,530 is the
 * kernel's own limit).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/mappings.h"
#include "report_sql.h"

#define PAGE 4096u

struct area {
	uint64_t start, end;
	int64_t stack_id;
	bool inherited; /* the parent mapped it, before the fork */
};

struct space {
	const struct answer_process *process;
	struct area *area;
	size_t n, capacity;
	bool begun; /* its parent's areas have been taken over */
};

struct replay {
	struct answer *a;
	struct space *space; /* one for each of a->processes */
};

/* First area that ends after `address`. */
static size_t lower(const struct space *s, uint64_t address)
{
	size_t low = 0, high = s->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (s->area[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void insert_at(struct space *s, size_t at, struct area area)
{
	XGROW(s->area, s->n, s->capacity);
	memmove(&s->area[at + 1], &s->area[at], (s->n - at) * sizeof(*s->area));
	s->area[at] = area;
	s->n++;
}

static void remove_at(struct space *s, size_t at)
{
	memmove(&s->area[at], &s->area[at + 1], (s->n - at - 1) * sizeof(*s->area));
	s->n--;
}

/* Takes [start, end) away: whole areas, heads, tails, middles. */
static void unmap(struct space *s, uint64_t start, uint64_t end)
{
	size_t i = lower(s, start);
	while (i < s->n && s->area[i].start < end) {
		struct area *x = &s->area[i];
		if (x->start < start && x->end > end) {
			struct area tail = {end, x->end, x->stack_id, x->inherited};
			x->end = start;
			insert_at(s, i + 1, tail);
			return;
		}
		if (x->start < start) {
			x->end = start;
			i++;
		} else if (x->end > end) {
			x->start = end;
			return;
		} else {
			remove_at(s, i);
		}
	}
}

static void map(struct space *s, uint64_t start, uint64_t length, int64_t stack_id)
{
	uint64_t end = start + ((length + PAGE - 1) & ~(uint64_t)(PAGE - 1));
	if (end <= start)
		return;
	unmap(s, start, end);
	struct area area = {start, end, stack_id, false};
	insert_at(s, lower(s, start), area);
}

/* The area that begins at `start`: shmdt and mremap name no more than that. */
static const struct area *area_at(const struct space *s, uint64_t start)
{
	size_t i = lower(s, start);
	return i < s->n && s->area[i].start <= start ? &s->area[i] : NULL;
}

static void remap(struct space *s, uint64_t to, uint64_t length, uint64_t from, uint64_t from_length,
	int64_t stack_id)
{
	const struct area *old = area_at(s, from);
	int64_t owner = old ? old->stack_id : stack_id;
	uint64_t from_end = from + ((from_length + PAGE - 1) & ~(uint64_t)(PAGE - 1));
	/* from_length 0 makes a second mapping of the same shared pages. */
	if (from_length == 0)
		owner = stack_id;
	else
		unmap(s, from, from_end);
	map(s, to, length, owner);
}

static struct space *space_of(struct replay *r, int64_t id)
{
	const struct answer_process *p = answer_find(r->a, id);
	return p ? &r->space[p - r->a->processes] : NULL;
}

/* A forked child takes over what its parent has at this moment. */
static void begin_space(struct replay *r, struct space *s)
{
	if (s->begun)
		return;
	s->begun = true;
	if (strcmp(s->process->begin, "fork") != 0)
		return;
	struct space *parent = space_of(r, s->process->parent_id);
	if (!parent || parent == s || parent->n == 0)
		return;
	s->area = xmalloc(parent->n * sizeof(*s->area));
	memcpy(s->area, parent->area, parent->n * sizeof(*s->area));
	s->n = s->capacity = parent->n;
	for (size_t i = 0; i < s->n; i++)
		s->area[i].inherited = true;
}

static int by_begin(const void *left, const void *right)
{
	const struct space *a = *(struct space *const *)left, *b = *(struct space *const *)right;
	if (a->process->begin_ns != b->process->begin_ns)
		return a->process->begin_ns < b->process->begin_ns ? -1 : 1;
	return a->process->id < b->process->id ? -1 : a->process->id > b->process->id;
}

static void apply(struct space *s, struct query *q)
{
	const char *op = query_text(q, 3);
	uint64_t address = (uint64_t)query_int(q, 4), length = (uint64_t)query_int(q, 5);
	int64_t stack_id = query_int(q, 8);
	if (!op)
		return;
	if (strcmp(op, "mmap") == 0 || strcmp(op, "shmat") == 0) {
		map(s, address, length, stack_id);
	} else if (strcmp(op, "munmap") == 0) {
		unmap(s, address, address + ((length + PAGE - 1) & ~(uint64_t)(PAGE - 1)));
	} else if (strcmp(op, "mremap") == 0) {
		remap(s, address, length, (uint64_t)query_int(q, 6), (uint64_t)query_int(q, 7), stack_id);
	} else {
		const struct area *x = area_at(s, address);
		if (x && x->start == address)
			unmap(s, x->start, x->end);
	}
}

static void replay_events(struct replay *r)
{
	struct answer *a = r->a;
	struct space **order = xcalloc(a->n_processes, sizeof(*order));
	for (size_t i = 0; i < a->n_processes; i++)
		order[i] = &r->space[i];
	qsort(order, a->n_processes, sizeof(*order), by_begin);
	size_t begun = 0;
	struct query *q = answer_query(a, sql_vm_events);
	while (answer_row(a, q)) {
		int64_t now = query_int(q, 2);
		while (begun < a->n_processes && order[begun]->process->begin_ns <= now)
			begin_space(r, order[begun++]);
		struct space *s = space_of(r, query_int(q, 1));
		if (!s)
			continue;
		begin_space(r, s); /* its first event may precede its begin by a hair */
		apply(s, q);
	}
	query_close(q);
	free(order);
}

static void add_area(struct mappings *m, struct answer *a, const struct space *s, const struct area *x)
{
	size_t i = m->n;
	while (i > 0 && m->mapping[i - 1].process == s->process && m->mapping[i - 1].stack_id != x->stack_id)
		i--;
	if (i == 0 || m->mapping[i - 1].process != s->process) {
		XGROW(m->mapping, m->n, m->capacity);
		i = ++m->n;
		m->mapping[i - 1] = (struct mapping){.process = s->process, .stack_id = x->stack_id,
			.stack = answer_stack(a, x->stack_id)};
	}
	m->mapping[i - 1].areas++;
	m->mapping[i - 1].bytes += x->end - x->start;
	m->areas++;
	m->bytes += x->end - x->start;
}

static int by_bytes(const void *left, const void *right)
{
	const struct mapping *a = left, *b = right;
	if (a->process != b->process)
		return a->process->id < b->process->id ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return a->stack_id < b->stack_id ? -1 : a->stack_id > b->stack_id;
}

static void find_ids(struct mappings *m, struct answer *a)
{
	struct query *q = answer_query(a, sql_stack_sites);
	for (size_t i = 0; i < m->n; i++) {
		query_bind(q, 1, m->mapping[i].stack_id);
		if (answer_row(a, q))
			snprintf(m->mapping[i].id, sizeof(m->mapping[i].id), "%s", query_text(q, 0));
		query_reset(q);
	}
	query_close(q);
}

/* The look must have seen the same areas: it may be older than the calls. */
static void find_touched(struct mappings *m, struct answer *a)
{
	struct query *q = answer_query(a, sql_mapping_touched);
	for (size_t i = 0; i < m->n; i++) {
		struct mapping *x = &m->mapping[i];
		query_bind(q, 1, x->process->id);
		query_bind(q, 2, x->stack_id);
		x->touched_bytes = answer_row(a, q) && (uint64_t)query_int(q, 0) == x->bytes ? query_int(q, 1) * PAGE : -1;
		query_reset(q);
	}
	query_close(q);
}

void mappings_load(struct mappings *m, struct answer *a, int64_t pid)
{
	struct replay r = {.a = a, .space = xcalloc(a->n_processes, sizeof(struct space))};
	memset(m, 0, sizeof(*m));
	for (size_t i = 0; i < a->n_processes; i++)
		r.space[i].process = &a->processes[i];
	replay_events(&r);
	for (size_t i = 0; i < a->n_processes; i++) {
		struct space *s = &r.space[i];
		for (size_t k = 0; k < s->n; k++)
			if (!s->area[k].inherited && (pid == 0 || s->process->pid == pid))
				add_area(m, a, s, &s->area[k]);
		free(s->area);
	}
	free(r.space);
	if (m->n)
		qsort(m->mapping, m->n, sizeof(*m->mapping), by_bytes);
	find_ids(m, a);
	find_touched(m, a);
}

void mappings_done(struct mappings *m)
{
	free(m->mapping);
	memset(m, 0, sizeof(*m));
}
