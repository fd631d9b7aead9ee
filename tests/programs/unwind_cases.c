/*
 * unwind_cases.c - stacks that have misled unwinders.  Run under the oracle.
 *
 *   unwind_cases CASE [PLUGIN_A PLUGIN_B]
 *
 * Each case allocates in a shape that is said at it; the oracle compares every
 * stack.  Compiled three ways (BUILD: omit, -O2 -fomit-frame-pointer; keep, -O2
 * -fno-omit-frame-pointer; plain, -O0).  Status 0 when the case ran to its end.
 * Which adversary is which test, unwind_CASE_BUILD:
 *
 *   alloca, VLA                       alloca, vla
 *   recursion, deeper than is kept    recursion
 *   recursion with alloca             alloca_recursion
 *   stale return address in a buffer  stale
 *   C++ exceptions                    throw           (unwind_throw.cc)
 *   longjmp; out of a handler         longjmp; siglongjmp
 *   swapcontext coroutines            coroutine
 *   stack unmapped, mapped smaller    coro_unmap
 *   stack-copying coroutines          coro_copy
 *   handler of raise()                raise
 *   10 kHz timer, same stack          timer
 *   10 kHz timer, sigaltstack         timer_altstack, timer_altstack_above
 *   160 threads that start and end    threads
 *   noreturn call as last instruction noreturn
 *   tail calls                        tail
 *   DRAP (realigned stack)            drap
 *   frames of 300 KB                  wide
 *   no unwind data, chain of rbp      nocfi_rbp       (unwind_bare.c)
 *   no unwind data, no chain          nocfi_no_rbp, nocfi_spoilt
 *   the same in a thread, a coroutine nocfi_thread, nocfi_coroutine
 *   another module, same address      dlclose         (against libgcc)
 *   the same in children of fork      siblings        (against libgcc)
 */
#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "unwind_cases.h"
#include "unwind_oracle.h"

#pragma weak mms_oracle_place
#pragma weak mms_oracle_left

volatile unsigned sink;

