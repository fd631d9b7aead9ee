/*
 * heap.c - the malloc family.
 *
 * The law of these wrappers:
 *  - free, and the begin of realloc, are recorded BEFORE the real call: as
 *    soon as it has run another thread may own the address.  What takes
 *    memory is recorded AFTER it.
 *  - Blocks stay the allocator's own: nothing is added in front or behind.
 *  - errno is what the real function left.  Nothing called here writes it.
 *  - A wrapper's frame is where the walk begins: it stands until the record
 *    is written (no tail call, no inlining of the wrapper into another).
 *  - Calls from inside our own work (guard_inside) are passed through and
 *    counted, never recorded.  A signal handler that interrupts a record is
 *    not such a call: it is recorded (capture/thread.h).
 *  - Blocks of the arena that served before dlsym had an answer were never
 *    recorded as born, so their end is not recorded either.
 *
 * Called by the program and every library in it.
 */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/enter.h"
#include "base/next.h"
#include "capture/emit.h"
#include "wrap/module.h"
#include "wrap/space.h"

#define FRAME ((void *const *)__builtin_frame_address(0))
#define INLINE static inline __attribute__((always_inline))

/* Prototypes that no header of glibc 2.36 has. */
WRAPPER void cfree(void *p);
WRAPPER void free_sized(void *p, size_t size);
WRAPPER void free_aligned_sized(void *p, size_t align, size_t size);

static __attribute__((noinline, cold)) void count_nested(void)
{
	struct mms_process *process = capture_process();
	if (process)
		atomic_fetch_add_explicit(&process->n_nested, 1, memory_order_relaxed);
}

/* Is this call to be recorded? */
INLINE bool recording(void)
{
	if (!capture_on() && !preload_enter())
		return false;
	if (!guard_inside())
		return true;
	count_nested();
	return false;
}

static __attribute__((noinline, cold)) void note_failure(
	enum mms_op op, size_t size, int error, uint32_t stack)
{
	struct mms_heap_fail note = { .size = size, .error = error, .op = op };
	emit_long(MMS_LONG_HEAP_FAIL, stack, &note, sizeof(note), NULL, 0, NULL, 0);
}

/* A block was given out, or not. */
INLINE void born(enum mms_op op, const void *p, size_t size, void *const *fp)
{
	module_note(fp, false);
	uint32_t stack = capture_stack(fp);
	if (__builtin_expect(p != NULL, 1))
		emit_heap(op, p, size, stack);
	else
		note_failure(op, size, errno, stack);
}

/* Big blocks begin a page, or come right behind glibc's 16 bytes there. */
INLINE bool may_be_mapped(const void *p)
{
	return __builtin_expect(((uintptr_t)p & 0xfef) == 0, 0);
}

static __attribute__((noinline, cold)) void look_before(const void *p)
{
	size_t size = next.malloc_usable_size((void *)(uintptr_t)p);
	if (size >= SPACE_GONE_MIN)
		space_going(MMS_GONE_FREE, (uintptr_t)p, size);
}

/* A block is about to be given back. */
INLINE void dying(const void *p, void *const *fp)
{
	if (!p || next_is_early(p) || !recording())
		return;
	module_note(fp, true);
	if (may_be_mapped(p))
		look_before(p);
	emit_heap(MMS_OP_FREE, p, 0, 0);
}

/* What n things of a size take; all there is when that is no number. */
INLINE size_t product(size_t n, size_t each)
{
	size_t size;
	return __builtin_mul_overflow(n, each, &size) ? SIZE_MAX : size;
}

WRAPPER void *malloc(size_t size)
{
	if (!recording())
		return next.malloc(size);
	void *p = next.malloc(size);
	born(MMS_OP_MALLOC, p, size, FRAME);
	return p;
}

WRAPPER void *calloc(size_t n, size_t each)
{
	if (!recording())
		return next.calloc(n, each);
	void *p = next.calloc(n, each);
	born(MMS_OP_CALLOC, p, product(n, each), FRAME);
	return p;
}

