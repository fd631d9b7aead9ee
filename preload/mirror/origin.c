/*
 * origin.c - see origin.h.
 *
 * Rules of thumb, each from how the kernel, ld.so and glibc lay things out;
 * what none of them fits is UNKNOWN.  Pure: no allocation, no system call.
 *
 *	thread stack   a guard without access, then the stack (nptl/allocatestack.c)
 *	arena          64 MiB aligned: the part in use, then the reserved rest
 *	               without access (malloc/arena.c, HEAP_MAX_SIZE)
 *	.bss           anonymous, right behind the last segment of a file
 *	big block      other private anonymous memory that no wrapped call made
 */
#include "origin.h"

#include <string.h>

#define ARENA_SIZE (64ul << 20)
#define GUARD_MAX (64ul << 10)
#define BLOCK_MIN (128ul << 10) /* M_MMAP_THRESHOLD */

static bool named(const struct proc_map *m, const char *text)
{
	size_t n = strlen(text);

	return m->name_length >= n && memcmp(m->name, text, n) == 0;
}

static bool has(const struct proc_map *m, const char *text)
{
	return m->name_length && memmem(m->name, m->name_length, text, strlen(text)) != NULL;
}

static bool holds(const struct proc_map *m, uintptr_t address)
{
	return address && address >= m->start && address < m->end;
}

static enum vma_origin of_file(struct origin_walk *w, const struct proc_map *m)
{
	if (holds(m, w->exe)) {
		w->exe_inode = m->inode;
		w->exe_device = m->device;
	}
	if (holds(m, w->loader)) {
		w->loader_inode = m->inode;
		w->loader_device = m->device;
	}
	if (named(m, "/dev/shm/mmscope.") || has(m, "/libmmscope.so"))
		return VMA_PROFILER;
	if (named(m, "/dev/shm/") || named(m, "/memfd:") || named(m, "/SYSV") || named(m, "/dev/zero"))
		return VMA_SHMEM;
	if (m->inode == w->exe_inode && m->device == w->exe_device)
		return VMA_EXE;
	if (m->inode == w->loader_inode && m->device == w->loader_device)
		return VMA_LOADER;
	return has(m, ".so") ? VMA_LIBRARY : VMA_FILE;
}

static enum vma_origin of_anonymous(const struct origin_walk *w, const struct proc_map *m)
{
	bool adjacent = m->start == w->end;

	if (m->shared)
		return VMA_SHMEM;
	if (adjacent && w->origin == VMA_LIBC_HEAP && m->prot == 0 && w->start % ARENA_SIZE == 0)
		return VMA_LIBC_HEAP;
	if (adjacent && w->anonymous && w->prot == 0 && w->origin == VMA_THREAD_STACK)
		return VMA_THREAD_STACK; /* a guard lies below its stack, wherever that begins */
	if (m->start % ARENA_SIZE == 0 && m->end - m->start <= ARENA_SIZE)
		return VMA_LIBC_HEAP;
	if (adjacent && !w->anonymous && !w->shared &&
		(w->origin == VMA_EXE || w->origin == VMA_LIBRARY || w->origin == VMA_LOADER ||
			w->origin == VMA_PROFILER))
		return w->origin;
	if (m->prot == 0 && m->end - m->start <= GUARD_MAX)
		return VMA_THREAD_STACK;
	if (m->prot == 0)
		return VMA_UNKNOWN;
	return m->end - m->start >= BLOCK_MIN ? VMA_LIBC_HEAP : VMA_LOADER;
}

enum vma_origin origin_next(struct origin_walk *w, const struct proc_map *m)
{
	enum vma_origin origin;

	if (named(m, "[heap]"))
		origin = VMA_BRK;
	else if (named(m, "[stack"))
		origin = VMA_STACK;
	else if (named(m, "[v"))
		origin = VMA_SPECIAL;
	else if (m->inode)
		origin = of_file(w, m);
	else
		origin = of_anonymous(w, m);
	w->start = m->start;
	w->end = m->end;
	w->prot = m->prot;
	w->origin = (uint8_t)origin;
	w->anonymous = m->inode == 0;
	w->shared = m->shared;
	return origin;
}

enum mms_hidden origin_hidden(enum vma_origin origin, uintptr_t start, unsigned prot)
{
	switch (origin) {
	case VMA_BRK:
		return MMS_HIDDEN_HEAP;
	case VMA_LIBC_HEAP:
		return start % ARENA_SIZE == 0 || prot == 0 ? MMS_HIDDEN_ARENA : MMS_HIDDEN_BLOCK;
	case VMA_THREAD_STACK:
		return MMS_HIDDEN_THREAD_STACK;
	case VMA_STACK:
		return MMS_HIDDEN_STACK;
	case VMA_EXE:
	case VMA_LIBRARY:
	case VMA_LOADER:
		return MMS_HIDDEN_LOADER;
	case VMA_PROFILER:
		return MMS_HIDDEN_PROFILER;
	default:
		return MMS_HIDDEN_OTHER;
	}
}

bool origin_by_exec(enum vma_origin origin)
{
	return origin == VMA_EXE || origin == VMA_STACK || origin == VMA_SPECIAL || origin == VMA_PROFILER;
}
