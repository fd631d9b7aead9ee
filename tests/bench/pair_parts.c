/*
 * pair_parts.c - see pair_parts.h.
 *
 * The wrappers themselves are linked in (wrap/heap.c), over glibc's allocator
 * by its other names, with a thread whose ring is one block that begins anew
 * when it is full.  So nothing is measured but the target's own path: no
 * collector on the other processor, no page that is written for the first time.
 */
#include "pair_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/doorbell.h"
#include "base/enter.h"
#include "base/next.h"
#include "base/sys.h"
#include "capture/emit_hot.h"
#include "capture/sample.h"
#include "capture/sample_filter.h"
#include "wrap/module.h"
#include "wrap/refused.h"
#include "wrap/space.h"

#define NOINLINE __attribute__((noinline))
#define N 100000
#define MAX_ROUNDS 99

extern void *__libc_malloc(size_t);
extern void __libc_free(void *);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

/* ---- what the wrappers take from the rest of the library ---- */

#define CONTEXT 1u /* of its own: no list of modules was told */

static _Atomic uint32_t state_word;
static struct stack_thread *stacks;
static const struct mms_session *session;
static struct thread_state thread;
static uintptr_t block;

struct next next = {
	.malloc = __libc_malloc, .free = __libc_free, .calloc = __libc_calloc, .realloc = __libc_realloc,
};
const _Atomic uint32_t *capture_word = &state_word;
_Atomic uint32_t preload_state = PRELOAD_READY;
__thread uint32_t guard_depth __attribute__((tls_model("initial-exec")));
__thread struct thread_state *thread_current __attribute__((tls_model("initial-exec"))) = &thread;
__thread struct stack_thread *thread_stack __attribute__((tls_model("initial-exec")));
__thread struct sample_count sample_count __attribute__((tls_model("initial-exec")));
struct identity identity;
struct module_watch module_watch;
unsigned char next_early_arena[NEXT_EARLY_BYTES];
bool emit_clock_is_tsc = true;
bool preload_start(void) { return false; }
bool doorbell_is_silent(void) { return false; }
struct mms_process *capture_process(void) { return NULL; }
void capture_lost(void) { }
bool module_check(void) { abort(); }
void module_loader_called(bool is_free) { abort(); }
void refused_tell(const struct mms_heap_fail *fail, uint32_t stack) { }
void space_going(enum mms_gone_kind kind, uintptr_t at, size_t length) { }
uint64_t emit_stamp_slow(void) { abort(); }
void emit_ext(enum mms_op op, uint64_t address, uint64_t size, uint32_t stack) { }
void emit_long(enum mms_long type, uint32_t stack, const void *payload, size_t payload_bytes,
	const void *s1, size_t n1, const void *s2, size_t n2)
{
}
bool sample_due(size_t size) { return false; }
bool sample_keep(const void *p) { return true; }
uint32_t sample_dying(const void *p) { return 0; }

uint32_t capture_stack(void *const *fp)
{
	return stack_capture(stacks, session, CONTEXT, fp);
}

void emit_again(enum mms_op op, uint64_t address, uint64_t size, uint32_t stack)
{
	thread.cursor = block + MMS_BLOCK_FIRST;
	emit_heap_hot(op, (void *)(uintptr_t)address, size, stack);
}

void emit_heap(enum mms_op op, const void *ptr, size_t size, uint32_t stack)
{
	emit_heap_hot(op, ptr, size, stack);
}

/* ---- stages, each with what the one before has ---- */

enum stage { ALONE, STAMPS, RECORDS, STACK, WRAPPERS, SAMPLED, N_STAGES };

static volatile uint64_t sink;

static NOINLINE void *stage_malloc(enum stage stage, size_t size)
{
	void *const *fp = __builtin_frame_address(0);
	void *p = next.malloc(size);

	if (stage == STAMPS)
		sink = mms_rdtsc();
	else if (stage == RECORDS)
		emit_heap_hot(MMS_OP_MALLOC, p, size, 1);
	else if (stage == STACK)
		emit_heap_hot(MMS_OP_MALLOC, p, size, capture_stack_hot(fp));
	return p;
}