WRAPPER void free(void *p)
{
	dying(p, FRAME);
	next.free(p);
}

WRAPPER void cfree(void *p)
{
	dying(p, FRAME);
	next.cfree(p);
}

WRAPPER void free_sized(void *p, size_t size)
{
	dying(p, FRAME);
	next.free_sized(p, size);
}

WRAPPER void free_aligned_sized(void *p, size_t align, size_t size)
{
	dying(p, FRAME);
	next.free_aligned_sized(p, align, size);
}

/* ---- realloc: two records around the real call ---- */

/* True: the old block is announced, resized() has to follow. */
INLINE bool resizing(const void *old)
{
	if (!old || next_is_early(old))
		return false;
	emit_heap(MMS_OP_REALLOC_BEGIN, old, 0, 0);
	return true;
}

/* What became of `old`.  Size 0 and no block: the allocator took it for
 * free(), as glibc does. */
INLINE void resized(bool announced, const void *old, const void *p, size_t size, void *const *fp)
{
	if (!announced) {
		born(MMS_OP_MALLOC, p, size, fp);
		return;
	}
	module_note(fp, false);
	int error = errno;
	uint32_t stack = capture_stack(fp);
	if (__builtin_expect(p != NULL, 1)) {
		emit_heap(MMS_OP_REALLOC_END, p, size, stack);
		return;
	}
	emit_heap(MMS_OP_REALLOC_FAIL, old, size == 0, 0);
	if (size != 0)
		note_failure(MMS_OP_REALLOC_END, size, error, stack);
}

WRAPPER void *realloc(void *old, size_t size)
{
	if (!recording())
		return next.realloc(old, size);
	bool announced = resizing(old);
	void *p = next.realloc(old, size);
	resized(announced, old, p, size, FRAME);
	return p;
}

/* glibc's reallocarray calls realloc, which is ours: the block would be
 * announced and given out twice.  So the product is made here. */
WRAPPER void *reallocarray(void *old, size_t n, size_t each)
{
	size_t size;

	if (!recording())
		return next.reallocarray(old, n, each);
	if (__builtin_mul_overflow(n, each, &size)) {
		errno = ENOMEM;
		note_failure(MMS_OP_REALLOC_END, SIZE_MAX, ENOMEM, capture_stack(FRAME));
		return NULL;
	}
	bool announced = resizing(old);
	void *p = next.realloc(old, size);
	resized(announced, old, p, size, FRAME);
	return p;
}

/* ---- aligned ---- */

WRAPPER void *memalign(size_t align, size_t size)
{
	if (!recording())
		return next.memalign(align, size);
	void *p = next.memalign(align, size);
	born(MMS_OP_ALIGNED, p, size, FRAME);
	return p;
}

WRAPPER void *aligned_alloc(size_t align, size_t size)
{
	if (!recording())
		return next.aligned_alloc(align, size);
	void *p = next.aligned_alloc(align, size);
	born(MMS_OP_ALIGNED, p, size, FRAME);
	return p;
}

WRAPPER int posix_memalign(void **ret, size_t align, size_t size)
{
	if (!recording())
		return next.posix_memalign(ret, align, size);
	int r = next.posix_memalign(ret, align, size);
	if (r == 0)
		born(MMS_OP_ALIGNED, *ret, size, FRAME);
	else /* errno says nothing here */
		note_failure(MMS_OP_ALIGNED, size, r, capture_stack(FRAME));
	return r;
}

WRAPPER void *valloc(size_t size)
{
	if (!recording())
		return next.valloc(size);
	void *p = next.valloc(size);
	born(MMS_OP_ALIGNED, p, size, FRAME);
	return p;
}

WRAPPER void *pvalloc(size_t size)
{
	if (!recording())
		return next.pvalloc(size);
	void *p = next.pvalloc(size);
	born(MMS_OP_ALIGNED, p, size, FRAME);
	return p;
}

WRAPPER size_t malloc_usable_size(void *p)
{
	return next.malloc_usable_size(p);
}
