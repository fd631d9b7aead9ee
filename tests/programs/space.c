/*
 * space.c - an address space that is known to the page.
 *
 *   space walk SEED STEPS THREADS FILE
 *       random changes of the address space; before it ends it copies
 *       /proc/self/maps to FILE, and nothing changes after that
 *   space used
 *       asks for 1 GiB at several places, uses known pages of it, and prints
 *       for each place: its function, bytes asked for, pages used
 *   space sealed
 *       as used, but nobody may look into it (PR_SET_DUMPABLE 0)
 *
 * Only raw descriptors and static memory where the answer must not change.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PAGE 4096ul
#define MIB (1ul << 20)
#define SLOTS 64

/* ---- walk ---- */

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

struct slot {
	char *at;
	size_t n; /* pages; 0: free */
};

struct walker {
	uint64_t state;
	long steps;
	int fd;
	int alone; /* no other thread may have mapped where something was unmapped */
	struct slot slot[SLOTS];
};

static void map_slot(struct walker *w, struct slot *s)
{
	uint64_t r = next(&w->state);
	int shared = r % 5 == 0, file = r % 3 == 0;
	size_t n = 1 + (r >> 8) % 200;
	int prot = r % 7 == 0 ? PROT_READ : r % 11 == 0 ? PROT_NONE : PROT_READ | PROT_WRITE;
	void *p = mmap(NULL, n * PAGE, prot, (shared ? MAP_SHARED : MAP_PRIVATE) | (file ? 0 : MAP_ANONYMOUS),
		file ? w->fd : -1, file ? (off_t)((r >> 20) % 50 * PAGE) : 0);
	if (p == MAP_FAILED)
		return;
	s->at = p;
	s->n = n;
}

/* Part of it, somewhere. */
static void unmap_part(struct walker *w, struct slot *s)
{
	uint64_t r = next(&w->state);
	size_t from = r % s->n, n = 1 + (r >> 16) % (s->n - from);
	munmap(s->at + from * PAGE, n * PAGE);
	if (from > 0) {
		size_t again = w->alone ? from : from + n; /* what is gone already, once more */
		if (again < s->n)
			munmap(s->at + again * PAGE, (s->n - again) * PAGE);
		s->n = from;
	} else if (n < s->n) {
		s->at += n * PAGE;
		s->n -= n;
	} else {
		s->n = 0;
	}
}

static void change(struct walker *w, struct slot *s)
{
	uint64_t r = next(&w->state);
	size_t from = r % s->n, n = 1 + (r >> 16) % (s->n - from);
	static const int prots[] = { PROT_READ, PROT_READ | PROT_WRITE, PROT_NONE };
	switch (r >> 40 & 3) {
	case 0:
		mprotect(s->at + from * PAGE, n * PAGE, prots[(r >> 32) % 3]);
		break;
	case 1: { /* whole areas alone can be moved */
		void *p = mremap(s->at, s->n * PAGE, (s->n + n) * PAGE, MREMAP_MAYMOVE);
		if (p != MAP_FAILED) {
			s->at = p;
			s->n += n;
		}
		break;
	}
	case 2:
		mmap(s->at + from * PAGE, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			-1, 0);
		break;
	default:
		madvise(s->at + from * PAGE, n * PAGE, MADV_DONTNEED);
	}
}

static void *walk(void *arg)
{
	struct walker *w = arg;
	for (long i = 0; i < w->steps; i++) {
		struct slot *s = &w->slot[next(&w->state) % SLOTS];
		if (!s->n)
			map_slot(w, s);
		else if (next(&w->state) % 3 == 0)
			unmap_part(w, s);
		else
			change(w, s);
		if (i % 16 == 0)
			free(malloc(next(&w->state) % (256 << 10))); /* libc's own calls */
	}
	return NULL;
}

static void move_break(void)
{
	sbrk(37 * PAGE);
	sbrk(-(intptr_t)(5 * PAGE));
}

static void copy_maps(const char *path)
{
	static char text[65536];
	int in = open("/proc/self/maps", O_RDONLY), out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n;
	while ((n = read(in, text, sizeof(text))) > 0)
		if (write(out, text, (size_t)n) != n)
			_exit(3);
	close(in);
	close(out);
}

static int walk_main(char **argv)
{
	static struct walker walker[8];
	pthread_t thread[8];
	int n = atoi(argv[4]), fd = memfd_create("space", 0);
	if (n < 1 || n > 8 || fd < 0 || ftruncate(fd, 300 * PAGE) != 0)
		return 2;
	for (int i = 0; i < n; i++)
		walker[i] = (struct walker){ .state = strtoull(argv[2], NULL, 10) * 8 + (unsigned)i + 1,
			.steps = atol(argv[3]), .fd = fd, .alone = n == 1 };
	for (int i = 1; i < n; i++)
		pthread_create(&thread[i], NULL, walk, &walker[i]);
	walk(&walker[0]);
	for (int i = 1; i < n; i++)
		pthread_join(thread[i], NULL);
	move_break();
	usleep(30000); /* the joined threads' stacks are kept by now */
	copy_maps(argv[5]);
	return 0;
}

/* ---- used ---- */

static char *volatile keep[8];

static void use(char *p, size_t pages, size_t every)
{
	for (size_t i = 0; i < pages; i++)
		((volatile char *)p)[i * every * PAGE] = 1;
}

__attribute__((noinline)) static void place_mapped(void)
{
	keep[0] = mmap(NULL, 512 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(keep[0], 512 * MIB, MADV_NOHUGEPAGE);
	use(keep[0], 1000, 7);
	printf("place_mapped %lu %d\n", 512 * MIB, 1000);
}

__attribute__((noinline)) static void place_read(void)
{
	keep[1] = mmap(NULL, 128 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(keep[1], 128 * MIB, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < 300; i++)
		(void)*(volatile char *)(keep[1] + i * 3 * PAGE); /* the zero page: used, in no memory */
	use(keep[1] + 64 * MIB, 50, 2);
	printf("place_read %lu %d\n", 128 * MIB, 350);
}

__attribute__((noinline)) static void place_block(void)
{
	keep[2] = malloc(256 * MIB);
	madvise((void *)((uintptr_t)keep[2] & ~(PAGE - 1)), 256 * MIB, MADV_NOHUGEPAGE);
	use(keep[2], 2000, 5);
	printf("place_block %lu %d\n", 256 * MIB, 2000);
}

__attribute__((noinline)) static void place_gone(void)
{
	char *p = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(p, 64 * MIB, MADV_NOHUGEPAGE);
	use(p, 111, 3);
	munmap(p, 64 * MIB);
	printf("place_gone %lu %d\n", 64 * MIB, 111);
}

__attribute__((noinline)) static void place_freed(void)
{
	char *p = malloc(63 * MIB);
	madvise((void *)((uintptr_t)p & ~(PAGE - 1)), 63 * MIB, MADV_NOHUGEPAGE);
	use(p, 222, 3);
	free(p);
	printf("place_freed %lu %d\n", 63 * MIB, 222);
}

static int used_main(void)
{
	place_mapped();
	place_read();
	place_block();
	place_gone();
	place_freed();
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "walk") == 0)
		return walk_main(argv);
	if (argc == 2 && strcmp(argv[1], "used") == 0)
		return used_main();
	if (argc == 2 && strcmp(argv[1], "sealed") == 0)
		return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || used_main();
	fprintf(stderr, "space: walk SEED STEPS THREADS FILE | used | sealed\n");
	return 2;
}
