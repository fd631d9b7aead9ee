/*
 * known.c - random operations with every function of the malloc family, and
 * the truth about them.
 *
 *     known SEED THREADS OPERATIONS ordered|free|forked
 *
 * Each way of allocating is a function of its own (site_...), so that a
 * profiler's answer can be compared by function name.  Blocks are freed by any
 * thread.  `ordered` lets one thread at a time perform an operation: then the
 * peak and its composition are known too.  `forked` (one thread) forks in the
 * middle: the child prints its own truth first, in which blocks of its parent
 * are counted apart, then the parent does.  The truth goes to stdout as one
 * JSON object, kept in static memory: the program's own book-keeping never
 * allocates.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_SLOTS 400
#define MAX_THREADS 8
#define KEEP(p) __asm__ volatile("" : "+r"(p) : : "memory") /* no tail call, nothing left out */

struct slot {
	atomic_int busy;
	void *p;
	size_t size;
	int site;
	int generation; /* 1: given out in the forked child */
};

struct count {
	uint64_t alloc_blocks, alloc_bytes, temporary, live_blocks, live_bytes;
};

struct thread {
	uint64_t random;
	void *last;      /* what its last event gave out, or NULL */
	uint64_t n_freed, n_failed;
	struct count count[32];
	pthread_t id;
};

static struct slot slots[N_SLOTS];
static struct thread threads[MAX_THREADS];
static unsigned long n_operations;
static bool ordered, forked;
static int generation;
static uint64_t inherited_blocks, inherited_bytes, inherited_freed;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t start, end;

/* Valid in ordered mode only. */
static uint64_t live_total, peak_total, live_of[32], peak_of[32];

static uint64_t draw(struct thread *t, uint64_t below)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return (t->random >> 11) % below;
}

#ifdef ANOTHER_MALLOC /* has no pvalloc of its own, and gives a block for realloc(p, 0) */
#define pvalloc valloc
enum { N_ODD = 6 };
#else
enum { N_ODD = 7 };
#endif

#define SITE(name, expression) \
	static __attribute__((noinline)) void *site_##name(void *old, size_t n) \
	{ \
		(void)old; \
		void *p = (expression); \
		KEEP(p); \
		return p; \
	}

SITE(malloc_a, malloc(n))
SITE(malloc_b, malloc(n))
SITE(malloc_c, malloc(n))
SITE(calloc_a, calloc(1, n))
SITE(calloc_b, calloc(n, 1))
SITE(memalign, memalign(64, n))
SITE(aligned_alloc, aligned_alloc(256, n))
SITE(posix_memalign, ({ void *q = NULL; posix_memalign(&q, 32, n) ? NULL : q; }))
SITE(valloc, valloc(n))
SITE(pvalloc, pvalloc(n))
SITE(realloc_null, realloc(NULL, n))
SITE(reallocarray_null, reallocarray(NULL, n, 1))
SITE(temporary, malloc(n))
SITE(realloc_a, realloc(old, n))
SITE(realloc_b, realloc(old, n))
SITE(reallocarray, reallocarray(old, 1, n))

struct site {
	const char *name;
	void *(*fn)(void *old, size_t n);
};
#define S(name) {"site_" #name, site_##name}
static const struct site sites[] = {
	S(malloc_a), S(malloc_b), S(malloc_c), S(calloc_a), S(calloc_b), S(memalign), S(aligned_alloc),
	S(posix_memalign), S(valloc), S(pvalloc), S(realloc_null), S(reallocarray_null), S(temporary),
	S(realloc_a), S(realloc_b), S(reallocarray),
};
enum { TEMPORARY = 12, REALLOC = 13, N_SITES = sizeof sites / sizeof *sites };

/* The same function from several depths: several stacks of one site. */
static __attribute__((noinline)) void *from_depth(int depth, int site, void *old, size_t n)
{
	void *p = depth ? from_depth(depth - 1, site, old, n) : sites[site].fn(old, n);
	KEEP(p);
	return p;
}

static __attribute__((noinline)) void release(void *p)
{
	free(p);
	__asm__ volatile("" ::: "memory");
}

