/*
 * next.c - the table of real functions, and what serves before it is filled.
 *
 * dlsym may allocate, and other threads may already run, while the table is
 * still empty: heap entries then serve from a small arena that is never
 * given back, every other entry looks its function up on the spot.  Nothing
 * here takes a lock or writes errno, except what the caller asked for.
 * Called by the start (next_resolve) and, through the table, by every
 * wrapper.
 */
#include "next.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "sys.h"

unsigned char next_early_arena[NEXT_EARLY_BYTES] __attribute__((aligned(4096)));
static _Atomic size_t early_used;
static _Atomic int resolved;

/* Where the arena is full: glibc's own, under the names it keeps for this. */
extern void *__libc_malloc(size_t) __attribute__((weak));
extern void *__libc_memalign(size_t, size_t) __attribute__((weak));
extern void *__libc_realloc(void *, size_t) __attribute__((weak));
extern void __libc_free(void *) __attribute__((weak));

/* ---- the arena: [size:16 bytes][block], zero as the loader made it ---- */

static size_t early_size(const void *p)
{
	return ((const size_t *)p)[-1];
}

static void *early_take(size_t align, size_t size)
{
	if (align < 16)
		align = 16;
	if (size > NEXT_EARLY_BYTES || align > 4096)
		return NULL;
	size_t span = ((size + 15) & ~(size_t)15) + align + 16;
	size_t at = atomic_fetch_add(&early_used, span);
	if (at >= NEXT_EARLY_BYTES || NEXT_EARLY_BYTES - at < span)
		return NULL;
	uintptr_t p = ((uintptr_t)next_early_arena + at + 16 + align - 1) & ~(uintptr_t)(align - 1);
	((size_t *)p)[-1] = size;
	return (void *)p;
}

/* Every early allocation comes through here.  A thread that read an entry of
 * the table just before it was filled must not draw on the arena after
 * next_resolve() has decided that the arena was never used: the counter is
 * raised first and the flag read second, there it is the other way round. */
static void *early_aligned(size_t align, size_t size)
{
	void *p = early_take(align, size);
	if (atomic_load(&resolved))
		return align <= 16 ? next.malloc(size) : next.memalign(align, size);
	if (p)
		return p;
	if (align <= 16 && __libc_malloc)
		return __libc_malloc(size);
	if (align > 16 && __libc_memalign)
		return __libc_memalign(align, size);
	errno = ENOMEM;
	return NULL;
}

static void *early_malloc(size_t size) { return early_aligned(16, size); }
static void *early_memalign(size_t align, size_t size) { return early_aligned(align, size); }
static void *early_valloc(size_t size) { return early_aligned(4096, size); }
static void *early_pvalloc(size_t size) { return early_aligned(4096, (size + 4095) & ~(size_t)4095); }

static void *early_calloc(size_t n, size_t each)
{
	size_t size;
	if (__builtin_mul_overflow(n, each, &size)) {
		errno = ENOMEM;
		return NULL;
	}
	unsigned char *p = early_malloc(size);
	if (p && !next_is_early(p)) /* the arena is zero already */
		for (size_t i = 0; i < size; i++)
			((volatile unsigned char *)p)[i] = 0;
	return p;
}

static void *copy_out(void *old, void *fresh, size_t size)
{
	size_t n = early_size(old) < size ? early_size(old) : size;
	for (size_t i = 0; fresh && i < n; i++)
		((volatile unsigned char *)fresh)[i] = ((unsigned char *)old)[i];
	return fresh;
}

static void *early_realloc(void *p, size_t size)
{
	if (atomic_load(&resolved))
		return next.realloc(p, size);
	if (p && !next_is_early(p))
		return __libc_realloc ? __libc_realloc(p, size) : NULL;
	void *fresh = early_malloc(size);
	return p ? copy_out(p, fresh, size) : fresh;
}

static void *early_reallocarray(void *p, size_t n, size_t each)
{
	size_t size;
	if (__builtin_mul_overflow(n, each, &size)) {
		errno = ENOMEM;
		return NULL;
	}
	return early_realloc(p, size);
}

static void early_free(void *p)
{
	if (!p || next_is_early(p))
		return;
	if (atomic_load(&resolved))
		next.free(p);
	else if (__libc_free)
		__libc_free(p);
}

static int early_posix_memalign(void **ret, size_t align, size_t size)
{
	if (align < sizeof(void *) || (align & (align - 1)))
		return EINVAL;
	void *p = early_aligned(align, size);
	if (p)
		*ret = p;
	return p ? 0 : ENOMEM;
}

static size_t early_malloc_usable_size(void *p)
{
	return p && next_is_early(p) ? early_size(p) : 0;
}

/* ---- once blocks of the arena are about: the real functions, with a look ---- */

static struct {
	void (*free)(void *);
	void *(*realloc)(void *, size_t);
	void *(*reallocarray)(void *, size_t, size_t);
	size_t (*malloc_usable_size)(void *);
} real;

static void careful_free(void *p)
{
	if (!next_is_early(p))
		real.free(p);
}

