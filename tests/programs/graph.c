/*
 * graph.c - a heap of trees, lists and rings whose verdicts are known.
 *
 *	graph BLOCKS THREADS MOVERS
 *
 * Four functions allocate, each named after what becomes of its blocks.  Some
 * structures hang from roots of every kind (data, bss, a mapping, a heap
 * block, TLS and stack of a thread), some from an address inside their first
 * block, some from nothing.  MOVERS threads move blocks of their own between
 * places, allocate and free all the time; what they have is never lost.
 * Prints "FUNCTION VERDICT BLOCKS BYTES" and "ready", and waits for the end
 * of its standard input; then the movers stand still and it ends.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define ROOTS 65536u /* of each kind in memory of the process */
#define HELD 64u     /* of each kind in that of a thread */
#define MAX_THREADS 8
#define MOVED 2000u

struct node {
	struct node *next, *other;
};

enum fate { REACHABLE, POSSIBLE, DEFINITE, INDIRECT, N_FATES };
static const char *const fate_name[] = { "reachable", "possible", "definite", "indirect" };

struct sums {
	long blocks[N_FATES], bytes[N_FATES];
	long rings, ring_blocks;
};

struct builder {
	uint64_t state;
	uint64_t number;
	struct node **held; /* on the thread's stack */
	struct sums sums;
};

static struct node *in_data[ROOTS] = { (struct node *)1 };
static struct node *in_bss[ROOTS];
static struct node **in_mapping, **in_block;
static __thread struct node *in_tls[HELD];
static atomic_int n_ready, stop, n_still;
static long n_blocks;
static int n_threads;

static uint64_t draw(struct builder *b, uint64_t n)
{
	b->state ^= b->state << 13;
	b->state ^= b->state >> 7;
	b->state ^= b->state << 17;
	return b->state % n;
}

/* No jump to malloc: it would take the frame away. */
static void *stay(void *p)
{
	__asm__ volatile("" : "+r"(p));
	return p;
}

static NOINLINE void *site_reachable(size_t n) { return stay(calloc(1, n)); }
static NOINLINE void *site_possible(size_t n) { return stay(calloc(1, n)); }
static NOINLINE void *site_definite(size_t n) { return stay(calloc(1, n)); }
static NOINLINE void *site_indirect(size_t n) { return stay(calloc(1, n)); }
static NOINLINE void *site_ring(void) { return stay(calloc(1, 48)); }
static NOINLINE void *site_moved(size_t n) { return stay(calloc(1, n)); }

static struct node *node(struct builder *b, enum fate fate)
{
	static void *(*const site[])(size_t) = { site_reachable, site_possible, site_definite, site_indirect };
	size_t size = 32 + draw(b, 97);

	b->sums.blocks[fate]++;
	b->sums.bytes[fate] += (long)size;
	return site[fate](size);
}

static struct node *inside(struct node *n)
{
	return (struct node *)((char *)n + 24);
}

/* A list, or a tree of which each second link leads to a list. */
static void grow(struct builder *b, struct node *at, int n, enum fate fate)
{
	struct node *top = at;

	for (; n > 0; n--) {
		struct node *new = node(b, fate);

		if (draw(b, 4) == 0 && !top->other) {
			top->other = new;
			top = new;
			at = new;
			continue;
		}
		at->next = new;
		at = new;
	}
}

/* Hung from a root by an address in its first block.  What was there hangs
 * beside it. */
static void hang(struct builder *b, struct node *shown)
{
	uint64_t kind = draw(b, 6), at = draw(b, ROOTS / MAX_THREADS) * MAX_THREADS + b->number;
	struct node **place = kind == 0 ? &in_data[at] : kind == 1 ? &in_bss[at] : kind == 2 ? &in_mapping[at]
		: kind == 3 ? &in_block[at] : kind == 4 ? &in_tls[at % HELD] : &b->held[at % HELD];

	if (*place) {
		struct node *holder = node(b, REACHABLE);

		holder->next = *place;
		holder->other = shown;
		shown = holder;
	}
	*place = shown;
}

static void ring(struct builder *b, int n)
{
	struct node *last = site_ring(), *at = last;

	b->sums.rings++;
	b->sums.ring_blocks += n;
	for (int i = 1; i < n; i++) {
		struct node *new = site_ring();

		new->next = at;
		new->other = i % 3 ? NULL : inside(last);
		at = new;
	}
	last->next = at;
}