static NOINLINE void stage_free(enum stage stage, void *p)
{
	if (stage == STAMPS)
		sink = mms_rdtsc();
	else if (stage >= RECORDS)
		emit_heap_hot(MMS_OP_FREE, p, 0, 0);
	next.free(p);
}

static NOINLINE void pairs(enum stage stage)
{
	for (int i = 0; i < N; i++) {
		size_t size = (size_t)(i & 63) + 16;
		void *p = stage < WRAPPERS ? stage_malloc(stage, size) : malloc(size);
		__asm__ volatile("" : "+r"(p) : : "memory");
		if (stage < WRAPPERS)
			stage_free(stage, p);
		else
			free(p);
	}
}

/* ns a pair */
static NOINLINE double timed(int stage)
{
	struct timespec a, b;

	static struct filter_set *sampled;
	if (!sampled)
		sampled = atomic_load(&filter_current);
	sample_count.left = stage == SAMPLED ? INT64_MAX : SAMPLE_ASK;
	atomic_store(&filter_current, stage == SAMPLED ? sampled : &filter_all);
	state_word = stage == SAMPLED ? MMS_RECORDING_SAMPLE : MMS_RECORDING_EXACT;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	pairs((enum stage)stage);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	state_word = MMS_RECORDING_OFF;
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / N;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct figure {
	double least, median;
};

static void measure(bool keep, int depth, int rounds, struct figure *ret)
{
	double (*at_depth)(int, double (*)(int), int) = keep ? pair_at_depth_keep : pair_at_depth_omit;
	static double all[N_STAGES][MAX_ROUNDS];

	for (int r = -1; r < rounds; r++) /* the first one warms up */
		for (int s = 0; s < N_STAGES; s++)
			all[s][r < 0 ? 0 : r] = at_depth(depth, timed, s);
	for (int s = 0; s < N_STAGES; s++) {
		qsort(all[s], (size_t)rounds, sizeof(double), by_value);
		ret[s] = (struct figure){ all[s][0], all[s][rounds / 2] };
	}
}

static void show(const char *what, struct figure f[3][N_STAGES], int from, int to)
{
	printf("%-44s", what);
	for (int i = 0; i < 3; i++)
		printf("  %5.1f %5.1f", f[i][to].least - (from < 0 ? 0 : f[i][from].least),
			f[i][to].median - (from < 0 ? 0 : f[i][from].median));
	putchar('\n');
}

void pair_parts(struct stack_thread *t, const struct mms_session *s, const int depths[3], int rounds)
{
	struct figure f[2][3][N_STAGES];

	long at = mms_mmap(NULL, 2 * MMS_CELL_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mms_is_error(at))
		abort();
	block = ((uintptr_t)at + MMS_CELL_SIZE - 1) & ~(uintptr_t)(MMS_CELL_SIZE - 1);
	((struct mms_block *)block)->gen = 1;
	thread_stack = stacks = t;
	session = s;
	canonical_start(CONTEXT);
	sample_filter_start();
	for (int keep = 0; keep < 2; keep++)
		for (int i = 0; i < 3; i++) /* 10: from main to here, and what stands there */
			measure(keep, depths[i] > 10 ? depths[i] - 10 : 0, rounds, f[keep][i]);
	printf("%-44s", "a pair of malloc and free, ns: least, median");
	for (int i = 0; i < 3; i++)
		printf("    depth %3d", depths[i]);
	putchar('\n');
	show("malloc and free alone", f[0], -1, ALONE);
	show("+ two stamps", f[0], ALONE, STAMPS);
	show("+ two records", f[0], STAMPS, RECORDS);
	show("+ the stack, the same again", f[0], RECORDS, STACK);
	show("+ the wrappers", f[0], STACK, WRAPPERS);
	show("= added by exact recording", f[0], ALONE, WRAPPERS);
	show("  the same where frame pointers are kept", f[1], ALONE, WRAPPERS);
	show("added by sampling, where none is due", f[0], ALONE, SAMPLED);
}
