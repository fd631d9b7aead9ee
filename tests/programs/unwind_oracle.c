/*
 * unwind_oracle.c - a preload that checks the unwinder at every malloc.
 *
 * It is the capture folder without the rest of the preload: at every call of
 * malloc, calloc, realloc, memalign and posix_memalign of an unmodified
 * program the stack is walked as the profiler does, and compared entry by
 * entry with
 *   unw_backtrace of libunwind   (every stack; not with MMS_ORACLE_NO_LIBUNWIND:
 *                                 it serves stale rules after dlclose)
 *   _Unwind_Backtrace of libgcc  (every MMS_ORACLE_GCC-th, default 64)
 *   the uncached full walk       (every 16th)
 *   the interned stack           (every stack: read back from the node table)
 *
 * Everything counts in the shared file that MMS_ORACLE names (prepared by
 * unwind_check); differences are kept there in full.  Calls that libunwind
 * itself makes, and those of signal handlers that interrupt it, are
 * compared with the uncached walk only.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>

#include "base/doorbell.h"
#include "base/enter.h"
#include "base/sys.h"
#include "capture/emit.h"
#include "capture/stack_same.h"
#include "capture/unwind.h"
#include "capture/unwind_full.h"
#include "capture/unwind_rules.h"
#include "unwind_oracle.h"

#define EXPORT __attribute__((visibility("default")))
#define TLS __attribute__((tls_model("initial-exec")))
#define CONTEXT 7u
#define SESSION_CELLS 512u

_Atomic uint32_t preload_state = PRELOAD_READY;
__thread uint32_t guard_depth TLS;

bool preload_start(void) { return false; }
struct mms_process *capture_process(void) { return NULL; }
bool doorbell_is_silent(void) { return false; }

static struct oracle *oracle;
static struct mms_session session;
static __thread struct stack_thread *thread_state TLS;
static uint64_t gcc_every = 64;

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void *(*real_memalign)(size_t, size_t);
static void (*real_free)(void *);
static int (*backtrace_fn)(void **, int);
static _Unwind_Reason_Code (*gcc_backtrace)(_Unwind_Trace_Fn, void *);
static _Unwind_Ptr (*gcc_ip)(struct _Unwind_Context *);

/* Where this thread is: a test's signal handler asks before it jumps out, and
 * a malloc that comes from inside the real one (a handler) is served from a
 * ring of our own: the real one is not reentrant. */
enum oracle_place { OUTSIDE = 0, IN_REAL = 1, IN_WALK = 2, IN_OTHERS = 3 };
static __thread volatile int place TLS;
static __thread unsigned n_nested TLS;

EXPORT int mms_oracle_place(void) { return place; }

/* A handler has jumped out of us: nothing is under way any more. */
EXPORT void mms_oracle_left(void)
{
	place = OUTSIDE;
	guard_depth = 0;
	n_nested = 0;
}

#define RING_BYTES (1u << 20)
static char ring[RING_BYTES + 65536] __attribute__((aligned(16)));
static _Atomic uint32_t ring_next;

static bool in_ring(const void *p)
{
	return (uintptr_t)p - (uintptr_t)ring < sizeof(ring);
}

static void *ring_alloc(size_t n)
{
	return n > 65000 ? NULL : ring + (atomic_fetch_add(&ring_next, (uint32_t)(n + 15) & ~15u) % RING_BYTES);
}

static void *map(size_t bytes)
{
	long at = mms_mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return mms_is_error(at) ? NULL : (void *)at;
}

/* A session of our own with every cell there from the start. */
static bool make_session(void)
{
	uint8_t *at = map((size_t)(SESSION_CELLS + 1) * MMS_CELL_SIZE);

	if (!at)
		return false;
	session.base = (uint8_t *)(((uintptr_t)at + MMS_CELL_SIZE - 1) & ~(uintptr_t)(MMS_CELL_SIZE - 1));
	session.n_cells_mapped = SESSION_CELLS;
	struct mms_header *h = session.header;
	for (uint32_t i = 0; i < 84; i++)
		session.cell0->index_cell[i] = (uint16_t)(1 + i);
	for (uint32_t i = 0; i < SESSION_CELLS - 85; i++)
		session.cell0->node_cell[i] = (uint16_t)(85 + i);
	h->next_node = 1;
	h->n_index_cells = 84;
	h->n_node_cells = SESSION_CELLS - 85;
	return true;
}

static void find_functions(void)
{
	guard_enter();
	real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	real_memalign = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "memalign");
	real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	guard_leave();
}