static size_t draw_size(struct thread *t)
{
	switch (draw(t, 40)) {
	case 0: return 0;
	case 1: return 60000 + draw(t, 12000); /* around the limit of a short record */
	case 2: return draw(t, 1 << 20);       /* mmap threshold and beyond */
	case 3: case 4: case 5: return draw(t, 8192);
	default: return draw(t, 300);
	}
}

static void note_peak(void)
{
	if (live_total > peak_total) {
		peak_total = live_total;
		memcpy(peak_of, live_of, sizeof peak_of);
	}
}

static void note_gone(struct thread *t, const struct slot *s)
{
	t->n_freed++;
	inherited_freed += s->generation != generation;
	if (ordered) {
		live_total -= s->size;
		live_of[s->site] -= s->size;
	}
}

static void note_given(struct thread *t, struct slot *s)
{
	s->generation = generation;
	t->count[s->site].alloc_blocks++;
	t->count[s->site].alloc_bytes += s->size;
	t->last = s->p;
	if (ordered) {
		live_total += s->size;
		live_of[s->site] += s->size;
		note_peak();
	}
}

static void do_alloc(struct thread *t, struct slot *s, int site, size_t n)
{
	s->p = from_depth((int)draw(t, 6), site, NULL, n);
	s->size = n;
	s->site = site;
	if (!s->p)
		t->n_failed++;
	else
		note_given(t, s);
}

static void do_free(struct thread *t, struct slot *s)
{
	if (t->last == s->p)
		t->count[s->site].temporary++;
	t->last = NULL;
	note_gone(t, s);
	release(s->p);
	s->p = NULL;
}

/* In ordered mode the old block counts until the new one is there. */
static void do_realloc(struct thread *t, struct slot *s)
{
	struct slot old = *s;
	size_t n = draw_size(t) + 1;

	t->last = NULL;
	s->site = REALLOC + (int)draw(t, 3);
	s->size = n;
	s->p = from_depth((int)draw(t, 6), s->site, s->p, n);
	note_gone(t, &old);
	note_given(t, s);
}

/* Calls that must leave no trace, or take a block away in an unusual way.  A
 * call that gave and took nothing is no event: the block given out before it
 * can still be a temporary one.  A realloc that fails took the old block and
 * gave it back. */
static void do_odd(struct thread *t, struct slot *s)
{
	volatile size_t huge = PTRDIFF_MAX, half = SIZE_MAX / 2;
	void *p = NULL;

	switch (draw(t, N_ODD)) {
	case 0: p = malloc(huge); break;
	case 1: p = calloc(half, 3); break;
	case 2: p = reallocarray(s->p, half, 3); break;
	case 3:
		t->last = NULL;
		p = realloc(s->p, huge);
		break;
	case 4: release(NULL); break;
	case 5: p = posix_memalign(&p, 3, 10) ? NULL : p; break;
	case 6:
		t->count[s->site].temporary += t->last == s->p;
		t->last = NULL;
		note_gone(t, s);
		p = realloc(s->p, 0);
		s->p = NULL;
		break;
	}
	if (p)
		abort();
}

static void operate(struct thread *t, struct slot *s)
{
	struct slot brief;

	if (!s->p) {
		do_alloc(t, s, (int)draw(t, TEMPORARY), draw_size(t));
		return;
	}
	switch (draw(t, 16)) {
	case 0: case 1: case 2: case 3: case 4: case 5:
		do_free(t, s);
		break;
	case 6: case 7: case 8: case 9: case 10:
		do_realloc(t, s);
		break;
	case 11:
		do_odd(t, s);
		break;
	default:
		do_alloc(t, &brief, TEMPORARY, draw(t, 500));
		do_free(t, &brief);
	}
}

/* The fences keep the clock of an operation inside its turn. */
static void one(struct thread *t)
{
	struct slot *s = &slots[draw(t, N_SLOTS)];

	if (ordered) {
		pthread_mutex_lock(&turn);
		__builtin_ia32_lfence();
		operate(t, s);
		__builtin_ia32_lfence();
		pthread_mutex_unlock(&turn);
	} else if (!atomic_exchange(&s->busy, 1)) {
		operate(t, s);
		atomic_store(&s->busy, 0);
	}
}

