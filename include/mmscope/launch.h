/*
 * launch.h - how a session begins, is joined, gets its collector and is heard.
 *
 * Compiled by both sides: `mmscope run` makes the session and starts the
 * collector before it becomes the target; the preload joins, and does the
 * same work itself when it was put before a program by hand.
 *
 * Law: raw system calls only (syscall.h), no libc function, errno untouched,
 * nothing printed, no descriptor left behind.  Everything returns 0, a value,
 * or -errno.
 */
#ifndef MMSCOPE_LAUNCH_H
#define MMSCOPE_LAUNCH_H

#include <linux/sched.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "record.h"
#include "ring.h"
#include "session.h"
#include "stacks.h"
#include "syscall.h"

#define MMS_SESSION_PATH_MAX 512

struct mms_create_options {
	const char *output;        /* absolute path of the database */
	const char *collector_bin; /* absolute path of mmscope; NULL: not known */
	const char *fallback_dir;  /* folder for the session file when /dev/shm does not serve; NULL: none */
	const char *follow_glob;   /* with MMS_FOLLOW_GLOB; else NULL */
	const char *cwd;           /* NULL: not known */
	const char *program;       /* file that is executed first; NULL: not known */
	uint32_t n_cells_max;      /* 0: MMS_MAX_CELLS */
	uint32_t n_ring_max;       /* 0: MMS_RING_CELLS */
	uint32_t n_ring_first;     /* ring cells from the start, where no collector will add
	                            * any (at most 512); 0: those of MMS_INITIAL_CELLS */
	uint32_t policy, mode, follow, cow, engine; /* 0: block, exact, all, auto, own */
	uint64_t sample_bytes;     /* 0: 512 KiB */
	uint32_t record_events;
	uint32_t audit_every;
	bool no_reach;
	uint32_t duration_s;       /* 0: until the last process has ended */
	uint32_t processes_max;    /* 0: as many as usual */
	uint32_t workers;          /* threads of the collector that read records; 0: as many as needed */
	uint32_t creator_pid;      /* the first target's pid; 0: the caller's */
	bool any_uid;              /* children under other user ids may join: file mode 0666
	                            * under its random name in a folder nobody can list */
};

/* ---- the clock ---- */

