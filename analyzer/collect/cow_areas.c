/*
 * cow_areas.c - which memory of a process is asked about from outside.
 *
 *	its list of areas --- private and writable --- less the library's own
 *
 * What is ours stands in a table in the library's data (copy_own).  Where that
 * cannot be read, areas that came after the forks are not told from ours, and
 * those of the forks alone are asked about.
 *
 * Called by cow_ask.c.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect/copy.h"
#include "collect/cow_private.h"
#include "mirror/origin.h"
#include "mirror/proc_maps.h"

#define MAPS_TEXT (64u << 10)
#define PROT_WRITE_BIT 2

static bool add(struct cow_spans *s, uint64_t start, uint64_t end, bool of_file)
{
	if (s->n == s->room) {
		struct cow_span *more = reallocarray(s->item, s->room * 2 + 64, sizeof(*more));
		if (!more)
			return false;
		s->item = more;
		s->room = s->room * 2 + 64;
	}
	s->item[s->n++] = (struct cow_span){ start, end, of_file };
	return true;
}

/* ---- what it has now ---- */

struct lines {
	struct cow_spans *spans;
	struct origin_walk origin;
	struct copy_span data[COPY_DATA_MAX]; /* the library's */
	size_t n_data;
	bool failed;
};

static bool one_line(void *arg, const struct proc_map *m)
{
	struct lines *l = arg;
	bool ours = origin_next(&l->origin, m) == VMA_PROFILER;

	if (m->shared || !(m->prot & PROT_WRITE_BIT) || m->start >> 47)
		return true;
	if (ours && m->inode && l->n_data < COPY_DATA_MAX)
		l->data[l->n_data++] = (struct copy_span){ m->start, m->end };
	l->failed = !add(l->spans, m->start, m->end, m->inode != 0);
	return !l->failed;
}

static int by_start(const void *left, const void *right)
{
	const struct cow_span *a = left, *b = right;

	return a->start < b->start ? -1 : a->start > b->start;
}

/* The first of ours that ends above `at`; NULL: none. */
static const struct copy_span *next_own(const struct copy_span *own, size_t n, uint64_t at)
{
	const struct copy_span *found = NULL;

	for (size_t i = 0; i < n; i++)
		if (own[i].end > at && (!found || own[i].start < found->start))
			found = &own[i];
	return found;
}

static bool take_own_away(struct cow_spans *s, const struct copy_span *own, size_t n_own)
{
	struct cow_spans kept = { .n = 0 };
	bool ok = true;

	for (size_t i = 0; i < s->n && ok; i++)
		for (uint64_t at = s->item[i].start, end = s->item[i].end; at < end && ok;) {
			const struct copy_span *own_at = next_own(own, n_own, at);
			uint64_t to = own_at && own_at->start < end ? own_at->start : end;
			if (to > at)
				ok = add(&kept, at, to, s->item[i].of_file);
			at = to < end && own_at ? own_at->end : end;
		}
	free(s->item);
	*s = kept;
	return ok;
}

/* False: it is not known what is ours. */
static bool read_all(struct cow_spans *s, const struct watch_process *p)
{
	struct copy_span own[MMS_OWN_AREAS];
	struct lines l = { .spans = s };
	int fd = openat(p->proc_fd, "maps", O_RDONLY | O_CLOEXEC);
	char *text = fd >= 0 ? malloc(MAPS_TEXT) : NULL;
	int r = text ? proc_maps_walk(fd, text, MAPS_TEXT, one_line, &l) : -1;

	free(text);
	if (fd >= 0)
		close(fd);
	int n_own = r == 0 && !l.failed ? copy_own(p->proc_fd, l.data, l.n_data, own) : 0;
	return n_own > 0 && take_own_away(s, own, (size_t)n_own);
}

/* ---- those of its forks ---- */

/* Each address once. */
static void join(struct cow_spans *s)
{
	size_t kept = 0;

	if (s->n)
		qsort(s->item, s->n, sizeof(*s->item), by_start);
	for (size_t i = 0; i < s->n; i++) {
		struct cow_span *last = kept ? &s->item[kept - 1] : NULL, *x = &s->item[i];
		if (last && x->start < last->end) {
			last->end = x->end > last->end ? x->end : last->end;
			last->of_file |= x->of_file;
		} else {
			s->item[kept++] = *x;
		}
	}
	s->n = kept;
}

static void add_of_forks(struct cow_spans *s, const struct cows *c, uint64_t number)
{
	for (size_t i = c->first_open; i < c->n; i++) {
		const struct cow_fork *f = c->forks[i];
		if (f->over || (f->side[PARENT].process != number && f->side[CHILD].process != number))
			continue;
		for (size_t k = 0; k < f->n_areas; k++)
			if (f->areas[k].a.error == 0 && !add(s, f->areas[k].a.start, f->areas[k].a.end, f->areas[k].name[0] == '/'))
				return;
	}
	join(s);
}

void cow_spans_read(struct cow_spans *s, const struct cows *c, uint64_t number, const struct watch_process *p)
{
	*s = (struct cow_spans){ .n = 0 };
	s->whole = read_all(s, p);
	if (s->whole)
		return;
	s->n = 0;
	add_of_forks(s, c, number);
}

void cow_spans_done(struct cow_spans *s)
{
	free(s->item);
	*s = (struct cow_spans){ .n = 0 };
}