static NOINLINE int structure(struct builder *b)
{
	int n = 1 + (int)draw(b, 40);
	uint64_t what = draw(b, 10);
	struct node *first;

	if (what == 0) {
		ring(b, n);
		return n;
	}
	enum fate fate = what < 3 ? DEFINITE : what == 3 ? POSSIBLE : REACHABLE;
	first = node(b, fate);
	grow(b, first, n - 1, fate == DEFINITE ? INDIRECT : fate);
	if (fate == DEFINITE && draw(b, 2)) { /* lost blocks that lead inside of another */
		struct node *more = node(b, INDIRECT);

		more->other = first->next ? inside(first->next) : NULL;
		more->next = first->other;
		first->other = more;
	}
	if (fate != DEFINITE)
		hang(b, fate == POSSIBLE ? inside(first) : first);
	return n;
}

/* What was left of pointers in dead stack and in registers. */
static NOINLINE void scrub(void)
{
	volatile char room[16384];

	memset((char *)room, 0, sizeof(room));
}

static NOINLINE void build(struct builder *b)
{
	for (long made = 0; made < n_blocks / n_threads;)
		made += structure(b);
}

static struct sums total;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *builder(void *arg)
{
	struct node *held[HELD] = { NULL };
	struct builder b = { .state = 88172645463325252ull + (uintptr_t)arg * 7919, .number = (uintptr_t)arg,
		.held = held };

	build(&b);
	pthread_mutex_lock(&lock);
	for (int i = 0; i < N_FATES; i++) {
		total.blocks[i] += b.sums.blocks[i];
		total.bytes[i] += b.sums.bytes[i];
	}
	total.rings += b.sums.rings;
	total.ring_blocks += b.sums.ring_blocks;
	pthread_mutex_unlock(&lock);
	scrub();
	atomic_fetch_add(&n_ready, 1);
	for (;;) {
		pause();
		__asm__ volatile("" : : "r"(held) : "memory");
	}
	return NULL;
}

/* Blocks change places; some are freed and allocated anew. */
static void *mover(void *arg)
{
	struct node *volatile *place = site_moved(MOVED * sizeof(*place));
	struct builder b = { .state = 362436069ull + (uintptr_t)arg };

	for (uint32_t i = 0; i < MOVED; i++)
		place[i] = site_moved(32 + draw(&b, 200));
	atomic_fetch_add(&n_ready, 1);
	while (!stop) {
		uint64_t i = draw(&b, MOVED), k = draw(&b, MOVED);
		struct node *moved = place[i];

		place[i] = place[k];
		place[k] = moved;
		if (i % 2) /* the rest grows old */
			continue;
		i = draw(&b, MOVED / 4);
		moved = place[i];
		place[i] = NULL;
		free(moved);
		place[i] = site_moved(32 + draw(&b, 200));
	}
	atomic_fetch_add(&n_still, 1);
	for (;;) {
		pause();
		__asm__ volatile("" : : "r"(place) : "memory");
	}
	return NULL;
}

static void say(void)
{
	for (int i = 0; i < N_FATES; i++)
		printf("site_%s %s %ld %ld\n", fate_name[i], fate_name[i], total.blocks[i], total.bytes[i]);
	printf("site_ring definite %ld %ld\n", total.rings, 48 * total.rings);
	printf("site_ring indirect %ld %ld\n", total.ring_blocks - total.rings, 48 * (total.ring_blocks - total.rings));
	printf("ready\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static char out[4096];
	pthread_t t;
	int n_movers;

	if (argc != 4)
		return 2;
	setvbuf(stdout, out, _IOFBF, sizeof(out));
	n_blocks = atol(argv[1]);
	n_threads = atoi(argv[2]);
	n_movers = atoi(argv[3]);
	in_data[0] = NULL;
	in_mapping = mmap(NULL, ROOTS * sizeof(*in_mapping), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	in_block = calloc(ROOTS, sizeof(*in_block));
	for (uintptr_t i = 0; i < (uintptr_t)(n_threads + n_movers); i++)
		if (n_threads > MAX_THREADS || pthread_create(&t, NULL, i < (uintptr_t)n_threads ? builder : mover, (void *)i))
			return 2;
	while (n_ready < n_threads + n_movers)
		usleep(1000);
	say();
	while (getchar() != EOF)
		;
	stop = 1;
	while (n_still < n_movers)
		usleep(1000);
	return 0;
}