static inline uint64_t mms_rdtsc(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline uint64_t mms_clock_ns(int clock)
{
	struct timespec t = { 0, 0 };
	mms_clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The full stamp of a session's clock (enum mms_clock). */
static inline uint64_t mms_stamp(uint32_t clock)
{
	return clock == MMS_CLOCK_TSC ? mms_rdtsc() : mms_clock_ns(CLOCK_MONOTONIC_RAW);
}

static inline bool mms_tsc_invariant(void)
{
	uint32_t a = 0x80000000u, b, c = 0, d;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (a < 0x80000007u)
		return false;
	a = 0x80000007u;
	c = 0;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return d >> 8 & 1;
}

/* The TSC serves when the processor says that it neither stops nor changes
 * its rate AND the kernel has not found otherwise: a kernel that caught the
 * processors out of step runs on hpet or acpi_pm. */
static inline uint32_t mms_choose_clock(void)
{
	char name[32];
	if (!mms_tsc_invariant())
		return MMS_CLOCK_MONOTONIC_RAW;
	int fd = mms_openat(AT_FDCWD, "/sys/devices/system/clocksource/clocksource0/current_clocksource",
		O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return MMS_CLOCK_TSC;
	long n = mms_read(fd, name, sizeof(name) - 1);
	mms_close(fd);
	name[n > 0 ? n : 0] = 0;
	const char *rest;
	if (mms_after(name, "tsc", &rest) || mms_after(name, "kvm-clock", &rest) ||
		mms_after(name, "hyperv_clocksource_tsc", &rest))
		return MMS_CLOCK_TSC;
	return MMS_CLOCK_MONOTONIC_RAW;
}

/* ---- mapping ---- */

/* Maps `bytes` of fd at a 64 KiB aligned address: reserves with room to
 * spare, maps over the aligned part, gives the edges back. */
static inline int mms_map_aligned(int fd, size_t bytes, uint8_t **ret)
{
	size_t span = bytes + MMS_CELL_SIZE;
	long at = mms_mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mms_is_error(at))
		return (int)at;
	uintptr_t low = (uintptr_t)at;
	uintptr_t base = (low + MMS_CELL_SIZE - 1) & ~(uintptr_t)(MMS_CELL_SIZE - 1);
	long r = mms_mmap((void *)base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (mms_is_error(r)) {
		mms_munmap((void *)low, span);
		return (int)r;
	}
	if (base > low)
		mms_munmap((void *)low, base - low);
	if (low + span > base + bytes)
		mms_munmap((void *)(base + bytes), low + span - (base + bytes));
	*ret = (uint8_t *)base;
	return 0;
}

/* How many cells this process may map: all that the session can grow to; when
 * its address space is limited, no more than a 64th of that (our reservation
 * takes from what the target can get), but what exists already. */
static inline uint32_t mms_cells_to_map(uint32_t n_max, uint32_t n_ready)
{
	struct rlimit limit;
	if (mms_getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return n_max;
	uint64_t n = limit.rlim_cur / 64 >> MMS_CELL_SHIFT;
	return n >= n_max ? n_max : n > n_ready ? (uint32_t)n : n_ready;
}

/* ---- making a session ---- */

static inline void mms_copy_string(char *to, size_t room, const char *from)
{
	size_t i = 0;
	for (; from && from[i] && i + 1 < room; i++)
		to[i] = from[i];
	to[i] = 0;
}

/* Cells that are there from the start.  Where nobody adds any: the ring that
 * was asked for, and with it room for 32,768 stack nodes. */
#define MMS_LONELY_NODES 7u
#define MMS_LONELY_INDEX 4u
static inline uint32_t mms_first_cells(const struct mms_create_options *o)
{
	uint32_t n = !o->n_ring_first ? MMS_INITIAL_CELLS :
		o->n_ring_first + 3 + MMS_LONELY_NODES + MMS_LONELY_INDEX;
	return n;
}

/* The header of a new session.  The file is fresh, so all else is zero. */
static inline void mms_header_init(const struct mms_session *s, const struct mms_create_options *o,
	const uint8_t id[16])
{
	struct mms_header *h = s->header;
	struct mms_cell0 *c = s->cell0;
	h->version = MMS_PROTOCOL_VERSION;
	h->header_bytes = sizeof(struct mms_header);
	h->n_cells_max = o->n_cells_max ? o->n_cells_max : MMS_MAX_CELLS;
	h->n_ring_max = o->n_ring_max ? o->n_ring_max : MMS_RING_CELLS;
	h->policy = o->policy ? o->policy : MMS_POLICY_BLOCK;
	h->mode = o->mode ? o->mode : MMS_MODE_EXACT;
	h->sample_bytes = o->sample_bytes ? o->sample_bytes : 512u << 10;
	h->duration_s = o->duration_s;
	h->processes_max = o->processes_max;
	h->workers = o->workers;
	bool samples = h->mode == MMS_MODE_SAMPLE;
	h->no_reach = o->no_reach ? MMS_NO_REACH_WANTED : samples ? MMS_NO_REACH_PARTIAL : 0;
	atomic_store_explicit(&h->interval, samples ? h->sample_bytes : 0, memory_order_relaxed);
	atomic_store_explicit(&h->recording, samples ? MMS_RECORDING_SAMPLE : MMS_RECORDING_EXACT,
		memory_order_relaxed);
	h->follow = o->follow ? o->follow : MMS_FOLLOW_ALL;
	h->cow = o->cow ? o->cow : MMS_COW_AUTO;
	h->engine = o->engine ? o->engine : MMS_ENGINE_OWN;
	h->record_events = o->record_events;
	h->audit_every = o->audit_every;
	h->creator_pid = o->creator_pid ? o->creator_pid : (uint32_t)mms_getpid();
	h->clock = mms_choose_clock();
	h->clock_shift = 4;
	h->start_stamp = mms_stamp(h->clock);
	h->start_monotonic_ns = mms_clock_ns(CLOCK_MONOTONIC);
	h->start_realtime_ns = mms_clock_ns(CLOCK_REALTIME);
	h->clock_hz = h->clock == MMS_CLOCK_MONOTONIC_RAW ? 1000000000u : 0;
	for (int i = 0; i < 16; i++)
		h->id[i] = id[i];
	mms_copy_string(h->output, sizeof(h->output), o->output);
	mms_copy_string(h->collector_bin, sizeof(h->collector_bin), o->collector_bin);
	mms_copy_string(h->follow_glob, sizeof(h->follow_glob), o->follow_glob);
	mms_copy_string(h->cwd, sizeof(h->cwd), o->cwd);
	mms_copy_string(h->program, sizeof(h->program), o->program);

	atomic_store_explicit(&h->next_process, 1, memory_order_relaxed);
	atomic_store_explicit(&h->next_context, 1, memory_order_relaxed);
	atomic_store_explicit(&h->next_node, 1, memory_order_relaxed);
	c->cell_kind[0] = MMS_CELL_HEADER;
	c->cell_kind[1] = MMS_CELL_NODES;
	c->node_cell[0] = 1;
	atomic_store_explicit(&h->n_node_cells, 1, memory_order_relaxed);
	uint32_t n_ring = o->n_ring_first ? o->n_ring_first : MMS_INITIAL_CELLS - 3, last = mms_first_cells(o) - 1;
	for (uint32_t i = 2; i < 2 + n_ring; i++) {
		c->cell_kind[i] = MMS_CELL_RING;
		((struct mms_block *)(void *)mms_cell(s, i))->gen = 1;
	}
	for (uint32_t i = 2 + n_ring, k = 0; i < last; i++, k++) {
		bool node = k < MMS_LONELY_NODES;
		c->cell_kind[i] = node ? MMS_CELL_NODES : MMS_CELL_INDEX;
		if (node)
			c->node_cell[atomic_fetch_add(&h->n_node_cells, 1)] = (uint16_t)i;
		else
			c->index_cell[atomic_fetch_add(&h->n_index_cells, 1)] = (uint16_t)i;
	}
	c->cell_kind[last] = MMS_CELL_FILES;
	h->files_cell = (uint16_t)last;
	atomic_store_explicit(&h->n_cells_ready, last + 1, memory_order_release);
	__atomic_store_n(&h->magic, MMS_SESSION_MAGIC, __ATOMIC_RELEASE);
}

/* Opens our folder below /dev/shm, making it if need be.  It must be a real
 * folder, ours, and not readable by others: the random name of the file is
 * what keeps strangers out of it. */
static inline int mms_open_session_dir(char *path, size_t room)
{
	struct stat st;
	path[0] = 0;
	int r = mms_append(path, room, "/dev/shm/mmscope.");
	r = r ? r : mms_append_number(path, room, mms_geteuid());
	if (r < 0)
		return r;
	bool made = mms_syscall3(SYS_mkdirat, AT_FDCWD, (long)path, 0711) == 0;
	int dir = mms_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (dir < 0)
		return dir;
	if (made) /* whatever the umask said */
		mms_syscall3(SYS_fchmod, dir, 0711, 0);
	r = mms_fstat(dir, &st);
	if (r == 0 && (st.st_uid != mms_geteuid() || (st.st_mode & 07777) != 0711))
		r = -EPERM;
	if (r < 0) {
		mms_close(dir);
		return r;
	}
	return dir;
}

/* Makes the file in `dir`, preallocates and maps it. */
static inline int mms_create_in(int dir, const char *name, const struct mms_create_options *o,
	const uint8_t id[16], struct mms_session *ret)
{
	size_t bytes = (size_t)mms_first_cells(o) << MMS_CELL_SHIFT;
	int fd = mms_openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fd;
	uint32_t n_max = o->n_cells_max ? o->n_cells_max : MMS_MAX_CELLS;
	uint32_t n = mms_cells_to_map(n_max, mms_first_cells(o));
	int r = o->any_uid ? (int)mms_syscall3(SYS_fchmod, fd, 0666, 0) : 0;
	if (r == 0)
		r = mms_fallocate(fd, 0, bytes);
	if (r == 0)
		r = mms_map_aligned(fd, (size_t)n << MMS_CELL_SHIFT, &ret->base);
	mms_close(fd);
	if (r < 0) {
		mms_syscall3(SYS_unlinkat, dir, (long)name, 0);
		return r;
	}
	ret->n_cells_mapped = n;
	mms_header_init(ret, o, id);
	return 0;
}

static inline int mms_create_shm(const char *hex, const struct mms_create_options *o,
	const uint8_t id[16], char *path, struct mms_session *ret)
{
	int dir = mms_open_session_dir(path, MMS_SESSION_PATH_MAX);
	if (dir < 0)
		return dir;
	int r = mms_create_in(dir, hex, o, id, ret);
	mms_close(dir);
	r = r ? r : mms_append(path, MMS_SESSION_PATH_MAX, "/");
	return r ? r : mms_append(path, MMS_SESSION_PATH_MAX, hex);
}

static inline int mms_create_beside(const char *hex, const struct mms_create_options *o,
	const uint8_t id[16], char *path, struct mms_session *ret)
{
	path[0] = 0;
	int r = mms_append(path, MMS_SESSION_PATH_MAX, o->fallback_dir);
	r = r ? r : mms_append(path, MMS_SESSION_PATH_MAX, "/.mmscope.");
	r = r ? r : mms_append(path, MMS_SESSION_PATH_MAX, hex);
	return r ? r : mms_create_in(AT_FDCWD, path, o, id, ret);
}

/* Makes a session file, maps it, and writes its path.  -EFBIG when the
 * process may not write a file of that size (asking would be SIGXFSZ). */
static inline int mms_session_create(const struct mms_create_options *o, char path[MMS_SESSION_PATH_MAX],
	struct mms_session *ret)
{
	uint8_t id[16];
	char hex[33] = "";
	struct rlimit limit;
	if (mms_getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
		limit.rlim_cur < (uint64_t)mms_first_cells(o) << MMS_CELL_SHIFT)
		return -EFBIG;
	if (mms_syscall3(SYS_getrandom, (long)id, sizeof(id), 1 /* GRND_NONBLOCK */) != sizeof(id))
		return -EAGAIN;
	mms_append_hex(hex, sizeof(hex), id, sizeof(id));
	int r = mms_create_shm(hex, o, id, path, ret);
	if (r < 0 && o->fallback_dir)
		r = mms_create_beside(hex, o, id, path, ret);
	return r;
}

/* ---- joining ---- */

/* The first words of struct mms_header: all of it is 5 KiB, stacks are small. */
struct mms_header_start {
	uint64_t magic;
	uint32_t version, header_bytes, n_cells_max, n_cells_ready;
};
_Static_assert(offsetof(struct mms_header, n_cells_max) == offsetof(struct mms_header_start, n_cells_max) &&
		offsetof(struct mms_header, n_cells_ready) == offsetof(struct mms_header_start, n_cells_ready),
	"start of the header");

static inline int mms_join_fd(int fd, struct mms_session *ret)
{
	struct stat st;
	struct mms_header_start head;
	int r = mms_fstat(fd, &st);
	if (r < 0)
		return r;
	/* A stranger's file could be cut short under us, which is SIGBUS. */
	if (!S_ISREG(st.st_mode) || (st.st_uid != mms_geteuid() && st.st_uid != mms_getuid() && st.st_uid != 0))
		return -EPERM;
	if (mms_read(fd, &head, sizeof(head)) != (long)sizeof(head))
		return -EPROTO;
	uint32_t n_ready = head.n_cells_ready;
	if (head.magic != MMS_SESSION_MAGIC || head.version != MMS_PROTOCOL_VERSION ||
		head.header_bytes != sizeof(struct mms_header) || head.n_cells_max > MMS_MAX_CELLS ||
		n_ready < MMS_INITIAL_CELLS || n_ready > head.n_cells_max ||
		(uint64_t)st.st_size < (uint64_t)n_ready << MMS_CELL_SHIFT)
		return -EPROTO;
	uint32_t n = mms_cells_to_map(head.n_cells_max, n_ready);
	r = mms_map_aligned(fd, (size_t)n << MMS_CELL_SHIFT, &ret->base);
	if (r == 0)
		ret->n_cells_mapped = n;
	return r;
}

/* Maps an existing session (targets: not the collector, which extends it). */
static inline int mms_session_join(const char *path, struct mms_session *ret)
{
	int fd = mms_openat(AT_FDCWD, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	int r = mms_join_fd(fd, ret);
	mms_close(fd);
	return r;
}

static inline bool mms_session_is_small(const struct mms_session *s)
{
	return s->n_cells_mapped < s->header->n_cells_max;
}

/* ---- the doorbell ---- */

static inline socklen_t mms_doorbell_address(const struct mms_header *h, struct sockaddr_un *ret)
{
	char *name = ret->sun_path + 1;
	ret->sun_family = AF_UNIX;
	ret->sun_path[0] = 0;
	name[0] = 0;
	mms_append(name, sizeof(ret->sun_path) - 1, "mmscope.");
	mms_append_hex(name, sizeof(ret->sun_path) - 1, h->id, sizeof(h->id));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + mms_strlen(name));
}

/* Tells the collector of this process; the kernel adds its pid and pidfd.
 * Never waits.  -ECONNREFUSED: no collector; -EAGAIN: its queue is full. */
static inline int mms_doorbell_ring(const struct mms_header *h, uint32_t slot, uint32_t begin, uint64_t number)
{
	struct sockaddr_un address;
	struct mms_doorbell note = { .slot = slot, .begin = begin, .number = number };
	socklen_t length = mms_doorbell_address(h, &address);
	int fd = (int)mms_syscall3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	int r = (int)mms_syscall3(SYS_connect, fd, (long)&address, length);
	if (r == 0) {
		long n = mms_syscall6(SYS_sendto, fd, (long)&note, sizeof(note), MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
		r = n < 0 ? (int)n : 0;
	}
	mms_close(fd);
	return r;
}

/* ---- starting the collector ---- */

/*
 * Two processes, so that the collector is nobody's child:
 *
 *   caller --clone(VM|VFORK, no exit signal)--> A --clone(VM|VFORK)--> B
 *   A opens a pidfd of the target, starts B, waits until B has become
 *   `mmscope collect`, and ends; the caller reaps A with __WCLONE, which no
 *   wait of the program would ever report; B belongs to init.
 *
 * VM: neither copies the caller's page tables (a plain fork costs 0.5 ms at
 * 512 MiB).  VFORK: the caller stands still until its memory is its own
 * again.  UNTRACED: a debugger of the target does not get them as inferiors.
 */
struct mms_collector_options {
	const char *bin;     /* absolute path of mmscope */
	const char *session; /* absolute path of the session file */
	const char *path;    /* "PATH=..." or NULL */
	int target_pid;      /* 0: the caller */
	int ready_fd;        /* becomes descriptor 10 of the collector; -1: none */
	int *ret_pid;        /* pid of the collector; may be NULL */
};

struct mms_spawn_state {
	const struct mms_collector_options *options;
	int error;      /* B could not become the collector: -errno */
	int pidfd;      /* in A's and B's table of descriptors */
	int ready_fd;
	uint8_t *stack_b;
};

#define MMS_PIDFD_FD 3
#define MMS_READY_FD 10
#define MMS_SPAWN_STACK 16384

/* clone with a stack of its own: the child runs fn(arg) and never comes back. */
static inline __attribute__((always_inline)) long mms_clone_call(unsigned long flags, uint8_t *stack_end,
	void (*fn)(void *), void *arg)
{
	long ret;
	uintptr_t top = ((uintptr_t)stack_end & ~(uintptr_t)15) - 16;
	((void **)top)[0] = (void *)fn;
	((void **)top)[1] = arg;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "pop %%rdi\n\t"
			 "call *%%rax\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone), "D"(flags), "S"(top), "d"(0L), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline void mms_close_range(unsigned low, unsigned high)
{
	if (low > high || mms_syscall3(SYS_close_range, low, high, 0) == 0)
		return;
	struct rlimit limit = { 1024, 1024 }; /* before Linux 5.9 */
	mms_getrlimit(RLIMIT_NOFILE, &limit);
	unsigned end = limit.rlim_cur < 65536 ? (unsigned)limit.rlim_cur : 65536;
	for (unsigned fd = low; fd <= high && fd < end; fd++)
		mms_close((int)fd);
}

/* Descriptors of B: null on 0-2, the pidfd on 3, the ready pipe on 10. */
static inline void mms_spawn_descriptors(struct mms_spawn_state *s)
{
	/* Both out of the way first: either may sit on the other's number. */
	int pidfd = (int)mms_syscall3(SYS_fcntl, s->pidfd, F_DUPFD, 20);
	int ready = s->ready_fd < 0 ? -1 : (int)mms_syscall3(SYS_fcntl, s->ready_fd, F_DUPFD, 20);
	mms_syscall3(SYS_dup2, pidfd, MMS_PIDFD_FD, 0);
	if (ready >= 0)
		mms_syscall3(SYS_dup2, ready, MMS_READY_FD, 0);
	mms_close_range(0, 2);
	mms_close_range(MMS_PIDFD_FD + 1, ready >= 0 ? MMS_READY_FD - 1 : ~0u);
	if (ready >= 0)
		mms_close_range(MMS_READY_FD + 1, ~0u);
	int null = mms_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
	if (null == 0) {
		mms_syscall3(SYS_dup2, 0, 1, 0);
		mms_syscall3(SYS_dup2, 0, 2, 0);
	}
}

/* The target's limits are not the collector's: as much as may be had. */
static inline void mms_spawn_limits(void)
{
	for (int which = 0; which < RLIM_NLIMITS; which++) {
		struct rlimit limit;
		if (which == RLIMIT_STACK || mms_getrlimit(which, &limit) < 0)
			continue;
		limit.rlim_cur = which == RLIMIT_CORE ? 0 : limit.rlim_max;
		mms_syscall4(SYS_prlimit64, 0, which, (long)&limit, 0);
	}
}

/* B puts away what is the target's: signals, terminal, descriptors, limits,
 * folder.  Signals stay blocked. */
static inline void mms_spawn_detach(struct mms_spawn_state *s)
{
	long action[4] = { 0, 0, 0, 0 }; /* SIG_DFL, in the kernel's form */
	for (int sig = 1; sig <= 64; sig++)
		mms_syscall4(SYS_rt_sigaction, sig, (long)action, 0, 8);
	mms_syscall3(SYS_setsid, 0, 0, 0);
	mms_spawn_descriptors(s);
	mms_spawn_limits();
	mms_syscall3(SYS_chdir, (long)"/", 0, 0);
}

/* B.  Shares the caller's memory until execve: writes only its stack and
 * s->error. */
static inline void mms_spawn_b(void *argument)
{
	struct mms_spawn_state *s = argument;
	const struct mms_collector_options *o = s->options;
	const char *argv[] = { "mmscope", "collect", o->session, NULL };
	const char *envp[] = { o->path, NULL };
	mms_spawn_detach(s);
	mms_signals_set(0);
	s->error = (int)mms_syscall3(SYS_execve, (long)o->bin, (long)argv, (long)envp);
	mms_exit_group(127);
}

/* A. */
static inline void mms_spawn_a(void *argument)
{
	struct mms_spawn_state *s = argument;
	int pid = s->options->target_pid ? s->options->target_pid : mms_getppid();
	s->ready_fd = s->options->ready_fd;
	s->pidfd = (int)mms_syscall3(SYS_pidfd_open, pid, 0, 0);
	if (s->pidfd < 0) {
		s->error = s->pidfd;
		mms_exit_group(127);
	}
	long b = mms_clone_call(CLONE_VM | CLONE_VFORK | CLONE_UNTRACED | 17 /* SIGCHLD, to init */,
		s->stack_b, mms_spawn_b, s);
	if (b < 0)
		s->error = (int)b;
	else if (s->options->ret_pid)
		*s->options->ret_pid = (int)b;
	mms_exit_group(b < 0 ? 127 : 0);
}

/* Runs A and waits for its end; all signals are held back meanwhile.  0 or -errno. */
static inline int mms_spawn(uint8_t *stack_end, void (*a_main)(void *), void *state)
{
	uint64_t signals = mms_signals_block();
	long a = mms_clone_call(CLONE_VM | CLONE_VFORK | CLONE_UNTRACED, stack_end, a_main, state);
	if (a > 0) {
		int status = 0;
		long r;
		do
			r = mms_syscall4(SYS_wait4, a, (long)&status, (long)0x80000000u /* __WCLONE */, 0);
		while (r == -EINTR);
	}
	mms_signals_set(signals);
	return a < 0 ? (int)a : 0;
}

/* Starts `mmscope collect SESSION` as nobody's child.  Returns once it runs
 * (not: once it listens; that is what ready_fd tells), or -errno.  Takes
 * about 0.1 ms. */
static inline int mms_collector_start(const struct mms_collector_options *o)
{
	static uint8_t stacks[2][MMS_SPAWN_STACK] __attribute__((aligned(16)));
	struct mms_spawn_state state = { .options = o, .stack_b = stacks[1] + MMS_SPAWN_STACK };
	int r = mms_spawn(stacks[0] + MMS_SPAWN_STACK, mms_spawn_a, &state);
	return r < 0 ? r : __atomic_load_n(&state.error, __ATOMIC_RELAXED);
}

#endif
