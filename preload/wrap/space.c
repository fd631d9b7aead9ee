/*
 * space.c - from the wrappers to the mirror, and from the mirror to the ring.
 *
 * Nothing is done once a system call filter is in force: the mirror asks the
 * kernel.  A look needs some KiB of stack, so it is left out on a signal
 * handler's own small stack.  Called by map.c, heap.c, exit.c and exec.c.
 */
#include "wrap/space.h"

#include <signal.h>
#include <sys/mman.h>

#include "base/doorbell.h"
#include "base/sys.h"
#include "capture/emit.h"
#include "mirror/mirror.h"
#include "mirror/touched.h"
#include "wrap/allocator.h"
#include "wrap/cow.h"

#define STATES_MAX (1u << 20)    /* bytes of page states in one look */
#define STACK_MIN (32u << 10)    /* of a handler's own stack */

static uint16_t vma_flags(uint32_t map_flags)
{
	return (uint16_t)((map_flags & MAP_SHARED ? VMA_SHARED : 0) |
		(map_flags & MAP_GROWSDOWN ? VMA_GROWSDOWN : 0) |
		(map_flags & MAP_LOCKED ? VMA_LOCKED : 0) |
		(map_flags & MAP_NORESERVE ? VMA_NORESERVE : 0));
}

static void note_map(const struct mms_vm *vm, uint32_t stack)
{
	bool anonymous = vm->flags & MAP_ANONYMOUS;
	bool shared = vm->flags & MAP_SHARED;
	struct vma v = { .start = vm->address, .end = vm->address + vm->length, .stack = stack,
		.prot = vm->prot & 7, .flags = vma_flags(vm->flags), .born_stamp = capture_stamp(),
		.pgoff = (anonymous ? vm->address : vm->offset) >> 12 };

	v.origin = !anonymous ? VMA_FILE : shared ? VMA_SHMEM : VMA_ANON;
	mirror_map(&v);
}

static void note_attach(const struct mms_vm *vm, uint32_t stack)
{
	struct vma v = { .start = vm->address, .end = vm->address + vm->length, .stack = stack,
		.prot = vm->prot & 7, .flags = VMA_SHARED, .origin = VMA_SHMEM, .born_stamp = capture_stamp() };

	if (vm->length)
		mirror_map(&v);
}

static void note_detach(const struct mms_vm *vm)
{
	struct vma v;

	if (mirror_find(vm->address, &v) && v.start == vm->address)
		mirror_unmap(v.start, v.end - v.start);
}

void space_note(enum mms_long type, const struct mms_vm *vm, uint32_t stack)
{
	struct vma to = { .start = vm->address, .end = vm->address + vm->length };

	if (doorbell_is_silent())
		return;
	cow_check();
	switch (type) {
	case MMS_LONG_MMAP:
		note_map(vm, stack);
		break;
	case MMS_LONG_MUNMAP:
		if (vm->length && vm->address % 4096 == 0)
			mirror_unmap(vm->address, vm->length);
		break;
	case MMS_LONG_MREMAP:
		mirror_move(vm->address2, vm->length2, &to, vm->flags & MREMAP_DONTUNMAP);
		break;
	case MMS_LONG_BRK:
		mirror_brk(vm->address2, vm->address, stack, capture_stamp());
		break;
	case MMS_LONG_MPROTECT:
		mirror_protect(vm->address, vm->length, vm->prot);
		break;
	case MMS_LONG_MLOCK:
	case MMS_LONG_MUNLOCK:
		mirror_flags(vm->address, vm->length, type == MMS_LONG_MLOCK ? VMA_LOCKED : 0, VMA_LOCKED);
		break;
	case MMS_LONG_SHMAT:
		note_attach(vm, stack);
		break;
	case MMS_LONG_SHMDT:
		note_detach(vm);
		break;
	default:
		break;
	}
}

void space_going(enum mms_gone_kind kind, uintptr_t at, size_t length)
{
	struct mms_gone gone = { .address = at, .length = length, .kind = kind };
	struct vma v;

	if (length < SPACE_GONE_MIN || doorbell_is_silent())
		return;
	if (kind == MMS_GONE_UNMAP) {
		if (!mirror_find(at, &v) || v.inode || v.flags & VMA_SHARED || v.origin == VMA_FILE)
			return;
		gone.stack = v.stack;
	}
	if (touched_pages(at, length, &gone.touched) == 0)
		emit_long(MMS_LONG_GONE, gone.stack, &gone, sizeof(gone), NULL, 0, NULL, 0);
}

/* ---- a look ---- */

struct telling {
	size_t states; /* bytes told so far */
	uint32_t flags;
	uint64_t own_pages;
};

static void tell_pages(void *arg, uint64_t first, const uint8_t *bytes, size_t n)
{
	struct telling *t = arg;
	struct mms_pages head = { .page = first, .n_bytes = (uint32_t)n };

	t->states += n;
	if (t->states > STATES_MAX)
		t->flags |= MMS_SPACE_NO_STATES;
	else
		emit_long(MMS_LONG_PAGES, 0, &head, sizeof(head), bytes, n, NULL, 0);
}

static void tell_area(void *arg, const struct mms_area *area, const char *name, const uint8_t *states)
{
	struct telling *t = arg;
	struct mms_area a = *area;

	if (a.origin == VMA_PROFILER && !a.inode && !(a.flags & VMA_SHARED))
		t->own_pages += a.present;
	t->states += a.states_bytes;
	if (t->states > STATES_MAX && a.states_bytes) {
		t->flags |= MMS_SPACE_NO_STATES;
		a.states_bytes = 0;
	}
	emit_long(MMS_LONG_AREA, a.stack, &a, sizeof(a), name, a.name_length, states, a.states_bytes);
}

bool space_on_small_stack(void)
{
	stack_t s = { .ss_flags = 0 };

	mms_syscall3(SYS_sigaltstack, 0, (long)&s, 0);
	return s.ss_flags & SS_ONSTACK && s.ss_size < STACK_MIN;
}

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	mms_clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t space_look(enum mms_look look, uint64_t *ret_own)
{
	struct telling t = { .states = 0 };
	struct mirror_sink sink = { .arg = &t, .pages = tell_pages, .area = tell_area };
	struct mms_space space = { .look = look };

	if (doorbell_is_silent() || space_on_small_stack())
		return 0;
	uint64_t begin = monotonic_ns();
	int r = mirror_look(&sink, &space);
	space.cost_ns = monotonic_ns() - begin;
	space.flags = t.flags;
	if (r < 0) {
		space.flags |= MMS_SPACE_NO_TREE;
		space.scan_error = r;
	}
	emit_long(MMS_LONG_SPACE, 0, &space, sizeof(space), NULL, 0, NULL, 0);
	if (!space.scan_error)
		*ret_own = t.own_pages << 12;
	if (look == MMS_LOOK_EXIT)
		allocator_tell(space.mm.rss_anon);
	return space.mm.hiwater_rss;
}
