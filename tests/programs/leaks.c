/*
 * leaks.c - ten ways to leak, with the verdict of each block known.
 *
 *	leaks CASE
 *
 * Prints one line per expectation, "FUNCTION VERDICT BLOCKS BYTES", for the
 * blocks that the function FUNCTION allocated.  reach.py compares; where
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
	(void)arg;
	site_lost(3, 64);
	scrub();
	return NULL;
}

static void threads(void)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, one_thread, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	memset(t, 0, sizeof(t));
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
	if (pid == 0) {
		usleep(50000);
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

static NOINLINE void site_maps(void)
{
	for (int i = 0; i < 8; i++)
		mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
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

static NOINLINE void site_every(void)
{
	void *p = NULL;
	int r = posix_memalign(&p, 64, 70);

	(void)r;
	memset(malloc(10), 0, 10);
	calloc(3, 7);
	realloc(NULL, 32);
	realloc(malloc(5), 43);
	reallocarray(NULL, 9, 6);
	strdup("0123456789");
	memset(memalign(32, 65), 0, 65);
	memset(aligned_alloc(16, 80), 0, 80);
	memset(valloc(91), 0, 91);
	memset(pvalloc(1), 0, 1);
	strndup("abcdefgh", 4);
	p = NULL;
}

static void entries(void)
{
	site_every();
	/* pvalloc gives a page; strdup and strndup allocate in their callers' names. */
	expect("site_every", "definite", 12, 70 + 10 + 21 + 32 + 43 + 54 + 11 + 65 + 80 + 91 + 1 + 5);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = { { "direct", direct }, { "list", list }, { "threads", threads }, { "forked", forked },
	{ "mappings", mappings }, { "reallocs", reallocs }, { "cycles", cycles }, { "underscore", underscore },
	{ "plugin", plugin }, { "entries", entries } };

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(*cases); i++)
		if (strcmp(argv[1], cases[i].name) == 0) {
			cases[i].run();
			scrub();
			return 0;
		}
	return 2;
}
