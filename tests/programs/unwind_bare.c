/*
 * unwind_bare.c - the cases of unwind_cases with callers that have no unwind
 * data: assembly with a frame pointer, without one, and with %rbp spoilt.
 */
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "unwind_cases.h"

void bare_with_rbp(void (*)(void));
void bare_without_rbp(void (*)(void));
void bare_spoils_rbp(void (*)(void));
__asm__(".text\n"
	"bare_with_rbp:\n\tpush %rbp\n\tmov %rsp, %rbp\n\tcall *%rdi\n\tpop %rbp\n\tret\n"
	"bare_without_rbp:\n\tsub $8, %rsp\n\tcall *%rdi\n\tadd $8, %rsp\n\tret\n"
	"bare_spoils_rbp:\n\tpush %rbp\n\tmov $0x123456789, %rbp\n\tcall *%rdi\n\tpop %rbp\n\tret\n");

static void bare_again(void) { bare_with_rbp(allocate); sink++; }

void bare_rbp(void)
{
	for (int i = 0; i < 1500; i++) {
		bare_with_rbp(allocate);
		bare_with_rbp(bare_again);
	}
}

void bare_no_rbp(void)
{
	for (int i = 0; i < 1500; i++) {
		bare_without_rbp(allocate);
		bare_without_rbp(bare_again);
	}
}

void bare_spoilt(void)
{
	for (int i = 0; i < 1500; i++) {
		bare_spoils_rbp(allocate);
		bare_spoils_rbp(bare_again);
	}
}

static void *bare_thread(void *arg)
{
	bare_rbp();
	bare_no_rbp();
	bare_spoilt();
	return arg;
}

void bare_in_thread(void)
{
	pthread_t t;

	pthread_create(&t, NULL, bare_thread, NULL);
	pthread_join(t, NULL);
}

static void bare_body(int n)
{
	for (int i = 0; i < n; i++) {
		bare_with_rbp(allocate);
		bare_spoils_rbp(allocate);
	}
}

/* A guess on a stack whose bounds nobody knows, at its very end. */
void bare_in_coroutine(void)
{
	static ucontext_t back, coro;

	for (int i = 0; i < 50; i++) {
		char *area = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		size_t size = i % 2 ? 16384 : 32768;
		mprotect(area, size, PROT_READ | PROT_WRITE);
		getcontext(&coro);
		coro.uc_stack.ss_sp = area;
		coro.uc_stack.ss_size = size;
		coro.uc_link = &back;
		makecontext(&coro, (void (*)(void))bare_body, 1, 20);
		swapcontext(&back, &coro);
		munmap(area, 65536);
	}
}