static void *careful_realloc(void *p, size_t size)
{
	return next_is_early(p) ? copy_out(p, next.malloc(size), size) : real.realloc(p, size);
}

static void *careful_reallocarray(void *p, size_t n, size_t each)
{
	size_t size;
	if (!next_is_early(p) || __builtin_mul_overflow(n, each, &size))
		return real.reallocarray(next_is_early(p) ? NULL : p, n, each);
	return careful_realloc(p, size);
}

static size_t careful_usable_size(void *p)
{
	return next_is_early(p) ? early_size(p) : real.malloc_usable_size(p);
}

static void sized_free(void *p, size_t size) { next.free(p); }
static void aligned_sized_free(void *p, size_t align, size_t size) { next.free(p); }
static void plain_cfree(void *p) { next.free(p); }

/* ---- everything that is not the heap: looked up when called early ---- */

#define EARLY(ret, name, parameters, arguments)                                                    \
	static ret early_##name parameters                                                         \
	{                                                                                          \
		return ((__typeof__(next.name))dlsym(RTLD_NEXT, #name))arguments;                  \
	}
EARLY(void *, mmap, (void *a, size_t n, int p, int f, int fd, off_t o), (a, n, p, f, fd, o))
EARLY(void *, mmap64, (void *a, size_t n, int p, int f, int fd, off64_t o), (a, n, p, f, fd, o))
EARLY(int, munmap, (void *a, size_t n), (a, n))
EARLY(int, brk, (void *a), (a))
EARLY(void *, sbrk, (intptr_t n), (n))
EARLY(int, mprotect, (void *a, size_t n, int p), (a, n, p))
EARLY(int, madvise, (void *a, size_t n, int p), (a, n, p))
EARLY(int, mlock, (const void *a, size_t n), (a, n))
EARLY(int, mlock2, (const void *a, size_t n, unsigned f), (a, n, f))
EARLY(int, mlockall, (int f), (f))
EARLY(int, munlockall, (void), ())
EARLY(int, munlock, (const void *a, size_t n), (a, n))
EARLY(void *, shmat, (int id, const void *a, int f), (id, a, f))
EARLY(int, shmdt, (const void *a), (a))
EARLY(pid_t, fork, (void), ())
EARLY(pid_t, _Fork, (void), ())
EARLY(int, execve, (const char *p, char *const a[], char *const e[]), (p, a, e))
EARLY(int, execvpe, (const char *p, char *const a[], char *const e[]), (p, a, e))
EARLY(int, fexecve, (int fd, char *const a[], char *const e[]), (fd, a, e))
EARLY(int, execveat, (int d, const char *p, char *const a[], char *const e[], int f), (d, p, a, e, f))
EARLY(pid_t, wait, (int *s), (s))
EARLY(pid_t, waitpid, (pid_t p, int *s, int o), (p, s, o))
EARLY(pid_t, wait3, (int *s, int o, struct rusage *u), (s, o, u))
EARLY(pid_t, wait4, (pid_t p, int *s, int o, struct rusage *u), (p, s, o, u))
EARLY(int, waitid, (idtype_t t, id_t p, siginfo_t *i, int o), (t, p, i, o))
EARLY(int, dlclose, (void *h), (h))
EARLY(int, pthread_setname_np, (pthread_t t, const char *n), (t, n))
EARLY(int, pthread_create, (pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x), (t, a, f, x))

static void *early_mremap(void *a, size_t old, size_t n, int flags, ...)
{
	void *to;
	__builtin_va_list list;
	__builtin_va_start(list, flags);
	to = __builtin_va_arg(list, void *);
	__builtin_va_end(list);
	return ((__typeof__(next.mremap))dlsym(RTLD_NEXT, "mremap"))(a, old, n, flags, to);
}

static int early_prctl(int op, ...)
{
	unsigned long a[4];
	__builtin_va_list list;
	__builtin_va_start(list, op);
	for (int i = 0; i < 4; i++)
		a[i] = __builtin_va_arg(list, unsigned long);
	__builtin_va_end(list);
	return ((__typeof__(next.prctl))dlsym(RTLD_NEXT, "prctl"))(op, a[0], a[1], a[2], a[3]);
}

static long early_syscall(long number, ...)
{
	long a[6];
	__builtin_va_list list;
	__builtin_va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = __builtin_va_arg(list, long);
	__builtin_va_end(list);
	long r = mms_syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (mms_is_error(r)) {
		errno = (int)-r;
		return -1;
	}
	return r;
}

static void early__exit(int status) { mms_exit_group(status); }

static void early_quick_exit(int status)
{
	((__typeof__(next.quick_exit))dlsym(RTLD_NEXT, "quick_exit"))(status);
	mms_exit_group(status);
}

#define ENTRY(name) .name = early_##name
struct next next = {
	ENTRY(malloc), ENTRY(calloc), ENTRY(realloc), ENTRY(reallocarray), ENTRY(free),
	.cfree = plain_cfree, .free_sized = sized_free, .free_aligned_sized = aligned_sized_free,
	ENTRY(memalign), .aligned_alloc = early_memalign, ENTRY(posix_memalign), ENTRY(valloc),
	ENTRY(pvalloc), ENTRY(malloc_usable_size), ENTRY(mmap), ENTRY(mmap64), ENTRY(munmap),
	ENTRY(mremap), ENTRY(brk), ENTRY(sbrk), ENTRY(mprotect), ENTRY(madvise), ENTRY(mlock),
	ENTRY(mlock2), ENTRY(mlockall), ENTRY(munlock), ENTRY(munlockall), ENTRY(shmat), ENTRY(shmdt), ENTRY(fork), ENTRY(_Fork), ENTRY(execve),
	ENTRY(execvpe), ENTRY(fexecve), ENTRY(execveat), ENTRY(wait), ENTRY(waitpid), ENTRY(wait3),
	ENTRY(wait4), ENTRY(waitid), ENTRY(_exit), ENTRY(quick_exit),
	ENTRY(prctl), ENTRY(syscall), ENTRY(dlclose),
	ENTRY(pthread_setname_np), ENTRY(pthread_create),
};

/* RTLD_NEXT means "behind the caller".  A library before us that puts its own
 * dlsym in front makes itself the caller, and "next" is then our own wrapper:
 * calling it would never end.  dlvsym is seldom stood before. */
static void *find(const char *name)
{
	static const char *const versions[] = { "GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.26", "GLIBC_2.16",
		"GLIBC_2.11", "GLIBC_2.24", "GLIBC_2.10" };
	extern const char __ehdr_start[] __attribute__((visibility("hidden")));
	extern const char _end[] __attribute__((visibility("hidden")));
	uintptr_t span = (uintptr_t)_end - (uintptr_t)__ehdr_start;
	void *p = dlsym(RTLD_NEXT, name);
	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
		if (p && (uintptr_t)p - (uintptr_t)__ehdr_start >= span)
			break;
		p = dlvsym(RTLD_NEXT, name, versions[i]);
	}
	return p;
}

/* An entry is replaced only when something was found. */
#define FIND(table, name)                                                                          \
	do {                                                                                       \
		void *found_ = find(#name);                                            \
		if (found_)                                                                        \
			(table).name = (__typeof__((table).name))found_;                           \
	} while (0)

static void resolve_heap(struct next *n)
{
	FIND(*n, malloc);
	FIND(*n, calloc);
	FIND(*n, memalign);
	FIND(*n, aligned_alloc);
	FIND(*n, posix_memalign);
	FIND(*n, valloc);
	FIND(*n, pvalloc);
	FIND(real, free);
	FIND(real, realloc);
	FIND(real, reallocarray);
	FIND(real, malloc_usable_size);
}

static void resolve_memory(struct next *n)
{
	FIND(*n, mmap);
	FIND(*n, mmap64);
	FIND(*n, munmap);
	FIND(*n, mremap);
	FIND(*n, brk);
	FIND(*n, sbrk);
	FIND(*n, mprotect);
	FIND(*n, madvise);
	FIND(*n, mlock);
	FIND(*n, mlock2);
	FIND(*n, mlockall);
	FIND(*n, munlock);
	FIND(*n, munlockall);
	FIND(*n, shmat);
	FIND(*n, shmdt);
}

static void resolve_process(struct next *n)
{
	FIND(*n, fork);
	FIND(*n, _Fork);
	FIND(*n, execve);
	FIND(*n, execvpe);
	FIND(*n, fexecve);
	FIND(*n, execveat);
	FIND(*n, wait);
	FIND(*n, waitpid);
	FIND(*n, wait3);
	FIND(*n, wait4);
	FIND(*n, waitid);
	FIND(*n, _exit);
	FIND(*n, quick_exit);
	FIND(*n, prctl);
	FIND(*n, syscall);
	FIND(*n, dlclose);
	FIND(*n, pthread_setname_np);
	FIND(*n, pthread_create);
}

/* Word by word: another thread may be calling through the table. */
static void publish(const struct next *n)
{
	_Static_assert(sizeof(*n) % sizeof(uintptr_t) == 0, "a table of pointers");
	const uintptr_t *from = (const uintptr_t *)(const void *)n;
	uintptr_t *to = (uintptr_t *)(void *)&next;
	for (size_t i = 0; i < sizeof(*n) / sizeof(*to); i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELEASE);
}

void next_resolve(void)
{
	struct next n = next;
	resolve_heap(&n);
	resolve_memory(&n);
	resolve_process(&n);
	n.free = careful_free;
	n.realloc = careful_realloc;
	n.reallocarray = careful_reallocarray;
	n.malloc_usable_size = careful_usable_size;
	publish(&n);
	atomic_store(&resolved, 1);
	if (atomic_load(&early_used) == 0) {
		next.free = real.free;
		next.realloc = real.realloc;
		next.reallocarray = real.reallocarray;
		next.malloc_usable_size = real.malloc_usable_size;
	}
}
