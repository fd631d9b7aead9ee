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
 *    is written (no tail call, no inlining of the wrapper into another).  What
 *    heap_hot.c could not pass through comes here by a jump, so that the frame
 *    of heap_malloc_spent and its kin is that of the wrapper.
 *  - Calls from inside our own work (guard_inside) are passed through and
 *    counted, never recorded.  A signal handler that interrupts a record is
 *    not such a call: it is recorded (capture/thread.h).
 *  - Blocks of the arena that served before dlsym had an answer were never
 *    recorded as born, so their end is not recorded either.
 *  - A birth asks the countdown, a free the filter, and only where these do not
 *    let it pass the state (emit.h), EXACT first.  A birth that is no sample
 *    leaves by `unseen`, which tells of nothing but failures; a sample is kept
 *    in the filter before the program gets it, and taken out before the
 *    allocator does.
 *
 * Called by the program and every library in it, and by heap_hot.c.
 */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/enter.h"
#include "base/next.h"
#include "capture/emit_hot.h"
#include "capture/sample.h"
#include "capture/sample_filter.h"
#include "wrap/heap.h"
#include "wrap/module.h"
#include "wrap/refused.h"
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

/* A call of the target's, not one from inside our own work? */
INLINE bool is_targets(void)
{
	if (!guard_inside())
		return true;
	count_nested();
	return false;
}

/* The countdown is spent, and not every birth is recorded: is this one? */
static __attribute__((noinline)) bool is_due(size_t size)
{
	uint32_t state = capture_state();
	if (state & MMS_RECORDING_SAMPLE) /* or THINNED */
		return sample_due(size) && is_targets();
	sample_ask();
	if (state == MMS_RECORDING_OFF) /* the first call of the process: then there is an answer */
		return preload_enter() && is_due(size);
	return is_targets() && state == MMS_RECORDING_EXACT;
}

/* The countdown is spent: is this allocation to be recorded? */
INLINE bool recording_spent(size_t size)
{
	if (__builtin_expect(capture_state() != MMS_RECORDING_EXACT, 0))
		return is_due(size);
	sample_ask();
	return is_targets();
}

/* Is this allocation to be recorded? */
INLINE bool recording(size_t size)
{
	return sample_countdown(size) && recording_spent(size);
}

/* The filter may have p, which is not NULL: is its end to be recorded? */
INLINE bool recording_found(const void *p)
{
	uint32_t state = capture_state();
	if (__builtin_expect(state == MMS_RECORDING_EXACT, 1))
		return is_targets();
	if (!(state & MMS_RECORDING_SAMPLE)) /* nor THINNED */
		return state == MMS_RECORDING_OFF && preload_enter();
	if (sample_filter_has(p))
		return is_targets();
	sample_count.frees++;
	return false;
}

/* Is the end of this block to be recorded?  p is not NULL. */
INLINE bool recording_end(const void *p)
{
	if (sample_filter_may_have(p))
		return recording_found(p);
	sample_count.frees++;
	return false;
}

static __attribute__((noinline, cold)) void note_failure(
	enum mms_op op, size_t size, int error, uint32_t stack)
{
	struct mms_heap_fail note = { .size = size, .error = error, .op = op };
	refused_tell(&note, stack);
}

/* Failures are told however few births are.  Size 0 is none: realloc freed. */
static __attribute__((noinline, cold)) void unseen_failure(
	enum mms_op op, size_t size, int error, void *const *fp)
{
	uint32_t state = capture_state();
	sample_refused(size);
	if (size && state != MMS_RECORDING_OFF && state != MMS_RECORDING_PAUSED && !guard_inside())
		note_failure(op, size, error, capture_stack(fp));
}

/* A block was given out, or not, and is not recorded. */
INLINE void *unseen(enum mms_op op, void *p, size_t size, void *const *fp)
{
	if (__builtin_expect(p == NULL, 0))
		unseen_failure(op, size, errno, fp);
	return p;
}

/* May this birth be recorded?  A sample must be remembered first. */
INLINE bool kept(const void *p)
{
	return __builtin_expect(capture_state() == MMS_RECORDING_EXACT, 1) || sample_keep(p);
}