static void *work(void *arg)
{
	struct thread *t = arg;

	pthread_barrier_wait(&start);
	for (unsigned long i = 0; i < n_operations; i++)
		one(t);
	pthread_barrier_wait(&end);
	return NULL;
}

static char text[16384];
static size_t used;

static void put(const char *format, const char *name, uint64_t value)
{
	used += (size_t)snprintf(text + used, sizeof text - used, format, name, value);
}

static struct count sum_of(int site, int n_threads)
{
	struct count c = {0};

	for (int i = 0; i < n_threads; i++) {
		c.alloc_blocks += threads[i].count[site].alloc_blocks;
		c.alloc_bytes += threads[i].count[site].alloc_bytes;
		c.temporary += threads[i].count[site].temporary;
	}
	for (int i = 0; i < N_SLOTS; i++)
		if (slots[i].p && slots[i].site == site && slots[i].generation == generation) {
			c.live_blocks++;
			c.live_bytes += slots[i].size;
		}
	return c;
}

static void print_truth(int n_threads)
{
	uint64_t freed = 0, failed = 0;

	for (int i = 0; i < n_threads; i++) {
		freed += threads[i].n_freed;
		failed += threads[i].n_failed;
	}
	put("{\"%s\": %lu, \"sites\": {", "free_blocks", freed);
	for (int i = 0; i < N_SITES; i++) {
		struct count c = sum_of(i, n_threads);
		put(i ? ",\n\"%s\": {\"alloc_blocks\": %lu" : "\n\"%s\": {\"alloc_blocks\": %lu", sites[i].name, c.alloc_blocks);
		put(", \"%s\": %lu", "alloc_bytes", c.alloc_bytes);
		put(", \"%s\": %lu", "live_blocks", c.live_blocks);
		put(", \"%s\": %lu", "live_bytes", c.live_bytes);
		put(", \"%s\": %lu", "peak_bytes", peak_of[i]);
		put(", \"%s\": %lu}", "temporary_blocks", c.temporary);
	}
	put("}, \"%s\": %lu", "peak_bytes", peak_total);
	put(", \"%s\": %lu", "inherited_blocks", inherited_blocks);
	put(", \"%s\": %lu", "inherited_bytes", inherited_bytes);
	put(", \"%s\": %lu}\n", "inherited_freed", inherited_freed);
	if (failed || write(1, text, used) != (ssize_t)used)
		_exit(3);
}

/* Half of the operations before the fork, half after it on each side. */
static void work_forked(struct thread *t)
{
	work(t);
	pid_t pid = fork();
	if (pid == 0) {
		generation = 1;
		memset(t->count, 0, sizeof t->count);
		t->n_freed = 0;
		t->last = NULL;
		t->random ^= 0x5555555555;
		for (int i = 0; i < N_SLOTS; i++)
			if (slots[i].p) {
				inherited_blocks++;
				inherited_bytes += slots[i].size;
			}
	}
	work(t);
	if (pid && waitpid(pid, NULL, 0) != pid)
		_exit(3);
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	int n_threads = atoi(argv[2]);
	if (n_threads < 1 || n_threads > MAX_THREADS)
		return 2;
	n_operations = strtoul(argv[3], NULL, 10);
	ordered = !strcmp(argv[4], "ordered");
	forked = !strcmp(argv[4], "forked");
	pthread_barrier_init(&start, NULL, (unsigned)n_threads);
	pthread_barrier_init(&end, NULL, (unsigned)n_threads);
	for (int i = 0; i < n_threads; i++) {
		threads[i].random = (strtoull(argv[1], NULL, 10) + 1) * 0x9e3779b97f4a7c15u ^ (uint64_t)(i + 1) << 40;
		if (i)
			pthread_create(&threads[i].id, NULL, work, &threads[i]);
	}
	if (forked)
		work_forked(&threads[0]);
	else
		work(&threads[0]);
	for (int i = 1; i < n_threads; i++)
		pthread_join(threads[i].id, NULL);
	print_truth(n_threads);
	return 0;
}
