/*
 * passed.c - a preload that does nothing: the calls that heap_hot.c wraps go to
 * the next library as they came.  What it costs is what being in between costs,
 * before anything is recorded.  Called by sample_pairs.py.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);
static size_t (*next_usable)(void *);

/* By dlsym, so void * becomes a function in one place. */
static __attribute__((noinline)) void resolve(void)
{
	*(void **)&next_calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&next_realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&next_free = dlsym(RTLD_NEXT, "free");
	*(void **)&next_usable = dlsym(RTLD_NEXT, "malloc_usable_size");
	*(void **)&next_malloc = dlsym(RTLD_NEXT, "malloc");
}

EXPORT void *malloc(size_t size)
{
	if (!next_malloc)
		resolve();
	return next_malloc(size);
}

EXPORT void *calloc(size_t n, size_t each)
{
	if (!next_calloc)
		resolve();
	return next_calloc(n, each);
}

EXPORT void *realloc(void *old, size_t size)
{
	if (!next_realloc)
		resolve();
	return next_realloc(old, size);
}

EXPORT void free(void *p)
{
	if (!next_free)
		resolve();
	next_free(p);
}

EXPORT size_t malloc_usable_size(void *p)
{
	if (!next_usable)
		resolve();
	return next_usable(p);
}