static NOINLINE void use(void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

NOINLINE void allocate(void)
{
	free(malloc(24));
	sink++;
}

/* ---- alloca, recursion ---- */

static NOINLINE void with_alloca(size_t n)
{
	use(alloca(n));
	allocate();
	sink++;
}

static NOINLINE void recurse_alloca(int depth, unsigned seed)
{
	use(alloca(seed % 200 + 1));
	if (depth)
		recurse_alloca(depth - 1, seed * 1103515245u + 12345u);
	else
		allocate();
	sink++;
}

static void case_alloca(void)
{
	for (unsigned i = 0; i < 3000; i++)
		with_alloca(i % 997 + 1);
}

static NOINLINE void with_vla(size_t n)
{
	char a[n], b[n * 3 % 500 + 1];

	use(a);
	allocate();
	use(b);
	sink++;
}

static void case_vla(void)
{
	for (unsigned i = 0; i < 3000; i++)
		with_vla(i % 997 + 1);
}

static void case_alloca_recursion(void)
{
	for (unsigned i = 0; i < 3000; i++)
		recurse_alloca((int)(i % 40), i * 7919);
}

static NOINLINE void recurse(int depth)
{
	if (depth)
		recurse(depth - 1);
	if (depth < 60 || depth % 64 == 0)
		allocate();
	sink++;
}

/* Deeper than a remembered stack, and deeper than a stack can be recorded. */
static void case_recursion(void)
{
	recurse(100);
	recurse(5000);
	recurse(8150);
	for (int i = 0; i < 200; i++)
		recurse(i % 50);
}

/* ---- a dead frame's return address inside a live buffer ---- */

static NOINLINE void inner_alloca(size_t n)
{
	use(alloca(n));
	allocate();
	sink++;
}

static NOINLINE void short_way(size_t n)
{
	inner_alloca(n + 1024);
	sink++;
}

static NOINLINE void long_way(size_t n)
{
	char buffer[1024]; /* stays as it is: the dead frame of short_way lies in it */

	use(buffer);
	inner_alloca(n);
	use(buffer);
}

static void case_stale(void)
{
	static void (*const way[2])(size_t) = { short_way, long_way };

	for (unsigned round = 0; round < 60; round++)
		for (size_t n = 16; n < 160; n += 8)
			way[(round + n / 8) % 2](n + (round & 3) * 8);
	for (size_t delta = 0; delta < 256; delta += 8)
		for (unsigned i = 0; i < 40; i++)
			way[i % 2](64 + (i % 2 ? delta : 128));
}

/* ---- coroutines ---- */

#define CORO_STACK 65536u
#define N_CORO 8

static ucontext_t coro_main, coro[N_CORO];

static NOINLINE void coro_work(int depth)
{
	if (depth)
		coro_work(depth - 1);
	allocate();
	sink++;
}

static void coro_body(int self)
{
	for (int i = 0;; i++) {
		coro_work((i + self) % 6);
		swapcontext(&coro[self], &coro_main);
	}
}

static void case_coroutine(void)
{
	for (int i = 0; i < N_CORO; i++) {
		getcontext(&coro[i]);
		coro[i].uc_stack.ss_sp = malloc(CORO_STACK);
		coro[i].uc_stack.ss_size = CORO_STACK;
		coro[i].uc_link = &coro_main;
		makecontext(&coro[i], (void (*)(void))coro_body, 1, i);
	}
	for (int i = 0; i < 8000; i++)
		swapcontext(&coro_main, &coro[(i * 5 + i / 7) % N_CORO]);
}

static void once_body(int depth)
{
	recurse(depth);
}

/* A coroutine's stack goes, and a smaller one comes to the same place. */
static void case_coro_unmap(void)
{
	const size_t big = 512 * 1024, small = 16384;
	char *area = mmap(NULL, big, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (volatile int i = 0; i < 300; i++) {
		size_t size = i % 2 ? small : big;
		/* The small one lies lowest: its sp values are those of the big one's depth. */
		mmap(area, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		getcontext(&coro[0]);
		coro[0].uc_stack.ss_sp = area;
		coro[0].uc_stack.ss_size = size;
		coro[0].uc_link = &coro_main;
		/* Deep enough in the big one to reach where the small one lives. */
		int depth = size == big ? (int)((big - small / 2) / 64) : 20;
		makecontext(&coro[0], (void (*)(void))once_body, 1, i < 4 ? depth : depth % 600);
		swapcontext(&coro_main, &coro[0]);
		mmap(area, big, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	}
	munmap(area, big);
}

/* Coroutines that copy their stack out and in: the same addresses, other frames. */
static char *shared_stack;
static struct {
	char *copy;
	size_t n;
} saved[4];

static void swap_in(int self)
{
	char *top = shared_stack + CORO_STACK;
	if (saved[self].n)
		memcpy(top - saved[self].n, saved[self].copy, saved[self].n);
	swapcontext(&coro_main, &coro[self]);
	saved[self].n = CORO_STACK;
	memcpy(saved[self].copy, shared_stack, CORO_STACK);
}

static NOINLINE void copy_a(int n) { coro_work(n); sink++; }
static NOINLINE void copy_b(int n) { use(alloca(48)); coro_work(n); sink++; }

static void copy_body(int self)
{
	for (int i = 0;; i++) {
		if (self & 1)
			copy_a(i % 5);
		else
			copy_b(i % 5);
		swapcontext(&coro[self], &coro_main);
	}
}

static void case_coro_copy(void)
{
	shared_stack = malloc(CORO_STACK);
	for (int i = 0; i < 4; i++) {
		saved[i].copy = malloc(CORO_STACK);
		getcontext(&coro[i]);
		coro[i].uc_stack.ss_sp = shared_stack;
		coro[i].uc_stack.ss_size = CORO_STACK;
		coro[i].uc_link = &coro_main;
		makecontext(&coro[i], (void (*)(void))copy_body, 1, i);
	}
	for (int i = 0; i < 3000; i++)
		swap_in((i * 3 + i / 5) % 4);
}

/* ---- signals ---- */

static void on_signal(int sig)
{
	(void)sig;
	int saved_errno = errno;
	allocate();
	errno = saved_errno;
}

static void case_raise(void)
{
	signal(SIGUSR1, on_signal);
	for (int i = 0; i < 2000; i++) {
		raise(SIGUSR1);
		recurse(i % 7);
	}
}

static int compare_ints(const void *a, const void *b)
{
	if (++sink % 8 == 0)
		allocate();
	return *(const int *)a - *(const int *)b;
}

/* Half a second, or what UNWIND_SECONDS says. */
static void work(void)
{
	const char *said = getenv("UNWIND_SECONDS");
	double seconds = said ? atof(said) : 0.5;
	struct timespec t0, t;
	int numbers[64];
	char text[64];

	clock_gettime(CLOCK_MONOTONIC, &t0);
	do {
		for (int i = 0; i < 64; i++)
			numbers[i] = rand() % 1000;
		qsort(numbers, 64, sizeof(int), compare_ints);
		snprintf(text, sizeof(text), "%d %g", numbers[0], numbers[1] * 0.5);
		free(strdup(text));
		recurse(numbers[2] % 20);
		recurse_alloca(numbers[3] % 10, (unsigned)numbers[4]);
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while ((double)(t.tv_sec - t0.tv_sec) + (double)(t.tv_nsec - t0.tv_nsec) * 1e-9 < seconds);
}

static void ten_khz(void (*handler)(int), int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags | SA_RESTART };
	struct itimerval every = { { 0, 100 }, { 0, 100 } };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

static void stop_timer(void)
{
	struct itimerval off = { { 0, 0 }, { 0, 0 } };

	setitimer(ITIMER_REAL, &off, NULL);
	signal(SIGALRM, SIG_IGN);
}

static void case_timer(void)
{
	ten_khz(on_signal, 0);
	work();
	stop_timer();
}

static void timer_on(void *stack, size_t bytes)
{
	stack_t ss = { .ss_sp = stack, .ss_size = bytes };
	sigaltstack(&ss, NULL);
	ten_khz(on_signal, SA_ONSTACK);
	work();
	stop_timer();
	ss.ss_flags = SS_DISABLE;
	sigaltstack(&ss, NULL);
}

static void case_timer_altstack(void)
{
	timer_on(malloc(65536), 65536);
}

/* The handler's stack lies above the frames that it interrupts. */
static void case_timer_altstack_above(void)
{
	char stack[65536];

	timer_on(stack, sizeof(stack));
}

static sigjmp_buf away;
static volatile sig_atomic_t may_jump;

static void jump_away(int sig)
{
	(void)sig;
	allocate();
	int place = mms_oracle_place ? mms_oracle_place() : 0;
	if (may_jump && (place == 0 || place == 2)) {
		may_jump = 0;
		siglongjmp(away, 1);
	}
}

/* Handlers that never return, out of the middle of a walk too. */
static void case_siglongjmp(void)
{
	ten_khz(jump_away, 0);
	for (int i = 0; i < 4000; i++) {
		if (sigsetjmp(away, 1)) {
			if (mms_oracle_left)
				mms_oracle_left();
			allocate();
		}
		may_jump = 1;
		recurse_alloca(i % 30, (unsigned)i);
		recurse(i % 30);
		may_jump = 0;
	}
	stop_timer();
}

/* ---- threads ---- */

static void *thread_body(void *arg)
{
	for (int i = 0; i < 60; i++)
		recurse((int)(uintptr_t)arg % 9 + i % 5);
	return NULL;
}

static void case_threads(void)
{
	for (int round = 0; round < 20; round++) {
		pthread_t t[8];
		for (uintptr_t i = 0; i < 8; i++)
			pthread_create(&t[i], NULL, thread_body, (void *)(i + (uintptr_t)round));
		for (int i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
	}
}

/* ---- calls that are odd ---- */

static jmp_buf back;

static NOINLINE __attribute__((noreturn)) void never_returns(void)
{
	allocate();
	longjmp(back, 1);
}

/* The call is the last instruction: its return address is another function's. */
static NOINLINE void ends_in_call(void)
{
	never_returns();
}

static void case_noreturn(void)
{
	for (volatile int i = 0; i < 3000; i++)
		if (!setjmp(back))
			ends_in_call();
}

static NOINLINE void jump_out(int depth)
{
	allocate();
	if (depth)
		jump_out(depth - 1);
	else if (sink + 1)
		longjmp(back, 1);
	sink++;
}

static void case_longjmp(void)
{
	for (volatile int i = 0; i < 4000; i++)
		if (!setjmp(back))
			jump_out(i % 12);
}

static NOINLINE void tail_last(int n)
{
	for (int i = 0; i <= n % 3; i++)
		allocate();
}
static NOINLINE void tail_middle(int n) { sink++; tail_last(n + 1); }
static NOINLINE void tail_first(int n) { sink++; tail_middle(n + 1); }

static void case_tail(void)
{
	for (int i = 0; i < 4000; i++) {
		tail_first(i);
		tail_middle(i);
	}
}

static NOINLINE __attribute__((force_align_arg_pointer)) void realigned(size_t n, int depth)
{
	char aligned[64] __attribute__((aligned(64)));

	use(aligned);
	use(alloca(n));
	allocate();
	if (depth)
		realigned(n + 8, depth - 1);
	allocate();
	use(aligned);
}

static void case_drap(void)
{
	for (size_t i = 0; i < 2000; i++)
		realigned(i % 300 + 1, (int)(i % 5));
}

static NOINLINE void wide_frame(int depth)
{
	char big[300000];

	use(big);
	if (depth)
		wide_frame(depth - 1);
	else
		allocate();
	allocate();
	use(big);
}

static void case_wide(void)
{
	for (int i = 0; i < 2000; i++)
		wide_frame(i % 4);
}

/* ---- another module at the same address ---- */

static const char *plugin[2];

struct places {
	void *last;
	int same; /* loaded where the one before was */
};

static void *run_plugin(int i, struct places *p)
{
	void *lib = dlopen(plugin[i % 2], RTLD_NOW);
	void (*run)(void (*)(void)) = lib ? (void (*)(void (*)(void)))dlsym(lib, "plugin_run") : NULL;

	p->same += run && (void *)run == p->last;
	p->last = (void *)run;
	for (int k = 0; k < 20 && run; k++)
		run(allocate);
	return lib;
}

static int case_dlclose(void)
{
	struct places p = { 0 };

	for (int i = 0; i < 300; i++)
		dlclose(run_plugin(i, &p));
	return p.same < 290; /* else nothing was tested */
}

/* Each child loads one of them where its brothers have the other one. */
static int case_siblings(void)
{
	struct places *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (int i = 0; i < 60; wait(NULL), i++)
		if (fork() == 0)
			_exit(!run_plugin(i, p));
	return p->same < 55;
}

struct named_case {
	const char *name;
	void (*run)(void);
};

static const struct named_case cases[] = {
	{ "alloca", case_alloca }, { "vla", case_vla },
	{ "alloca_recursion", case_alloca_recursion }, { "recursion", case_recursion },
	{ "stale", case_stale }, { "coroutine", case_coroutine },
	{ "coro_unmap", case_coro_unmap }, { "coro_copy", case_coro_copy },
	{ "raise", case_raise }, { "timer", case_timer },
	{ "timer_altstack", case_timer_altstack }, { "timer_altstack_above", case_timer_altstack_above },
	{ "siglongjmp", case_siglongjmp }, { "threads", case_threads },
	{ "noreturn", case_noreturn }, { "longjmp", case_longjmp },
	{ "tail", case_tail }, { "drap", case_drap },
	{ "wide", case_wide }, { "nocfi_rbp", bare_rbp },
	{ "nocfi_no_rbp", bare_no_rbp }, { "nocfi_spoilt", bare_spoilt },
	{ "nocfi_thread", bare_in_thread }, { "nocfi_coroutine", bare_in_coroutine },
};

int main(int argc, char **argv)
{
	if (argc == 4) {
		plugin[0] = argv[2];
		plugin[1] = argv[3];
		return strcmp(argv[1], "siblings") ? case_dlclose() : case_siblings();
	}
	for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strcmp(argv[1], cases[i].name)) {
			cases[i].run();
			return 0;
		}
	fprintf(stderr, "unwind_cases: no such case\n");
	return 2;
}
