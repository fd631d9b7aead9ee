/* test_origin.c - who made an area, by the kernel's lines alone. */
#include <string.h>
#include <sys/mman.h>

#include "check.h"
#include "mirror/origin.h"
#include "mirror/proc_maps.h"

#define ARENA (64ul << 20)
#define AT (0x7f0000000000ul)

static struct origin_walk walk;

static enum vma_origin next(uintptr_t start, size_t size, unsigned prot)
{
	struct proc_map m = { .start = start, .end = start + size, .prot = (uint8_t)prot, .name = "" };

	return origin_next(&walk, &m);
}

#define RW (PROT_READ | PROT_WRITE)

/* A guard lies below its stack, and what begins at 64 MiB is no arena then. */
static void test_stack_where_an_arena_could_be(void)
{
	walk = (struct origin_walk){ .exe = 1 };
	CHECK(next(AT - 4096, 4096, PROT_NONE) == VMA_THREAD_STACK);
	CHECK(next(AT, 8 << 20, RW) == VMA_THREAD_STACK);
}

/* An arena, its unused rest, and the next one behind it. */
static void test_arenas(void)
{
	walk = (struct origin_walk){ .exe = 1 };
	CHECK(next(AT, 132 << 10, RW) == VMA_LIBC_HEAP);
	CHECK(next(AT + (132 << 10), ARENA - (132 << 10), PROT_NONE) == VMA_LIBC_HEAP);
	CHECK(next(AT + ARENA, ARENA - 4096, RW) == VMA_LIBC_HEAP);
	CHECK(next(AT + 2 * ARENA - 4096, 4096, PROT_NONE) == VMA_LIBC_HEAP);
	CHECK(next(AT + 2 * ARENA, 132 << 10, RW) == VMA_LIBC_HEAP);
}

int main(void)
{
	test_stack_where_an_arena_could_be();
	test_arenas();
	return check_done();
}
