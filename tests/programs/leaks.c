/*
 * leaks.c - ten ways to leak, with the verdict of each block known.
 *
 *	leaks CASE
 *	leaks entries LEFT_OUT
 *
 * Prints one line per expectation, "FUNCTION VERDICT BLOCKS BYTES", for the
 * blocks that the function FUNCTION allocated, and "map FUNCTION AREAS BYTES
 * TOUCHED" for mappings that it left.  reach.py compares; where
 * Valgrind and LeakSanitizer are installed it runs this program under them.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

struct node {
	struct node *next;
	char rest[40];
};

static void *kept[64]; /* a root */
static __thread void *volatile kept_by_thread;

static void expect(const char *function, const char *verdict, int blocks, long bytes)
{
	printf("%s %s %d %ld\n", function, verdict, blocks, bytes);
	fflush(stdout);
}

/* What was left of pointers in dead stack and in registers. */
static NOINLINE void scrub(void)
{
	volatile char room[16384];

	memset((char *)room, 0, sizeof(room));
}

static NOINLINE void site_lost(int n, size_t size)
{
	for (int i = 0; i < n; i++)
		memset(malloc(size), 0, size);
}

static NOINLINE void site_kept(int from, int n, size_t size)
{
	for (int i = 0; i < n; i++)
		kept[from + i] = memset(malloc(size), 0, size);
}

static void direct(void)
{
	site_lost(7, 24);
	site_lost(1, 1000);
	site_lost(1, 300000);
	site_kept(0, 5, 100);
	expect("site_lost", "definite", 9, 7 * 24 + 1000 + 300000);
	expect("site_kept", "reachable", 5, 500);
}

static NOINLINE struct node *site_node(struct node *next)
{
	struct node *n = calloc(1, sizeof(*n));

	n->next = next;
	return n;
}

static NOINLINE void chain(int n)
{
	struct node *first = NULL;

	for (int i = 0; i < n; i++)
		first = site_node(first);
}

static void list(void)
{
	chain(100);
	expect("site_node", "definite", 1, 48);
	expect("site_node", "indirect", 99, 99 * 48);
}

static void *one_thread(void *arg)
{
	*(pid_t *)arg = gettid();
	site_lost(3, 64);
	scrub();
	return NULL;
}

static void threads(void)
{
	pthread_t t[4];
	pid_t tid[4];

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, one_thread, &tid[i]);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	pthread_create(&t[3], NULL, one_thread, &tid[3]);
	pthread_join(t[3], NULL);
	memset(t, 0, sizeof(t));
	printf("last site_lost %d\n", (int)tid[3]);
	expect("site_lost", "definite", 12, 12 * 64);
}

static NOINLINE void site_inherited(int n)
{
	for (int i = 0; i < n; i++)
		kept[i] = malloc(32);
}

static NOINLINE void site_child(int n)
{
	for (int i = 0; i < n; i++)
		memset(malloc(80), 0, 80);
	*(void **)kept[0] = memset(malloc(80), 0, 80); /* held by a block of the parent */
}

static void forked(void)
{
	site_inherited(10);
	site_lost(2, 500);
	pid_t pid = fork();
	if (pid == 0) { /* for less than a millisecond */
		site_child(6);
		scrub();
		exit(0);
	}
	waitpid(pid, NULL, 0);
	expect("site_lost", "definite", 2, 1000);
	expect("site_inherited", "reachable", 10, 320);
	expect("site_child", "definite", 6, 480);
	expect("site_child", "reachable", 1, 80);
}

/* The i-th is used up to its i-th page. */
static NOINLINE void site_maps(void)
{
	for (int i = 0; i < 8; i++) {
		char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int k = 0; k < i; k++)
			p[k * 4096] = 1;
	}
}

/* Memory of the program's own making holds a block. */
static void mappings(void)
{
	void **own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	site_maps();
	site_kept(0, 1, 200);
	own[17] = kept[0];
	kept[0] = NULL;
	site_lost(1, 40);
	expect("site_kept", "reachable", 1, 200);
	expect("site_lost", "definite", 1, 40);
	printf("map site_maps 8 %d %d\n", 8 * 65536, 28 * 4096);
	printf("map mappings 1 4096 4096\n");
}

static NOINLINE void site_grown(void)
{
	for (int i = 0; i < 3; i++) {
		char *p = NULL;

		for (size_t n = 16; n <= 4096; n *= 2)
			p = realloc(p, n);
		memset(p, 0, 4096);
	}
}

static void reallocs(void)
{
	site_grown();
	expect("site_grown", "definite", 3, 3 * 4096);
}

static NOINLINE void ring(int n)
{
	struct node *last = site_node(NULL), *first = last;

	for (int i = 1; i < n; i++)
		first = site_node(first);
	last->next = first;
}

