/*
 * picture.c - an address space in 80 columns.
 *
 * An address space is a few islands in an ocean of nothing: it is cut at its
 * widest holes, and each island gets a bar of its own, which stands for the
 * island's whole span.  Each cell shows who owns most of it, and below how
 * much of it is in memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/render.h"
#include "report/space.h"
#include "report/text.h"

#define ISLANDS 8
#define CELLS 48u
#define HOLE_MIN (1ull << 20)

static const struct {
	const char *kind;
	char letter;
} letters[] = {{"exe", 'e'}, {"library", 'l'}, {"file", 'f'}, {"mapping", 'm'}, {"heap", 'h'},
	{"malloc", 'a'}, {"stack", 's'}, {"thread stack", 't'}, {"shared memory", 'S'}, {"loader", 'd'},
	{"mmscope", 'M'}, {"kernel", 'k'}};

static char letter_of(const char *kind)
{
	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (strcmp(letters[i].kind, kind) == 0)
			return letters[i].letter;
	return '?';
}

struct cell {
	double owned[128]; /* bytes by letter */
	double mapped, present;
};

static double overlap(uint64_t a, uint64_t b, uint64_t low, uint64_t high)
{
	uint64_t from = a > low ? a : low, to = b < high ? b : high;
	return to > from ? (double)(to - from) : 0;
}

static struct cell cell_of(const struct space *s, size_t from, size_t to, uint64_t low, uint64_t high)
{
	struct cell c = {.mapped = 0};
	for (size_t i = from; i < to; i++) {
		const struct space_area *x = &s->area[i];
		double bytes = overlap(x->start, x->end, low, high);
		if (bytes <= 0)
			continue;
		c.owned[(unsigned char)letter_of(x->kind)] += bytes;
		c.mapped += bytes;
		if (x->present > 0)
			c.present += bytes * (double)x->present * SPACE_PAGE / (double)(x->end - x->start);
	}
	return c;
}

static char owner_of(const struct cell *c)
{
	char best = ' ';
	double most = 0;
	for (int i = 0; i < 128; i++)
		if (c->owned[i] > most) {
			most = c->owned[i];
			best = (char)i;
		}
	return best;
}

static char fullness_of(const struct cell *c)
{
	double part = c->mapped > 0 ? c->present / c->mapped : -1;
	return part < 0 ? ' ' : part == 0 ? '.' : part < 0.25 ? ':' : part < 0.75 ? '+' : '#';
}

static void print_island(const struct space *s, size_t from, size_t to)
{
	char owners[CELLS + 1], full[CELLS + 1], size[TEXT_NUMBER], memory[TEXT_NUMBER];
	uint64_t low = s->area[from].start, span = s->area[to - 1].end - low;
	uint64_t bytes = 0, present = 0;
	for (size_t i = 0; i < CELLS; i++) {
		struct cell c = cell_of(s, from, to, low + span * i / CELLS,
			low + span * (i + 1) / CELLS);
		owners[i] = owner_of(&c);
		full[i] = fullness_of(&c);
	}
	owners[CELLS] = full[CELLS] = 0;
	for (size_t i = from; i < to; i++) {
		bytes += s->area[i].end - s->area[i].start;
		present += s->area[i].present > 0 ? (uint64_t)s->area[i].present : 0;
	}
	printf("%16llx |%s| %10s\n", (unsigned long long)s->area[from].start, owners, text_size(size, bytes));
	printf("%16s |%s| %10s\n", "", full, text_size(memory, present * SPACE_PAGE));
}

/* Sorts the widest holes to the front. */
struct hole {
	uint64_t bytes;
	size_t at; /* index of the area behind it */
};

static int by_width(const void *left, const void *right)
{
	const struct hole *a = left, *b = right;
	return a->bytes > b->bytes ? -1 : a->bytes < b->bytes;
}

static int by_place(const void *left, const void *right)
{
	const struct hole *a = left, *b = right;
	return a->at < b->at ? -1 : a->at > b->at;
}

void space_picture(const struct space *s)
{
	struct hole *hole = xcalloc(s->n, sizeof(*hole));
	size_t n = 0;
	for (size_t i = 1; i < s->n; i++)
		if (s->area[i].start - s->area[i - 1].end >= HOLE_MIN)
			hole[n++] = (struct hole){s->area[i].start - s->area[i - 1].end, i};
	if (n)
		qsort(hole, n, sizeof(*hole), by_width);
	if (n > ISLANDS - 1)
		n = ISLANDS - 1;
	if (n)
		qsort(hole, n, sizeof(*hole), by_place);
	size_t from = 0;
	for (size_t i = 0; i < n; i++) {
		print_island(s, from, hole[i].at);
		from = hole[i].at;
	}
	print_island(s, from, s->n);
	free(hole);
	printf("  above: e executable, l library, f file, m mapping, h heap, a malloc,\n"
	       "         s stack, t thread stack, S shared, d loader, M mmscope, k kernel;\n"
	       "  below: # in memory, + more than a quarter, : less, . nothing of it\n");
}
