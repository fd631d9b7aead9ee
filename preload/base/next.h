/*
 * next.h - the functions we stand before.
 *
 * `next.malloc(n)` is always safe to call, also before anything has started:
 * until next_resolve() has run, the entries are early versions that serve
 * from a 64 KiB arena (heap) or make the raw system call (the rest).
 * Afterwards they are what dlsym(RTLD_NEXT) found; an entry that nothing
 * below us defines (free_sized on glibc 2.36) gets an equivalent.
 *
 * A block of the early arena can come back at any later time: next.free,
 * next.realloc, next.reallocarray and next.malloc_usable_size know it.  Its
 * birth was never recorded; next_is_early(p) tells.
 */
#ifndef BASE_NEXT_H
#define BASE_NEXT_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "base/ours.h"

struct rusage;

/* Those that programs call most stand first, in one line of the cache. */
struct next {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void (*free)(void *);
	size_t (*malloc_usable_size)(void *);
	void *(*reallocarray)(void *, size_t, size_t);
	void (*cfree)(void *);
	void (*free_sized)(void *, size_t);
	void (*free_aligned_sized)(void *, size_t, size_t);
	void *(*memalign)(size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*valloc)(size_t);
	void *(*pvalloc)(size_t);

	void *(*mmap)(void *, size_t, int, int, int, off_t);
	void *(*mmap64)(void *, size_t, int, int, int, off64_t);
	int (*munmap)(void *, size_t);
	void *(*mremap)(void *, size_t, size_t, int, ...);
	int (*brk)(void *);
	void *(*sbrk)(intptr_t);
	int (*mprotect)(void *, size_t, int);
	int (*madvise)(void *, size_t, int);
	int (*mlock)(const void *, size_t);
	int (*mlock2)(const void *, size_t, unsigned);
	int (*mlockall)(int);
	int (*munlock)(const void *, size_t);
	int (*munlockall)(void);
	void *(*shmat)(int, const void *, int);
	int (*shmdt)(const void *);

	pid_t (*fork)(void);
	pid_t (*_Fork)(void);
	int (*execve)(const char *, char *const[], char *const[]);
	int (*execvpe)(const char *, char *const[], char *const[]);
	int (*fexecve)(int, char *const[], char *const[]);
	int (*execveat)(int, const char *, char *const[], char *const[], int);
	pid_t (*wait)(int *);
	pid_t (*waitpid)(pid_t, int *, int);
	pid_t (*wait3)(int *, int, struct rusage *);
	pid_t (*wait4)(pid_t, int *, int, struct rusage *);
	int (*waitid)(idtype_t, id_t, siginfo_t *, int);
	void (*_exit)(int);
	void (*quick_exit)(int);
	int (*prctl)(int, ...);
	long (*syscall)(long, ...);
	int (*dlclose)(void *);
	int (*pthread_setname_np)(pthread_t, const char *);
	int (*pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
} __attribute__((aligned(64)));

OURS extern struct next next;

/* Fills the table.  Called once, by the start; calls dlsym, which may come
 * back through our malloc and calloc. */
void next_resolve(void);

#define NEXT_EARLY_BYTES 65536u
OURS extern unsigned char next_early_arena[NEXT_EARLY_BYTES];
static inline bool next_is_early(const void *p)
{
	return (uintptr_t)p - (uintptr_t)next_early_arena < NEXT_EARLY_BYTES;
}

#endif