static int known_module(struct dl_phdr_info *info, size_t size, void *argument)
{
	uint64_t low = ~0ull, high = 0;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		uint64_t at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		if (info->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		low = at < low ? at : low;
		high = at + info->dlpi_phdr[i].p_memsz > high ? at + info->dlpi_phdr[i].p_memsz : high;
	}
	rules_modules(RULES_LIST_ADD, low, high);
	return 0;
}

/* As the profiler does where it wraps fork. */
static void forking(void)
{
	rules_modules(RULES_LIST_BEGIN, 0, 0);
	dl_iterate_phdr(known_module, NULL);
	rules_modules(RULES_LIST_END, 0, 0);
	unwind_forking(false);
}

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("MMS_ORACLE"), *n = getenv("MMS_ORACLE_GCC");
	const char *audit = getenv("MMS_ORACLE_AUDIT");

	find_functions();
	if (!path)
		return;
	pthread_atfork(forking, NULL, NULL);
	guard_enter();
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *at = fd < 0 ? MAP_FAILED :
			    mmap(NULL, sizeof(*oracle), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	gcc_every = n ? strtoull(n, NULL, 10) : gcc_every;
	if (!getenv("MMS_ORACLE_NO_LIBUNWIND")) {
		void *lib = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
		backtrace_fn = lib ? (int (*)(void **, int))dlsym(lib, "unw_backtrace") : NULL;
	}
	void *gcc = dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_LOCAL);
	if (gcc) {
		gcc_ip = (_Unwind_Ptr(*)(struct _Unwind_Context *))dlsym(gcc, "_Unwind_GetIP");
		gcc_backtrace = (_Unwind_Reason_Code(*)(_Unwind_Trace_Fn, void *))dlsym(gcc, "_Unwind_Backtrace");
	}
	unwind_init(MMS_ENGINE_OWN, audit ? (uint32_t)atoi(audit) : 0);
	if (at != MAP_FAILED && make_session()) {
		atomic_fetch_add(&((struct oracle *)at)->n_processes, 1);
		oracle = at;
	}
	guard_leave();
}

static struct stack_thread *state(void)
{
	if (!thread_state) {
		void *mem = map(stack_thread_bytes());
		if (mem)
			thread_state = stack_thread_init(mem, 0, 0);
	}
	return thread_state;
}

