/*
 * space_32.c - a 32-bit program that uses up its address space.
 *
 *   space_32 space PROGRESS     as `oom_cases space` does
 *
 * Without libc, so that it can be built where only the compiler knows 32 bits.
 */
#include <stdint.h>

#define MIB (1u << 20)
#define NR_EXIT 1
#define NR_OPEN 5
#define NR_FTRUNCATE 93
#define NR_NANOSLEEP 162
#define NR_MMAP2 192
#define READ_WRITE 3
#define SHARED 1
#define PRIVATE_ANONYMOUS_NORESERVE 0x4022
#define OPEN_CREATE 0102

static long call(long number, long a, long b, long c, long d, long e)
{
	long r;

	__asm__ volatile("push %%ebp; xor %%ebp, %%ebp; int $0x80; pop %%ebp"
			 : "=a"(r) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return r;
}

static void rest(long seconds, long ns)
{
	long t[2] = { seconds, ns };

	call(NR_NANOSLEEP, (long)t, 0, 0, 0, 0);
}

static int failed(long r)
{
	return r < 0 && r > -4096;
}

__attribute__((used)) void begin(long *stack)
{
	long fd = stack[0] > 2 ? call(NR_OPEN, stack[3], OPEN_CREATE, 0600, 0, 0) : -1;

	call(NR_FTRUNCATE, fd, 4096, 0, 0, 0);
	long at = call(NR_MMAP2, 0, 4096, READ_WRITE, SHARED, fd);
	if (failed(fd) || failed(at))
		call(NR_EXIT, 2, 0, 0, 0, 0);
	volatile uint64_t *progress = (uint64_t *)at;
	rest(1, 0);
	for (uint32_t size = 1024 * MIB; size >= MIB / 4; size /= 2) {
		while (!failed(call(NR_MMAP2, 0, (long)size, 0, PRIVATE_ANONYMOUS_NORESERVE, -1)))
			*progress += size;
	}
	rest(0, 300000000);
	call(NR_EXIT, 0, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\tmov %esp, %eax\n\tpush %eax\n\tcall begin\n");
