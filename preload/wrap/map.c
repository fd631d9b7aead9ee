/*
 * map.c - the calls that change the address space.
 *
 * Same law as heap.c: what gives memory away is recorded before the real
 * call (and taken back by MMS_LONG_VM_FAIL when it fails), what takes or
 * changes memory after it, and only when it succeeded.  Failure of a mapping
 * is MAP_FAILED, not NULL.  errno is what the real function left.
 *
 * libc's own mappings (heap growth, big blocks, thread stacks, the loader)
 * never come here.  vfork children share our memory and are recorded as
 * their parent, whose memory it is.
 */
#undef _FILE_OFFSET_BITS /* it would rename mmap to mmap64, and both are defined here */
#include <errno.h>
#include <stdarg.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "base/doorbell.h"
#include "base/enter.h"
#include "base/next.h"
#include "base/sys.h"
#include "capture/emit.h"
#include "wrap/module.h"
#include "wrap/refused.h"
#include "wrap/space.h"

#define FRAME ((void *const *)__builtin_frame_address(0))
#define INLINE static inline __attribute__((always_inline))

INLINE bool recording(void)
{
	return (capture_on() || preload_enter()) && !guard_inside();
}

INLINE void note(enum mms_long type, const struct mms_vm *vm, void *const *fp)
{
	module_note(fp, false);
	uint32_t stack = capture_stack(fp);
	emit_long(type, stack, vm, sizeof(*vm), NULL, 0, NULL, 0);
	space_note(type, vm, stack);
}

/* The record before this one, of this type, did not happen. */
static void take_back(enum mms_long type, struct mms_vm *vm)
{
	vm->flags = type;
	vm->error = errno;
	emit_long(MMS_LONG_VM_FAIL, 0, vm, sizeof(*vm), NULL, 0, NULL, 0);
}

/* The kernel would not give `size` bytes: which limit said so is found later. */
static void tell_refused(size_t size, uint16_t huge, void *const *fp)
{
	int error = errno;
	if ((error != ENOMEM && error != EAGAIN) || !recording())
		return;
	struct mms_heap_fail fail = { .size = size, .error = error, .huge = huge };
	refused_tell(&fail, capture_stack(fp));
}

static __attribute__((noinline, cold)) void refused(size_t size, void *const *fp)
{
	tell_refused(size, 0, fp);
}

static __attribute__((noinline, cold)) void not_mapped(size_t size, int flags, void *const *fp)
{
	unsigned shift = (unsigned)flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;

	tell_refused(size, flags & MAP_HUGETLB ? shift ? (uint16_t)shift : MMS_HUGE_DEFAULT : 0, fp);
}

/* Memory that cannot be locked is EAGAIN with a size, as MAP_LOCKED has it: mlock
 * says ENOMEM for it, as others do for lack of memory. */
static __attribute__((noinline, cold)) void not_locked(size_t size, void *const *fp)
{
	int error = errno;
	if (error == ENOMEM)
		errno = EAGAIN;
	refused(size, fp);
	errno = error;
}

/* ---- mappings ---- */

WRAPPER void *mmap(void *at, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *p = next.mmap(at, length, prot, flags, fd, offset);
	if (__builtin_expect(p == MAP_FAILED, 0)) {
		not_mapped(length, flags, FRAME);
	} else if (recording()) {
		struct mms_vm vm = { .address = (uintptr_t)p, .length = length, .offset = (uint64_t)offset,
			.prot = (uint32_t)prot, .flags = (uint32_t)flags, .fd = fd };
		note(MMS_LONG_MMAP, &vm, FRAME);
	}
	return p;
}

WRAPPER void *mmap64(void *at, size_t length, int prot, int flags, int fd, off64_t offset)
{
	void *p = next.mmap64(at, length, prot, flags, fd, offset);
	if (__builtin_expect(p == MAP_FAILED, 0)) {
		not_mapped(length, flags, FRAME);
	} else if (recording()) {
		struct mms_vm vm = { .address = (uintptr_t)p, .length = length, .offset = (uint64_t)offset,
			.prot = (uint32_t)prot, .flags = (uint32_t)flags, .fd = fd };
		note(MMS_LONG_MMAP, &vm, FRAME);
	}
	return p;
}

WRAPPER int munmap(void *at, size_t length)
{
	struct mms_vm vm = { .address = (uintptr_t)at, .length = length, .fd = -1 };
	bool on = recording();
	if (on)
		space_going(MMS_GONE_UNMAP, vm.address, length);
	if (on)
		note(MMS_LONG_MUNMAP, &vm, FRAME);
	int r = next.munmap(at, length);
	if (on && r < 0)
		take_back(MMS_LONG_MUNMAP, &vm);
	return r;
}

/* The fifth argument is there only with MREMAP_FIXED or MREMAP_DONTUNMAP. */
WRAPPER void *mremap(void *old, size_t old_length, size_t length, int flags, ...)
{
	void *to = NULL;
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_list list;
		va_start(list, flags);
		to = va_arg(list, void *);
		va_end(list);
	}
	struct mms_vm vm = { .address = (uintptr_t)old, .length = old_length, .flags = (uint32_t)flags, .fd = -1 };
	bool on = recording();
	if (on)
		note(MMS_LONG_MREMAP_BEGIN, &vm, FRAME);
	void *p = next.mremap(old, old_length, length, flags, to);
	if (on && p == MAP_FAILED) {
		take_back(MMS_LONG_MREMAP_BEGIN, &vm);
		refused(length > old_length ? length - old_length : length, FRAME);
	} else if (on) {
		vm.address = (uintptr_t)p;
		vm.length = length;
		vm.address2 = (uintptr_t)old;
		vm.length2 = old_length;
		note(MMS_LONG_MREMAP, &vm, FRAME);
	}
	return p;
}