static __attribute__((noinline)) void keep_diff(uint32_t kind, const uint64_t *own, size_t n_own,
	const uint64_t *other, size_t n_other)
{
	uint32_t i = atomic_fetch_add(&oracle->n_diffs, 1);

	if (i >= ORACLE_DIFFS)
		return;
	struct oracle_diff *d = &oracle->diff[i];
	d->kind = kind;
	d->pid = (uint32_t)mms_getpid();
	for (d->n_own = 0; d->n_own < n_own && d->n_own < ORACLE_DEPTH; d->n_own++)
		d->own[d->n_own] = own[d->n_own];
	for (d->n_other = 0; d->n_other < n_other && d->n_other < ORACLE_DEPTH; d->n_other++)
		d->other[d->n_other] = other[d->n_other];
	int fd = mms_openat(AT_FDCWD, "/proc/self/maps", O_RDONLY, 0);
	for (size_t n = 0; n < sizeof(d->maps) - 1;) {
		long got = mms_read(fd, d->maps + n, sizeof(d->maps) - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	mms_close(fd);
}

/* Equal entry by entry; what the other has below our first frame is ours. */
static bool same(const uint64_t *own, size_t n_own, const uint64_t *other, size_t n_other, size_t *ret_skip)
{
	size_t skip = 0;

	while (skip < n_other && other[skip] != mms_node_pc(own[0]))
		skip++;
	while (n_other > skip && !other[n_other - 1])
		n_other--;
	*ret_skip = skip;
	if (n_other - skip != n_own)
		return false;
	for (size_t i = 0; i < n_own; i++)
		if (mms_node_pc(own[i]) != other[skip + i])
			return false;
	return true;
}

struct gcc_stack {
	uint64_t *pc;
	size_t n;
};

static _Unwind_Reason_Code gcc_frame(struct _Unwind_Context *context, void *arg)
{
	struct gcc_stack *g = arg;

	if (g->n < MMS_STACK_MAX_DEPTH)
		g->pc[g->n++] = gcc_ip(context);
	return _URC_NO_REASON;
}

static void compare_gcc(const uint64_t *own, size_t n, uint64_t *buffer)
{
	struct gcc_stack g = { buffer, 0 };
	size_t skip, i;

	gcc_backtrace(gcc_frame, &g);
	atomic_fetch_add(&oracle->n_libgcc, 1);
	if (same(own, n, g.pc, g.n, &skip))
		return;
	for (i = 0; i < n && skip + i < g.n && g.pc[skip + i] == mms_node_pc(own[i]); i++)
		;
	if (skip + i == g.n || !g.pc[skip + i]) { /* it ends where no unwind data is left */
		atomic_fetch_add(&oracle->n_libgcc_short, 1);
		return;
	}
	atomic_fetch_add(&oracle->n_libgcc_diff, 1);
	keep_diff(2, own, n, g.pc, g.n);
}

static void compare_interned(const uint64_t *own, size_t n, uint32_t id)
{
	size_t i = 0;
	bool ok = id != 0;

	while (ok) {
		const struct mms_node *node = mms_node(&session, id);
		uint64_t w0 = node->w0;
		id = mms_node_parent(node->w1);
		if (mms_node_flags(w0) & MMS_NODE_ROOT) {
			ok = i == n && mms_node_pc(w0) == CONTEXT;
			break;
		}
		ok = i < n && w0 == own[i++] && id;
	}
	atomic_fetch_add(&oracle->n_interned, 1);
	if (!ok) {
		atomic_fetch_add(&oracle->n_interned_diff, 1);
		keep_diff(4, own, n, NULL, 0);
	}
}

static void count(const uint64_t *own, size_t n)
{
	bool guessed = false, exact = false;

	for (size_t i = 0; i < n; i++) {
		guessed |= (mms_node_flags(own[i]) & MMS_NODE_GUESSED) != 0;
		exact |= (mms_node_flags(own[i]) & MMS_NODE_EXACT_PC) != 0;
	}
	atomic_fetch_add(&oracle->n_frames, n);
	atomic_fetch_add(&oracle->n_guessed, guessed);
	atomic_fetch_add(&oracle->n_exact, exact);
	atomic_fetch_add(&oracle->n_truncated, (mms_node_flags(own[n - 1]) & MMS_NODE_TRUNCATED) != 0);
	uint64_t longest = oracle->n_longest;
	while (n > longest && !atomic_compare_exchange_weak(&oracle->n_longest, &longest, n))
		;
}

struct buffers {
	uint64_t own[MMS_STACK_MAX_DEPTH], other[MMS_STACK_MAX_DEPTH];
};
static __thread struct buffers *buffers TLS;

/* The full walk takes its registers here: nothing of it may be inlined. */
static __attribute__((noinline)) void compare_full(void *const *fp, const uint64_t *own, size_t n,
	uint64_t *buffer)
{
	struct reach reach;
	uintptr_t low, high;
	size_t skip;

	reach_own_stack((uintptr_t)fp, &low, &high);
	reach_init(&reach, (uintptr_t)(fp + 2), low, high);
	size_t m = full_walk(&reach, fp, buffer, MMS_STACK_MAX_DEPTH);
	for (size_t i = 0; i < m; i++)
		buffer[i] = mms_node_pc(buffer[i]);
	atomic_fetch_add(&oracle->n_full, 1);
	if (!same(own, n, buffer, m, &skip)) {
		atomic_fetch_add(&oracle->n_full_diff, 1);
		keep_diff(3, own, n, buffer, m);
	}
}

static __attribute__((noinline)) void check_outer(void *const *fp)
{
	struct stack_thread *t = state();

	if (!buffers)
		buffers = map(sizeof(*buffers));
	if (!t || !buffers)
		return;
	uint64_t k = atomic_fetch_add(&oracle->n_stacks, 1);
	place = IN_WALK;
	uint32_t id = stack_find(t, &session, CONTEXT, fp);
	size_t n = unwind_walk(NULL, fp, buffers->own, MMS_STACK_MAX_DEPTH), skip;
	place = IN_OTHERS;
	count(buffers->own, n);
	compare_interned(buffers->own, n, id);
	if (backtrace_fn) {
		int got = backtrace_fn((void **)buffers->other, MMS_STACK_MAX_DEPTH);
		atomic_fetch_add(&oracle->n_libunwind, 1);
		if (!same(buffers->own, n, buffers->other, got > 0 ? (size_t)got : 0, &skip)) {
			atomic_fetch_add(&oracle->n_libunwind_diff, 1);
			keep_diff(1, buffers->own, n, buffers->other, (size_t)got);
		}
	}
	if (gcc_backtrace && gcc_every && k % gcc_every == 0)
		compare_gcc(buffers->own, n, buffers->other);
	if (k % 16 == 0)
		compare_full(fp, buffers->own, n, buffers->other);
}

/* A call from inside check(): a signal handler, or libunwind itself.  Only
 * what can be nested is compared: the capture and the uncached walk. */
static __attribute__((noinline)) void check_nested(void *const *fp)
{
	uint64_t pcs[200];
	struct reach reach;
	uintptr_t low, high;
	int was = place;

	if (n_nested >= 3)
		return;
	n_nested++;
	place = IN_WALK;
	uint32_t id = stack_find(thread_state, &session, CONTEXT, fp);
	place = IN_OTHERS;
	reach_own_stack((uintptr_t)fp, &low, &high);
	reach_init(&reach, (uintptr_t)(fp + 2), low, high);
	size_t n = full_walk(&reach, fp, pcs, 200);
	atomic_fetch_add(&oracle->n_nested, 1);
	if (n < 90)
		compare_interned(pcs, n, id);
	place = was;
	n_nested--;
}

static __attribute__((noinline)) void check(void *const *fp)
{
	int saved = errno, was = place;

	if (guard_inside()) {
		if (thread_state)
			check_nested(fp);
		errno = saved;
		return;
	}
	guard_enter();
	check_outer(fp);
	guard_leave();
	place = was;
	errno = saved;
}

#define CHECK_HERE() \
	do { \
		if (oracle) \
			check(__builtin_frame_address(0)); \
	} while (0)

/* Calls the real one, or serves from the ring when we are in it already. */
#define REAL(p, call, n) \
	do { \
		int was_ = place; \
		if (was_ == IN_REAL) { \
			p = ring_alloc(n); \
		} else { \
			place = IN_REAL; \
			p = call; \
			place = was_; \
		} \
	} while (0)

EXPORT void *malloc(size_t n)
{
	void *p;

	if (!real_malloc)
		find_functions();
	REAL(p, real_malloc(n), n);
	CHECK_HERE();
	return p;
}

EXPORT void *calloc(size_t n, size_t m)
{
	void *p;

	if (!real_calloc) { /* dlsym asks: from the ring, which is clean at first */
		p = ring_alloc(n * m);
		return p;
	}
	REAL(p, real_calloc(n, m), n * m);
	if (in_ring(p))
		memset(p, 0, n * m);
	CHECK_HERE();
	return p;
}

EXPORT void *realloc(void *old, size_t n)
{
	void *p;

	if (!real_realloc)
		find_functions();
	if (in_ring(old)) {
		p = malloc(n);
		if (p)
			memcpy(p, old, n);
		return p;
	}
	REAL(p, real_realloc(old, n), n);
	CHECK_HERE();
	return p;
}

EXPORT void *memalign(size_t alignment, size_t n)
{
	void *p;

	if (!real_memalign)
		find_functions();
	REAL(p, real_memalign(alignment, n), n);
	CHECK_HERE();
	return p;
}

EXPORT void *aligned_alloc(size_t alignment, size_t n)
{
	void *p;

	if (!real_memalign)
		find_functions();
	REAL(p, real_memalign(alignment, n), n);
	CHECK_HERE();
	return p;
}

EXPORT int posix_memalign(void **ret, size_t alignment, size_t n)
{
	void *p;

	if (!real_memalign)
		find_functions();
	REAL(p, real_memalign(alignment, n), n);
	CHECK_HERE();
	*ret = p;
	return p ? 0 : ENOMEM;
}

/* The loader frees what describes a module after unmapping it. */
static int count_unloads(struct dl_phdr_info *info, size_t size, void *ret)
{
	*(uint64_t *)ret = info->dlpi_subs;
	return 1;
}

static void freed_by(uintptr_t pc)
{
	static _Atomic uint64_t seen;
	uint64_t now = 0;

	if (pc - _r_debug.r_ldbase > 0x40000)
		return;
	dl_iterate_phdr(count_unloads, &now);
	if (atomic_exchange(&seen, now) != now)
		unwind_invalidate();
}

EXPORT void free(void *p)
{
	int was = place;

	if (oracle)
		freed_by((uintptr_t)__builtin_return_address(0));
	if (!p || in_ring(p) || was == IN_REAL)
		return; /* from inside the real one: a handler's block is given up */
	if (!real_free)
		find_functions();
	place = IN_REAL;
	real_free(p);
	place = was;
}
