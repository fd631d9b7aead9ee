/*
 * syscall.h - raw system calls, for both sides.
 *
 * The preload makes its system calls by hand: the libc function may be
 * interposed (fakeroot, a sanitizer whose table is not filled yet, the target
 * itself), may be a wrapper of our own, and writes errno, which belongs to
 * the target.  Every function returns the kernel's answer: a value, or
 * -errno.  x86-64 only.
 *
 * What the preload may ask the kernel for is what stands here; nothing else
 * in the target makes a system call.
 */
#ifndef MMSCOPE_SYSCALL_H
#define MMSCOPE_SYSCALL_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

static inline __attribute__((always_inline)) long mms_syscall6(
	long number, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline __attribute__((always_inline)) long mms_syscall4(long number, long a, long b, long c, long d)
{
	long ret;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline __attribute__((always_inline)) long mms_syscall3(long number, long a, long b, long c)
{
	long ret;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline bool mms_is_error(long ret)
{
	return (unsigned long)ret > -4096ul;
}

/* Memory.  mms_mmap returns the address, or -errno (mms_is_error). */
static inline long mms_mmap(void *at, size_t length, int prot, int flags, int fd, uint64_t offset)
{
	return mms_syscall6(SYS_mmap, (long)at, (long)length, prot, flags, fd, (long)offset);
}
static inline int mms_munmap(void *at, size_t length)
{
	return (int)mms_syscall3(SYS_munmap, (long)at, (long)length, 0);
}
static inline int mms_madvise(void *at, size_t length, int advice)
{
	return (int)mms_syscall3(SYS_madvise, (long)at, (long)length, advice);
}
static inline int mms_mprotect(void *at, size_t length, int prot)
{
	return (int)mms_syscall3(SYS_mprotect, (long)at, (long)length, prot);
}

/* Files. */
static inline int mms_openat(int dir, const char *path, int flags, unsigned mode)
{
	return (int)mms_syscall4(SYS_openat, dir, (long)path, flags, mode);
}
static inline int mms_close(int fd)
{
	return (int)mms_syscall3(SYS_close, fd, 0, 0);
}
static inline long mms_read(int fd, void *buffer, size_t n)
{
	return mms_syscall3(SYS_read, fd, (long)buffer, (long)n);
}
static inline long mms_pread(int fd, void *buffer, size_t n, uint64_t offset)
{
	return mms_syscall4(SYS_pread64, fd, (long)buffer, (long)n, (long)offset);
}

static inline long mms_ioctl(int fd, unsigned long request, void *argument)
{
	return mms_syscall3(SYS_ioctl, fd, (long)request, (long)argument);
}

static inline int mms_mincore(uintptr_t address, size_t length, unsigned char *ret)
{
	return (int)mms_syscall3(SYS_mincore, (long)address, (long)length, (long)ret);
}

static inline void mms_sleep_ns(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };

	mms_syscall3(SYS_nanosleep, (long)&t, 0, 0);
}

static inline long mms_readlinkat(int dir, const char *path, char *buffer, size_t n)
{
	return mms_syscall4(SYS_readlinkat, dir, (long)path, (long)buffer, (long)n);
}
static inline int mms_fstat(int fd, struct stat *st)
{
	return (int)mms_syscall3(SYS_fstat, fd, (long)st, 0);
}
static inline int mms_fallocate(int fd, uint64_t offset, uint64_t length)
{
	return (int)mms_syscall4(SYS_fallocate, fd, 0, (long)offset, (long)length);
}
static inline int mms_faccessat(int dir, const char *path, int mode)
{
	return (int)mms_syscall3(SYS_faccessat, dir, (long)path, mode);
}

/* Identity. */
static inline int mms_getpid(void) { return (int)mms_syscall3(SYS_getpid, 0, 0, 0); }
static inline int mms_getppid(void) { return (int)mms_syscall3(SYS_getppid, 0, 0, 0); }
static inline int mms_gettid(void) { return (int)mms_syscall3(SYS_gettid, 0, 0, 0); }
static inline unsigned mms_getuid(void) { return (unsigned)mms_syscall3(SYS_getuid, 0, 0, 0); }
static inline unsigned mms_geteuid(void) { return (unsigned)mms_syscall3(SYS_geteuid, 0, 0, 0); }
static inline int mms_getrlimit(int which, struct rlimit *ret)
{
	return (int)mms_syscall4(SYS_prlimit64, 0, which, 0, (long)ret);
}
static inline int mms_prctl(int op, unsigned long a, unsigned long b)
{
	return (int)mms_syscall6(SYS_prctl, op, (long)a, (long)b, 0, 0, 0);
}

/* Time, waiting, signals. */
static inline int mms_clock_gettime(int clock, struct timespec *ret)
{
	return (int)mms_syscall3(SYS_clock_gettime, clock, (long)ret, 0);
}
/* Sleeps while *word == value, at most timeout_ns (0: for ever). */
static inline int mms_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	struct timespec t = { (time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u) };
	return (int)mms_syscall6(SYS_futex, (long)word, 0 /* FUTEX_WAIT, shared */, value,
		timeout_ns ? (long)&t : 0, 0, 0);
}
static inline int mms_futex_wake(_Atomic uint32_t *word, int n)
{
	return (int)mms_syscall6(SYS_futex, (long)word, 1 /* FUTEX_WAKE, shared */, n, 0, 0, 0);
}
static inline int mms_sched_yield(void) { return (int)mms_syscall3(SYS_sched_yield, 0, 0, 0); }

/* True when the 8 bytes at `at` (8-aligned) can be read: a change of the
 * signal mask that names no kind of change is refused after the set was read. */
static inline bool mms_readable(const void *at)
{
	return mms_syscall4(SYS_rt_sigprocmask, -1, (long)at, 0, 8) != -EFAULT;
}

/* The kernel's signal set: one word.  Blocks everything that can be blocked
 * and hands back the old set; mms_signals_set puts it back. */
static inline uint64_t mms_signals_block(void)
{
	uint64_t all = ~0ull, old = 0;
	mms_syscall4(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, (long)&all, (long)&old, 8);
	return old;
}
static inline void mms_signals_set(uint64_t set)
{
	mms_syscall4(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, (long)&set, 0, 8);
}
static inline int mms_tgkill(int pid, int tid, int signal)
{
	return (int)mms_syscall3(SYS_tgkill, pid, tid, signal);
}
static inline _Noreturn void mms_exit_group(int status)
{
	for (;;)
		mms_syscall3(SYS_exit_group, status, 0, 0);
}

/* A thread on the stack of who asks, that calls fn(arg) and exits; flags hold
 * CLONE_VM and CLONE_VFORK.  It begins below the red zone. */
static inline __attribute__((always_inline)) long mms_clone_over(long flags, void (*fn)(void *), void *arg)
{
	long ret;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	register void (*function)(void *) __asm__("r12") = fn;
	register void *argument __asm__("r13") = arg;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "lea -128(%%rsp), %%rsp\n\t"
			 "and $-16, %%rsp\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n\t"
			 "mov %[exit], %%eax\n\t"
			 "xor %%edi, %%edi\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone), "D"(flags), "S"(0l), "d"(0l), "r"(r10), "r"(r8), "r"(function), "r"(argument),
			 [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return ret;
}

/* The few string functions that the first stage of the start needs: no call
 * to libc is made there. */
static inline size_t mms_strlen(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}
static inline bool mms_streq(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}
/* True when s starts with prefix; *rest is then what follows it. */
static inline bool mms_after(const char *s, const char *prefix, const char **rest)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return false;
	*rest = s;
	return true;
}
/* Appends s to the NUL-ended string in buffer; -ENAMETOOLONG when it does not fit. */
static inline int mms_append(char *buffer, size_t room, const char *s)
{
	size_t n = mms_strlen(buffer), m = mms_strlen(s);
	if (n + m + 1 > room)
		return -ENAMETOOLONG;
	for (size_t i = 0; i <= m; i++)
		buffer[n + i] = s[i];
	return 0;
}
static inline int mms_append_number(char *buffer, size_t room, uint64_t value)
{
	char digits[24];
	size_t i = sizeof(digits);
	digits[--i] = 0;
	do
		digits[--i] = (char)('0' + value % 10);
	while (value /= 10);
	return mms_append(buffer, room, digits + i);
}
static inline int mms_append_hex(char *buffer, size_t room, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char two[3] = { "0123456789abcdef"[bytes[i] >> 4], "0123456789abcdef"[bytes[i] & 15], 0 };
		int r = mms_append(buffer, room, two);
		if (r < 0)
			return r;
	}
	return 0;
}

#endif