/* A block was given out, or not. */
INLINE void born_hot(enum mms_op op, const void *p, size_t size, void *const *fp)
{
	module_note(fp, false);
	uint32_t stack = capture_stack_hot(fp);
	if (__builtin_expect(p == NULL, 0))
		note_failure(op, size, errno, stack);
	else if (kept(p))
		emit_heap_hot(op, p, size, stack);
}

static __attribute__((noinline)) void born(enum mms_op op, const void *p, size_t size, void *const *fp)
{
	born_hot(op, p, size, fp);
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

/* A block is about to be given back, and that is recorded. */
INLINE void dying_hot(const void *p, void *const *fp)
{
	if (next_is_early(p))
		return;
	module_note(fp, true);
	if (may_be_mapped(p))
		look_before(p);
	bool exact = __builtin_expect(capture_state() == MMS_RECORDING_EXACT, 1);
	emit_heap_hot(MMS_OP_FREE, p, 0, exact ? 0 : sample_dying(p));
}

static __attribute__((noinline)) void dying(const void *p, void *const *fp)
{
	dying_hot(p, fp);
}

/* ---- what heap_hot.c could not pass through ---- */

void *heap_malloc_spent(size_t size)
{
	if (!recording_spent(size))
		return unseen(MMS_OP_MALLOC, next.malloc(size), size, FRAME);
	void *p = next.malloc(size);
	born_hot(MMS_OP_MALLOC, p, size, FRAME);
	return p;
}

void *heap_malloc_failed(size_t size)
{
	return unseen(MMS_OP_MALLOC, NULL, size, FRAME);
}

void heap_free_found(void *p)
{
	if (recording_found(p))
		dying_hot(p, FRAME);
	next.free(p);
}

void *heap_calloc_spent(size_t n, size_t each)
{
	size_t size = heap_product(n, each);
	if (!recording_spent(size))
		return unseen(MMS_OP_CALLOC, next.calloc(n, each), size, FRAME);
	void *p = next.calloc(n, each);
	born(MMS_OP_CALLOC, p, size, FRAME);
	return p;
}

void *heap_calloc_failed(size_t n, size_t each)
{
	return unseen(MMS_OP_CALLOC, NULL, heap_product(n, each), FRAME);
}

/* ---- other ways to give back ---- */

WRAPPER void cfree(void *p)
{
	if (p && recording_end(p))
		dying(p, FRAME);
	next.cfree(p);
}

WRAPPER void free_sized(void *p, size_t size)
{
	if (p && recording_end(p))
		dying(p, FRAME);
	next.free_sized(p, size);
}

WRAPPER void free_aligned_sized(void *p, size_t align, size_t size)
{
	if (p && recording_end(p))
		dying(p, FRAME);
	next.free_aligned_sized(p, align, size);
}

/* ---- realloc: two records around the real call ---- */

/* What is recorded of a realloc.  Where births are sampled, old block and new
 * block are samples or not, each by itself. */
struct resize {
	bool announced; /* BEGIN is out: END or FAIL has to follow */
	bool born;      /* the new block is recorded */
	bool sampled;   /* old is a sample and no longer kept */
};

INLINE void announce(struct resize *r, const void *old)
{
	if (!old || next_is_early(old))
		return;
	emit_heap(MMS_OP_REALLOC_BEGIN, old, 0, 0);
	r->announced = true;
}

/* Not all is recorded: is anything of this call? */
static __attribute__((noinline)) bool resize_sampled(struct resize *r, const void *old, size_t size)
{
	bool due = sample_spent() && is_due(size);
	bool known = old && !next_is_early(old) && recording_end(old);
	if (!due && !known)
		return false;
	*r = (struct resize){ .born = due, .sampled = known };
	if (known)
		sample_dying(old);
	announce(r, old);
	return true;
}

/* The countdown has been asked.  True: resized() has to follow. */
INLINE bool resizing(struct resize *r, const void *old, size_t size)
{
	if (__builtin_expect(capture_state() != MMS_RECORDING_EXACT, 0))
		return resize_sampled(r, old, size);
	sample_ask();
	if (!is_targets())
		return false;
	*r = (struct resize){ .born = true };
	announce(r, old);
	return true;
}

/* There is no new block.  Size 0: the allocator took it for free(), as glibc
 * does; else the old block lives on. */
static __attribute__((noinline, cold)) void not_resized(
	const struct resize *r, const void *old, size_t size, int error, uint32_t stack)
{
	sample_refused(size);
	if (r->sampled && size != 0)
		sample_keep(old);
	if (r->announced)
		emit_heap(MMS_OP_REALLOC_FAIL, old, size == 0, 0);
	if (size != 0)
		note_failure(r->announced ? MMS_OP_REALLOC_END : MMS_OP_MALLOC, size, error, stack);
}

/* What became of `old`. */
INLINE void resized(const struct resize *r, const void *old, const void *p, size_t size, void *const *fp)
{
	module_note(fp, false);
	int error = errno;
	uint32_t stack = capture_stack(fp);
	if (__builtin_expect(p == NULL, 0))
		not_resized(r, old, size, error, stack);
	else if (r->born && kept(p))
		emit_heap(r->announced ? MMS_OP_REALLOC_END : MMS_OP_MALLOC, p, size, stack);
	else if (r->announced)
		emit_heap(MMS_OP_REALLOC_FAIL, old, 1, 0);
}

/* heap_hot.c could not pass it through. */
void *heap_realloc_found(void *old, size_t size)
{
	struct resize r;
	if (!resizing(&r, old, size))
		return unseen(MMS_OP_REALLOC_END, next.realloc(old, size), size, FRAME);
	void *p = next.realloc(old, size);
	resized(&r, old, p, size, FRAME);
	return p;
}

void *heap_realloc_failed(size_t size)
{
	return unseen(MMS_OP_REALLOC_END, NULL, size, FRAME);
}

/* glibc's reallocarray calls realloc, which is ours: the block would be
 * announced and given out twice.  So the product is made here. */
WRAPPER void *reallocarray(void *old, size_t n, size_t each)
{
	struct resize r;
	size_t size;

	if (__builtin_mul_overflow(n, each, &size)) {
		errno = ENOMEM;
		if ((capture_on() || preload_enter()) && is_targets())
			note_failure(MMS_OP_REALLOC_END, SIZE_MAX, ENOMEM, capture_stack(FRAME));
		return NULL;
	}
	sample_countdown(size);
	if (!resizing(&r, old, size))
		return unseen(MMS_OP_REALLOC_END, next.realloc(old, size), size, FRAME);
	void *p = next.realloc(old, size);
	resized(&r, old, p, size, FRAME);
	return p;
}

/* ---- aligned ---- */

WRAPPER void *memalign(size_t align, size_t size)
{
	if (!recording(size))
		return unseen(MMS_OP_ALIGNED, next.memalign(align, size), size, FRAME);
	void *p = next.memalign(align, size);
	born(MMS_OP_ALIGNED, p, size, FRAME);
	return p;
}

WRAPPER void *aligned_alloc(size_t align, size_t size)
{
	if (!recording(size))
		return unseen(MMS_OP_ALIGNED, next.aligned_alloc(align, size), size, FRAME);
	void *p = next.aligned_alloc(align, size);
	born(MMS_OP_ALIGNED, p, size, FRAME);
	return p;
}

WRAPPER int posix_memalign(void **ret, size_t align, size_t size)
{
	bool seen = recording(size);
	int r = next.posix_memalign(ret, align, size);
	if (!seen && r)
		unseen_failure(MMS_OP_ALIGNED, size, r, FRAME);
	if (!seen)
		return r;
	if (r == 0)
		born(MMS_OP_ALIGNED, *ret, size, FRAME);
	else /* errno says nothing here */
		note_failure(MMS_OP_ALIGNED, size, r, capture_stack(FRAME));
	return r;
}

WRAPPER void *valloc(size_t size)
{
	if (!recording(size))
		return unseen(MMS_OP_ALIGNED, next.valloc(size), size, FRAME);
	void *p = next.valloc(size);
	born(MMS_OP_ALIGNED, p, size, FRAME);
	return p;
}

WRAPPER void *pvalloc(size_t size)
{
	if (!recording(size))
		return unseen(MMS_OP_ALIGNED, next.pvalloc(size), size, FRAME);
	void *p = next.pvalloc(size);
	born(MMS_OP_ALIGNED, p, size, FRAME);
	return p;
}
