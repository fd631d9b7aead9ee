/*
 * heap_hot.c - the wrappers that programs call most, as far as nothing is to be
 * recorded: what sampling costs is this.
 *
 * The law of heap.c holds, and: these functions have no frame, and what they do
 * not finish themselves they hand on by a jump, with the registers and the
 * stack as the caller left them.  meson.build compiles the file so, and
 * tests/check/hot_path.py looks whether it was.
 */
#include <malloc.h>
#include <stdlib.h>

#include "base/enter.h"
#include "base/next.h"
#include "capture/sample.h"
#include "capture/sample_filter.h"
#include "wrap/heap.h"

#define LIKELY(what) __builtin_expect((what), 1)

WRAPPER void *malloc(size_t size)
{
	if (sample_countdown(size))
		return heap_malloc_spent(size);
	void *p = next.malloc(size);
	return LIKELY(p != NULL) ? p : heap_malloc_failed(size);
}

WRAPPER void *calloc(size_t n, size_t each)
{
	if (sample_countdown(heap_product(n, each)))
		return heap_calloc_spent(n, each);
	void *p = next.calloc(n, each);
	return LIKELY(p != NULL) ? p : heap_calloc_failed(n, each);
}

WRAPPER void *realloc(void *old, size_t size)
{
	if (sample_countdown(size) || sample_filter_may_have(old))
		return heap_realloc_found(old, size);
	void *p = next.realloc(old, size);
	return LIKELY(p != NULL) ? p : heap_realloc_failed(size);
}

WRAPPER void free(void *p)
{
	if (p) {
		if (sample_filter_may_have(p)) {
			heap_free_found(p);
			return;
		}
		sample_count.frees++;
	}
	next.free(p);
}

WRAPPER size_t malloc_usable_size(void *p)
{
	return next.malloc_usable_size(p);
}
