/*
 * cow_sites.c - a fork after which both sides write to blocks of known sites,
 * and the program says what must be reported.
 *
 *   table    one block of 4 MiB: the parent writes every second page of 2 MiB
 *   counted  blocks of 200 bytes: the child adds one to a counter in each of
 *            the first three quarters
 *   same     blocks of 200 bytes: the child writes what stands there already
 *   quiet    blocks of 200 bytes that nobody writes
 *   mapped   2 MiB by mmap: the child writes every third page
 *   beside   1 MiB by mmap, which the kernel joins to it: the parent writes
 *            every second page
 *
 * Some pages of `counted` are written by the parent too, after the child.
 * Printed before the fork, one line a site: name, then pages with at least one
 * of its blocks, pages of these that the parent, the child, and both wrote,
 * blocks and bytes.  Then the program prints its
 * child's status and ends.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define TABLE (4ul << 20)
#define BLOCKS 8000
#define SIZE 200
#define PAGES_MAX 8192

#define KEEP(p) __asm__ volatile("" : "+r"(p) : : "memory")

struct site {
	const char *name;
	void *block[BLOCKS];
	size_t n, size;
	bool mapping;
};

static struct site mapped = {.name = "mapped"}, beside = {.name = "beside"};
static struct site table = {.name = "table"}, counted = {.name = "counted"}, same = {.name = "same"}, quiet = {.name = "quiet"};

struct pages { /* sorted when it is asked */
	uintptr_t page[PAGES_MAX];
	size_t n;
};
static struct pages by_parent, by_child;

static void add(struct pages *p, const void *address)
{
	uintptr_t page = (uintptr_t)address / PAGE;

	if (p->n && p->page[p->n - 1] == page)
		return;
	if (p->n == PAGES_MAX)
		abort();
	p->page[p->n++] = page;
}

static bool has(const struct pages *p, uintptr_t page)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->page[i] == page)
			return true;
	return false;
}

static void *filled(size_t size)
{
	void *p = malloc(size);

	if (!p)
		abort();
	memset(p, 1, size);
	KEEP(p);
	return p;
}

static __attribute__((noinline)) void make_table(void)
{
	table.block[table.n++] = filled(table.size = TABLE);
}

static __attribute__((noinline)) void make_counted(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		counted.block[counted.n++] = filled(counted.size = SIZE);
}

static __attribute__((noinline)) void make_same(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		same.block[same.n++] = filled(same.size = SIZE);
}

static __attribute__((noinline)) void make_quiet(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		quiet.block[quiet.n++] = filled(quiet.size = SIZE);
}

static void map(struct site *s, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || madvise(p, size, MADV_NOHUGEPAGE))
		abort();
	memset(p, 1, size);
	*s = (struct site){.name = s->name, .block = {p}, .n = 1, .size = size, .mapping = true};
}

static __attribute__((noinline)) void make_mapped(void)
{
	map(&mapped, 2ul << 20);
	__asm__ volatile("");
}

static __attribute__((noinline)) void make_beside(void)
{
	map(&beside, 1ul << 20);
	__asm__ volatile("");
}

static void write_every(const struct site *s, size_t step, struct pages *plan)
{
	for (size_t at = 0; at < s->size; at += step * PAGE) {
		unsigned char *byte = (unsigned char *)s->block[0] + at;
		if (plan)
			add(plan, byte);
		else
			*(volatile unsigned char *)byte = 7;
	}
}

/* plan: nothing is written, the pages are noted. */
static void child_writes(bool plan)
{
	for (size_t i = 0; i < BLOCKS * 3 / 4; i++) {
		unsigned char *at = (unsigned char *)counted.block[i] + 16;
		if (plan) {
			add(&by_child, at);
		} else {
			++*(volatile unsigned char *)at;
		}
	}
	for (size_t i = 0; i < BLOCKS; i++) {
		unsigned char *at = (unsigned char *)same.block[i] + 16;
		if (plan)
			add(&by_child, at);
		else
			*(volatile unsigned char *)at = 1;
	}
	write_every(&mapped, 3, plan ? &by_child : NULL);
}

static void parent_writes(bool plan)
{
	for (size_t at = 64; at < TABLE / 2; at += 2 * PAGE) {
		volatile unsigned char *byte = (unsigned char *)table.block[0] + at;
		if (plan) {
			add(&by_parent, (void *)byte);
		} else {
			*byte = 0x77;
		}
	}
	write_every(&beside, 2, plan ? &by_parent : NULL);
	/* Where the child has written before. */
	for (size_t i = 0; i < 1000; i++) {
		unsigned char *at = (unsigned char *)counted.block[i] + 24;
		if (plan) {
			add(&by_parent, at);
		} else {
			*(volatile unsigned char *)at += 1;
		}
	}
}

static void tell(const struct site *s)
{
	size_t shared = 0, parent = 0, child = 0, both = 0;
	uintptr_t next = 0;

	for (size_t i = 0; i < s->n; i++) {
		uintptr_t first = (uintptr_t)s->block[i] / PAGE, last = ((uintptr_t)s->block[i] + s->size - 1) / PAGE;
		for (uintptr_t page = first > next ? first : next; page <= last; page++) {
			bool p = has(&by_parent, page), c = has(&by_child, page);
			shared++;
			parent += p;
			child += c;
			both += p && c;
		}
		next = last + 1 > next ? last + 1 : next;
	}
	dprintf(1, "%s %zu %zu %zu %zu %zu %zu\n", s->name, shared, parent, child, both,
		s->mapping ? 0 : s->n, s->mapping ? 0 : s->n * s->size);
}

int main(void)
{
	int written[2], end[2], status;
	char byte = 0;

	make_table();
	make_counted();
	make_same();
	make_quiet();
	make_mapped();
	make_beside();
	child_writes(true);
	parent_writes(true);
	tell(&table);
	tell(&counted);
	tell(&same);
	tell(&quiet);
	tell(&mapped);
	tell(&beside);
	if (pipe(written) || pipe(end))
		return 1;
	pid_t pid = fork();
	if (pid == 0) {
		child_writes(false);
		_exit(write(written[1], &byte, 1) == 1 && read(end[0], &byte, 1) == 1 ? 0 : 1);
	}
	if (read(written[0], &byte, 1) != 1)
		return 1;
	parent_writes(false);
	if (write(end[1], &byte, 1) != 1 || waitpid(pid, &status, 0) != pid)
		return 1;
	/* Without stdio, which takes a buffer from the heap beside `quiet`. */
	_exit(status || write(1, "status 0\n", 9) != 9);
}
