/*
 * vma_tree.h - the areas of one address space, kept as the kernel keeps them.
 *
 * Ordered, non-overlapping areas [start, end), page aligned.  A sorted list
 * of leaves, each with up to VMA_LEAF areas and their start addresses side by
 * side: a find is two binary searches, an insert moves one leaf's entries.
 *
 * Words:  area    struct vma, one line of /proc/PID/maps
 *         origin  why it exists (enum vma_origin)
 *         name    id of a path or [tag] in the tree's name table; 0: none
 *
 * Memory comes from heap_alloc (base/heap.h); no libc allocation, no system
 * call, no lock: the owner serialises (mirror.c).  An operation that needs
 * memory reserves it before it changes anything, so -ENOMEM leaves the tree
 * as it was.
 */
#ifndef MIRROR_VMA_TREE_H
#define MIRROR_VMA_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMA_PAGE_SHIFT 12
#define VMA_PAGE_SIZE 4096ul
#define VMA_LEAF 60

enum vma_origin {
	VMA_UNKNOWN = 0,
	VMA_EXE,          /* segments of the executable */
	VMA_LIBRARY,      /* mapped by the loader from a file */
	VMA_FILE,         /* file mapping made by the program */
	VMA_ANON,         /* anonymous mapping made by the program */
	VMA_BRK,
	VMA_STACK,        /* main stack */
	VMA_THREAD_STACK,
	VMA_SHMEM,        /* shared anonymous, shmat, memfd, /dev/shm */
	VMA_LIBC_HEAP,    /* malloc arenas and big blocks of libc */
	VMA_LOADER,       /* anonymous memory of the loader */
	VMA_PROFILER,     /* ours */
	VMA_SPECIAL,      /* vdso, vvar, vsyscall */
};

enum vma_flag {
	VMA_SHARED = 1u << 0,
	VMA_GROWSDOWN = 1u << 1,
	VMA_LOCKED = 1u << 2,
	VMA_NORESERVE = 1u << 3,
};

struct vma {
	uintptr_t start, end;
	uint64_t pgoff;  /* file offset in pages; anonymous: start >> 12 when made */
	uint64_t inode;  /* 0: anonymous */
	uint32_t device; /* major << 20 | minor */
	uint32_t name;
	uint32_t stack;  /* session stack id of the call that made it; 0 unknown */
	uint16_t flags;  /* enum vma_flag */
	uint8_t prot;    /* PROT_READ | PROT_WRITE | PROT_EXEC */
	uint8_t origin;  /* enum vma_origin */
	uint64_t born_stamp; /* of its oldest part */
};

struct vma_leaf;

struct vma_tree {
	struct vma_leaf **leaves; /* by address; no leaf is empty */
	uint32_t n_leaves, leaf_capacity;
	uint32_t n_areas;
	uint64_t n_pages;
	struct vma_leaf *spare[2]; /* reserved before a change */
	struct vma *hit;           /* last find */
	char *names;               /* NUL-separated; id = offset + 1 */
	uint32_t names_used, names_capacity;
	uintptr_t brk_start, brk_end;
};

void vma_tree_init(struct vma_tree *t);
void vma_tree_done(struct vma_tree *t);

/* The area that holds the address, or NULL.  Pointers to areas are valid
 * until the next change of the tree. */
struct vma *vma_tree_find(struct vma_tree *t, uintptr_t address);

/* The first area that ends above `start` and begins below `end`, or NULL. */
struct vma *vma_tree_find_intersection(struct vma_tree *t, uintptr_t start, uintptr_t end);

/* The part of [start, end) that is longest in one area: that area.  Passes over *steps
 * areas at most and takes what it passed over off.  NULL: nothing is there, or what
 * was not looked at could be longer. */
const struct vma *vma_tree_find_longest(struct vma_tree *t, uintptr_t start, uintptr_t end, size_t *steps);

/* The first area that begins at or above the address, or holds it. */
struct vma *vma_tree_next(struct vma_tree *t, uintptr_t address);

/* A new mapping: replaces what was there (MAP_FIXED), merges with neighbours
 * that agree.  0, -EINVAL (not page aligned, empty), -ENOMEM. */
int vma_tree_map(struct vma_tree *t, const struct vma *area);

/* Head, tail, middle, whole, many areas, holes between. 0, -EINVAL, -ENOMEM. */
int vma_tree_unmap(struct vma_tree *t, uintptr_t start, uintptr_t end);

int vma_tree_protect(struct vma_tree *t, uintptr_t start, uintptr_t end, unsigned prot);

/* Sets and clears enum vma_flag bits (mlock, munlock). */
int vma_tree_flags(struct vma_tree *t, uintptr_t start, uintptr_t end, unsigned set, unsigned clear);

/* mremap as it succeeded: old area [old, old+old_length) is now at
 * [new, new+new_length); keep: MREMAP_DONTUNMAP left the old area mapped. old_length 0
 * duplicates a shared mapping.  0, -EINVAL, -ENOMEM. */
int vma_tree_move(struct vma_tree *t, uintptr_t old, size_t old_length, uintptr_t new_,
	size_t new_length, bool keep);

/* The program break is now `end`.  stack: who asked. */
int vma_tree_brk(struct vma_tree *t, uintptr_t end, uint32_t stack, uint64_t stamp);

/* The growsdown area that ends at `end` now begins at `start`. */
int vma_tree_grow_down(struct vma_tree *t, uintptr_t end, uintptr_t start);

/* Id of a name, made when new; 0 when NULL, empty or out of memory. */
uint32_t vma_tree_name(struct vma_tree *t, const char *name, size_t length);
const char *vma_tree_name_text(const struct vma_tree *t, uint32_t name);

/* Every invariant: order, no overlap, alignment, counts, no empty leaf, and
 * no two neighbours that should be one. */
bool vma_tree_is_valid(const struct vma_tree *t);

#endif