static void cycles(void)
{
	ring(10);
	ring(3);
	site_kept(0, 1, sizeof(struct node));
	((struct node *)kept[0])->next = kept[0];
	expect("site_node", "definite", 2, 2 * 48);
	expect("site_node", "indirect", 11, 11 * 48);
	expect("site_kept", "reachable", 1, 48);
}

static NOINLINE void site_inside(int n)
{
	for (int i = 0; i < n; i++)
		kept[i] = (char *)memset(malloc(128), 0, 128) + 64;
}

static NOINLINE void site_thread_local(void)
{
	kept_by_thread = malloc(56);
}

/* Leaves without handlers. */
static void underscore(void)
{
	site_lost(4, 72);
	site_inside(3);
	site_thread_local();
	expect("site_lost", "definite", 4, 288);
	expect("site_inside", "possible", 3, 384);
	expect("site_thread_local", "reachable", 1, 56);
	scrub();
	_exit(0);
}

static void plugin(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);

	path[n > 0 ? n : 0] = 0;
	strcpy(strrchr(path, '/') + 1, "leak_plugin.so");
	void *handle = dlopen(path, RTLD_NOW);
	void (*leak)(void) = handle ? (void (*)(void))dlsym(handle, "site_in_plugin") : NULL;
	if (!leak)
		exit(2);
	leak();
	dlclose(handle);
	expect("site_in_plugin", "definite", 2, 246);
}

/* Each entry by itself: what was asked for, byte by byte. */
static NOINLINE void *by_posix_memalign(void)
{
	void *p = NULL;

	return posix_memalign(&p, 64, 70) ? NULL : p;
}

static NOINLINE char *by_asprintf(void)
{
	char *text = NULL;

	return asprintf(&text, "%d %s", 12345, "of them") < 0 ? NULL : text;
}

#define ENTRY(name, call) \
	static NOINLINE void site_##name(void) \
	{ \
		*(char *)call = 0; \
	}
ENTRY(malloc, malloc(10))
ENTRY(calloc, calloc(3, 7))
ENTRY(realloc_new, realloc(NULL, 32))
ENTRY(realloc, realloc(malloc(5), 43))
ENTRY(reallocarray, reallocarray(NULL, 9, 6))
ENTRY(posix_memalign, by_posix_memalign())
ENTRY(memalign, memalign(32, 65))
ENTRY(aligned_alloc, aligned_alloc(16, 80))
ENTRY(valloc, valloc(91))
ENTRY(pvalloc, pvalloc(1))
ENTRY(strdup, strdup("0123456789"))
ENTRY(strndup, strndup("abcdefgh", 4))
ENTRY(asprintf, by_asprintf())

static const struct {
	const char *name;
	void (*call)(void);
	long bytes;
} all_entries[] = { { "site_malloc", site_malloc, 10 }, { "site_calloc", site_calloc, 21 },
	{ "site_realloc_new", site_realloc_new, 32 }, { "site_realloc", site_realloc, 43 },
	{ "site_reallocarray", site_reallocarray, 54 }, { "site_posix_memalign", site_posix_memalign, 70 },
	{ "site_memalign", site_memalign, 65 }, { "site_aligned_alloc", site_aligned_alloc, 80 },
	{ "site_valloc", site_valloc, 91 }, { "site_pvalloc", site_pvalloc, 1 }, { "site_strdup", site_strdup, 11 },
	{ "site_strndup", site_strndup, 5 }, { "site_asprintf", site_asprintf, 14 } };

/* Memcheck ends a program that calls pvalloc: it is left out with a second
 * word. */
static void entries_but(const char *left_out)
{
	for (size_t i = 0; i < sizeof(all_entries) / sizeof(*all_entries); i++) {
		if (left_out && strcmp(left_out, all_entries[i].name) == 0)
			continue;
		all_entries[i].call();
		expect(all_entries[i].name, "definite", 1, all_entries[i].bytes);
	}
}

static void entries(void)
{
	entries_but(NULL);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = { { "direct", direct }, { "list", list }, { "threads", threads }, { "forked", forked },
	{ "mappings", mappings }, { "reallocs", reallocs }, { "cycles", cycles }, { "underscore", underscore },
	{ "plugin", plugin }, { "entries", entries } };

int main(int argc, char **argv)
{
	/* Not on the heap: stdio keeps its end, where the next block may begin. */
	static char out[4096];

	setvbuf(stdout, out, _IOFBF, sizeof(out));
	if (argc == 3 && strcmp(argv[1], "entries") == 0) {
		entries_but(argv[2]);
		scrub();
		return 0;
	}
	for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(*cases); i++)
		if (strcmp(argv[1], cases[i].name) == 0) {
			cases[i].run();
			scrub();
			return 0;
		}
	return 2;
}
