/* sampled.c - allocates in known ways for recordings that sample.
 *
 *     sampled SEED MIB [fork|steps]
 *
 * Each of N_SITES functions allocates about MIB MiB in sizes of its own; one
 * thread's blocks are freed by another; some are reallocated; a known part is
 * left.  Prints, as JSON, what every function really did.  fork: a child frees
 * half of what it inherited and allocates itself; its part is printed, too.
 * steps: waits for a line on stdin before each of four parts.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_SITES 10
#define KEPT_MAX 400000

struct truth {
	unsigned long long alloc_blocks, alloc_bytes, live_blocks, live_bytes, temporary_blocks;
};
static struct truth truth[N_SITES];
static struct kept {
	void *p;
	size_t size;
	int site;
} kept[KEPT_MAX];
static size_t n_kept;
static uint64_t state;

static uint64_t random_bits(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static size_t size_of(int site)
{
	switch (site) {
	case 0: return 24;
	case 1: return 200;
	case 2: return 16 + random_bits() % 1000;
	case 3: return 4096;
	case 4: return random_bits() % 3; /* also nothing at all */
	case 5: return random_bits() % 50 ? 64 : 20000;
	case 6: return 100 + random_bits() % 100000;
	default: return 48 + (size_t)site * 16;
	}
}

#define SITE(n, ...) \
	static __attribute__((noinline)) void *site_##n(void *old, size_t size) \
	{ \
		void *p = __VA_ARGS__; \
		__asm__ volatile("" : "+r"(p) : : "memory"); \
		return p; \
	}
SITE(0, malloc(size))
SITE(1, calloc(1, size))
SITE(2, malloc(size))
SITE(3, memalign(64, size))
SITE(4, malloc(size))
SITE(5, malloc(size))
SITE(6, malloc(size))
SITE(7, realloc(old, size))
SITE(8, malloc(size))
SITE(9, malloc(size))

static void *(*const sites[N_SITES])(void *, size_t) = {site_0, site_1, site_2, site_3, site_4, site_5, site_6,
	site_7, site_8, site_9};

static void *take(int site, void *old, size_t size)
{
	truth[site].alloc_blocks++;
	truth[site].alloc_bytes += size;
	truth[site].live_blocks++;
	truth[site].live_bytes += size;
	return sites[site](old, size);
}

static void forget(int site, size_t size)
{
	truth[site].live_blocks--;
	truth[site].live_bytes -= size;
}

static void keep(void *p, size_t size, int site)
{
	if (n_kept < KEPT_MAX)
		kept[n_kept++] = (struct kept){p, size, site};
}

/* One use of a site: freed at once, or after the next, or kept. */
static void use(int site)
{
	static void *held;
	static size_t held_size;
	static int held_site;
	size_t size = size_of(site);
	void *p = take(site, NULL, size);

	if (site == 7) { /* grows twice */
		forget(7, size);
		p = take(7, p, size + 100);
		forget(7, size + 100);
		size += 300;
		p = take(7, p, size);
	}
	if (site == 8) {
		truth[8].temporary_blocks++;
		forget(8, size);
		free(p);
		return;
	}
	if (random_bits() % 4 == 0) {
		keep(p, size, site);
		return;
	}
	if (held) { /* never the latest block: nothing here is temporary */
		free(held);
		forget(held_site, held_size);
	}
	held = p;
	held_size = size;
	held_site = site;
}

static void work(unsigned long long bytes)
{
	for (int site = 0; site < N_SITES - 1; site++) {
		unsigned long long end = truth[site].alloc_bytes + bytes / (site == 4 ? 2000 : 1);

		while (truth[site].alloc_bytes < end)
			use(site);
	}
}

/* Blocks of site 9 that another thread frees. */
static void *free_all(void *blocks)
{
	void **b = blocks;

	for (int i = 0; i < 1000; i++)
		free(b[i]);
	return NULL;
}

static void hand_over(unsigned long long bytes)
{
	static void *blocks[1000];
	pthread_t thread;

	for (unsigned long long done = 0; done < bytes; done += 1000 * size_of(9)) {
		for (int i = 0; i < 1000; i++)
			blocks[i] = take(9, NULL, size_of(9));
		pthread_create(&thread, NULL, free_all, blocks);
		pthread_join(thread, NULL);
		for (int i = 0; i < 1000; i++)
			forget(9, size_of(9));
	}
}

static void print_truth(const char *who, unsigned long long inherited_freed)
{
	dprintf(1, "{\"who\": \"%s\", \"inherited_freed\": %llu, \"sites\": {", who, inherited_freed);
	for (int i = 0; i < N_SITES; i++)
		dprintf(1, "%s\"site_%d\": {\"alloc_blocks\": %llu, \"alloc_bytes\": %llu, \"live_blocks\": %llu, "
			"\"live_bytes\": %llu, \"temporary_blocks\": %llu}", i ? ", " : "", i, truth[i].alloc_blocks,
			truth[i].alloc_bytes, truth[i].live_blocks, truth[i].live_bytes, truth[i].temporary_blocks);
	dprintf(1, "}}\n");
}

static void in_child(unsigned long long bytes)
{
	unsigned long long freed = 0;

	if (fork() == 0) {
		memset(truth, 0, sizeof(truth));
		for (size_t i = 0; i < n_kept; i += 2, freed++)
			free(kept[i].p);
		work(bytes / 2);
		print_truth("child", freed);
		exit(0);
	}
	wait(NULL);
}

int main(int argc, char **argv)
{
	char line[16];

	if (argc < 3)
		return 2;
	state = strtoull(argv[1], NULL, 0);
	unsigned long long bytes = strtoull(argv[2], NULL, 0) << 20;
	const char *how = argc > 3 ? argv[3] : "";
	for (int part = 0; part < 4; part++) {
		if (!strcmp(how, "steps") && !fgets(line, sizeof(line), stdin))
			return 3;
		work(bytes / 4);
		hand_over(bytes / 4);
		if (!strcmp(how, "steps"))
			print_truth("step", 0);
	}
	if (!strcmp(how, "fork"))
		in_child(bytes);
	print_truth("main", 0);
	return 0;
}