/* ---- the break ---- */

/* Down: before the call.  Up: after it. */
INLINE bool shrinking(struct mms_vm *vm, uintptr_t old, uintptr_t fresh, void *const *fp)
{
	*vm = (struct mms_vm){ .address = fresh, .address2 = old, .fd = -1 };
	if (fresh < old)
		note(MMS_LONG_BRK, vm, fp);
	return fresh < old;
}

INLINE void moved(struct mms_vm *vm, bool said, bool failed, void *const *fp)
{
	if (said && failed)
		take_back(MMS_LONG_BRK, vm);
	else if (failed)
		refused(vm->address - vm->address2, fp);
	else if (!said && !failed)
		note(MMS_LONG_BRK, vm, fp);
}

WRAPPER int brk(void *end)
{
	if (!recording())
		return next.brk(end);
	struct mms_vm vm;
	bool said = shrinking(&vm, (uintptr_t)next.sbrk(0), (uintptr_t)end, FRAME);
	int r = next.brk(end);
	moved(&vm, said, r < 0, FRAME);
	return r;
}

WRAPPER void *sbrk(intptr_t by)
{
	if (by == 0 || !recording())
		return next.sbrk(by);
	struct mms_vm vm;
	uintptr_t old = (uintptr_t)next.sbrk(0);
	bool said = shrinking(&vm, old, old + (uintptr_t)by, FRAME);
	void *p = next.sbrk(by);
	moved(&vm, said, p == (void *)-1, FRAME);
	return p;
}

/* ---- changes of what is there ---- */

WRAPPER int mprotect(void *at, size_t length, int prot)
{
	int r = next.mprotect(at, length, prot);
	if (__builtin_expect(r != 0, 0)) {
		refused(length, FRAME);
	} else if (recording()) {
		struct mms_vm vm = {
			.address = (uintptr_t)at, .length = length, .prot = (uint32_t)prot, .fd = -1 };
		note(MMS_LONG_MPROTECT, &vm, FRAME);
	}
	return r;
}

/* The wrappers below differ in the call and in what `flags` holds. */
#define NOTE_RANGE(type, at, n, what)                                                              \
	do {                                                                                       \
		if (r == 0 && recording()) {                                                       \
			struct mms_vm vm = { .address = (uintptr_t)(at), .length = (n),            \
				.flags = (uint32_t)(what), .fd = -1 };                             \
			note(type, &vm, FRAME);                                                    \
		}                                                                                  \
	} while (0)

WRAPPER int madvise(void *at, size_t length, int advice)
{
	int r = next.madvise(at, length, advice);
	NOTE_RANGE(MMS_LONG_MADVISE, at, length, advice);
	return r;
}

WRAPPER int mlock(const void *at, size_t length)
{
	int r = next.mlock(at, length);
	if (__builtin_expect(r < 0, 0))
		not_locked(length, FRAME);
	NOTE_RANGE(MMS_LONG_MLOCK, at, length, 0);
	return r;
}

WRAPPER int mlock2(const void *at, size_t length, unsigned flags)
{
	int r = next.mlock2(at, length, flags);
	if (__builtin_expect(r < 0, 0))
		not_locked(length, FRAME);
	NOTE_RANGE(MMS_LONG_MLOCK, at, length, flags);
	return r;
}

WRAPPER int munlock(const void *at, size_t length)
{
	int r = next.munlock(at, length);
	NOTE_RANGE(MMS_LONG_MUNLOCK, at, length, 0);
	return r;
}

/* The whole address space: from 0, without end. */
WRAPPER int mlockall(int flags)
{
	int r = next.mlockall(flags);
	NOTE_RANGE(MMS_LONG_MLOCK, 0, UINT64_MAX, flags);
	return r;
}

WRAPPER int munlockall(void)
{
	int r = next.munlockall();
	NOTE_RANGE(MMS_LONG_MUNLOCK, 0, UINT64_MAX, 0);
	return r;
}

/* ---- shared memory ---- */

/* Not asked under a filter: it may allow shmat alone. */
static uint64_t segment_bytes(int id)
{
	struct shmid_ds ds = { .shm_segsz = 0 };
	if (doorbell_is_silent() || mms_syscall3(SYS_shmctl, id, IPC_STAT, (long)&ds) < 0)
		return 0;
	return ds.shm_segsz;
}

WRAPPER void *shmat(int id, const void *at, int flags)
{
	void *p = next.shmat(id, at, flags);
	if (p != (void *)-1 && recording()) {
		struct mms_vm vm = { .address = (uintptr_t)p, .length = segment_bytes(id),
			.offset = (uint64_t)id, .flags = (uint32_t)flags, .fd = -1 };
		vm.prot = flags & SHM_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE;
		note(MMS_LONG_SHMAT, &vm, FRAME);
	}
	return p;
}

WRAPPER int shmdt(const void *at)
{
	struct mms_vm vm = { .address = (uintptr_t)at, .fd = -1 };
	bool on = recording();
	if (on)
		note(MMS_LONG_SHMDT, &vm, FRAME);
	int r = next.shmdt(at);
	if (on && r < 0)
		take_back(MMS_LONG_SHMDT, &vm);
	return r;
}
