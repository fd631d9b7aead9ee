/*
 * unwind_pairs.c - what a recorded pair is made of, and its stack, in ns.
 *
 *   unwind_pairs [ROUNDS]
 *
 * First a pair in the target's own path, part by part (pair_parts.c).  Then
 * the stack alone, one row a depth: the plain cached walk, the walk and its look-up joined to
 * the previous stack (what a recorded malloc pays), the walk without any
 * cache.  "same": the same stack again and again; "leaves": the three
 * innermost frames change each time.  Medians of ROUNDS (default 9).
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/sys.h"
#include "capture/stack_same.h"
#include "capture/unwind.h"
#include "capture/unwind_full.h"
#include "pair_parts.h"

#define NOINLINE __attribute__((noinline))
#define N 20000

enum what { NOTHING, PLAIN, JOINED, FULL, N_WHAT };

static struct mms_session session;
static struct stack_thread *state;
static struct unwind_thread *plain_state;
static unwind_frame frames[MMS_STACK_MAX_DEPTH];
static volatile unsigned sink;
static int what;

static void *map(size_t bytes)
{
	long at = mms_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mms_is_error(at))
		abort();
	return (void *)at;
}

static void make_session(void)
{
	uintptr_t at = (uintptr_t)map(9 * MMS_CELL_SIZE);

	session.base = (uint8_t *)((at + MMS_CELL_SIZE - 1) & ~(uintptr_t)(MMS_CELL_SIZE - 1));
	session.n_cells_mapped = 8;
	for (uint16_t i = 0; i < 7; i++)
		session.cell0->node_cell[i] = (uint16_t)(1 + i);
	atomic_store(&session.header->next_node, 1);
	atomic_store(&session.header->n_node_cells, 7);
}

/* Stands for the wrapper. */
static NOINLINE void wrapper(void)
{
	void *const *fp = __builtin_frame_address(0);
	struct reach reach;

	switch (what) {
	case PLAIN:
		sink += (unsigned)unwind_walk(plain_state, fp, frames, MMS_STACK_MAX_DEPTH);
		break;
	case JOINED:
		sink += stack_find(state, &session, 1, fp);
		break;
	case FULL:
		reach_init(&reach, (uintptr_t)(fp + 2), 0, ~(uintptr_t)0);
		sink += (unsigned)full_walk(&reach, fp, frames, MMS_STACK_MAX_DEPTH);
		break;
	default:
		break;
	}
}

static NOINLINE void leaf_1(void) { wrapper(); sink++; }
static NOINLINE void leaf_2(int i) { if (i & 1) leaf_1(); else wrapper(); sink++; }
static NOINLINE void leaf_3(int i) { if (i & 2) leaf_2(i); else leaf_1(); sink++; }

static NOINLINE double loop(int depth, bool leaves)
{
	struct timespec a, b;

	if (depth > 0) {
		double r = loop(depth - 1, leaves);
		sink++;
		return r;
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (int i = 0; i < N; i++) {
		if (leaves)
			leaf_3(i);
		else
			wrapper();
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / N;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double measure(int depth, int which, bool leaves, int rounds)
{
	double all[99];

	what = which;
	loop(depth, leaves);
	for (int i = 0; i < rounds; i++)
		all[i] = loop(depth, leaves);
	qsort(all, (size_t)rounds, sizeof(all[0]), by_value);
	return all[rounds / 2];
}

int main(int argc, char **argv)
{
	static const int depths[] = { 8, 32, 100 };
	int rounds = argc > 1 ? atoi(argv[1]) : 9;

	if (rounds < 1 || rounds > 99)
		return 2;
	make_session();
	unwind_init(MMS_ENGINE_OWN, 4096);
	state = stack_thread_init(map(stack_thread_bytes()), 0, 0);
	plain_state = map(unwind_thread_bytes());
	unwind_thread_init(plain_state, 0, 0);
	pair_parts(state, &session, depths, rounds);
	printf("\n%-8s %6s %8s %8s %8s\n", "stack", "depth", "plain", "joined", "no cache");
	for (int leaves = 0; leaves < 2; leaves++)
		for (int i = 0; i < 3; i++) {
			int depth = depths[i] - 4 - (leaves ? 2 : 0); /* main and what called it */
			double none = measure(depth, NOTHING, leaves, rounds);
			printf("%-8s %6d %8.1f %8.1f %8.1f\n", leaves ? "leaves" : "same", depths[i],
				measure(depth, PLAIN, leaves, rounds) - none,
				measure(depth, JOINED, leaves, rounds) - none,
				measure(depth, FULL, leaves, rounds) - none);
		}
	return 0;
}
