/*
 * record.h - what stands in a ring block.
 *
 * A record is one or more 16-byte slots; the first holds two words:
 *
 *   w0 = stamp:38 | stack:24 | gen:2      w1 = ptr:44 | op:4 | size:16
 *
 * stamp  clock >> clock_shift (4), low 38 bits; the reader extends it from
 *        the block's base_stamp.  6.2 ns at 2.6 GHz, wraps after 28 minutes.
 * stack  id of the innermost node of the interned stack (files.h); 0: none.
 * gen    the block's generation; published last (ring.h).
 * ptr    address >> 3.
 * size   bytes, for sizes below 65535 and addresses that fit; otherwise the
 *        _EXT form of the op with a second slot {u64 size, u64 address}.
 *
 * MMS_OP_LONG: everything that is not a heap event.  size = number of slots,
 * the head included; ptr = enum mms_long; the payload (structs below) fills
 * the following slots.  A long record never crosses the end of a block: the
 * writer that does not fit publishes MMS_OP_PAD over what it reserved inside
 * the block (size = slots) and takes the next block.
 *
 * ORDER.  What gives memory away (free, munmap, the begin of realloc and
 * mremap) is stamped and published BEFORE the real call; what takes memory
 * (malloc, mmap, the end of realloc) AFTER it.
 */
#ifndef MMSCOPE_RECORD_H
#define MMSCOPE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

enum mms_op {
	MMS_OP_MALLOC = 1,  /* malloc, operator new, valloc */
	MMS_OP_CALLOC = 2,
	MMS_OP_ALIGNED = 3, /* memalign, aligned_alloc, posix_memalign, pvalloc, valloc */
	MMS_OP_FREE = 4,
	MMS_OP_REALLOC_BEGIN = 5, /* ptr = old block; NULL old is a plain MALLOC */
	MMS_OP_REALLOC_END = 6,   /* ptr, size, stack = new block; realloc and reallocarray */
	MMS_OP_REALLOC_FAIL = 7,  /* ptr = old block, which lives on; size 0: it was freed
	                           * (realloc(p, 0) that returned NULL), or became a block that is
	                           * not sampled, when the size field is 1 */
	MMS_OP_MALLOC_EXT = 8,
	MMS_OP_CALLOC_EXT = 9,
	MMS_OP_ALIGNED_EXT = 10,
	MMS_OP_FREE_EXT = 11,
	MMS_OP_REALLOC_BEGIN_EXT = 12,
	MMS_OP_REALLOC_END_EXT = 13,
	MMS_OP_LONG = 14,
	MMS_OP_PAD = 15,
};

#define MMS_STAMP_BITS 38
#define MMS_STACK_BITS 24
#define MMS_STAMP_MASK ((1ull << MMS_STAMP_BITS) - 1)
#define MMS_STACK_MASK ((1u << MMS_STACK_BITS) - 1)
#define MMS_SIZE_EXT 65535u      /* sizes from here on use _EXT */
#define MMS_PTR_LIMIT (1ull << 47) /* addresses from here on, or not 8-aligned: _EXT */

static inline uint64_t mms_w0(uint64_t stamp, uint32_t stack, uint32_t gen)
{
	return stamp << 26 | (uint64_t)stack << 2 | gen;
}
static inline uint64_t mms_w1(uint64_t ptr_or_long, uint32_t op, uint32_t size)
{
	return ptr_or_long << 20 | (uint64_t)op << 16 | size;
}
static inline uint64_t mms_w0_stamp(uint64_t w0) { return w0 >> 26; }
static inline uint32_t mms_w0_stack(uint64_t w0) { return (uint32_t)(w0 >> 2) & MMS_STACK_MASK; }
static inline uint32_t mms_w0_gen(uint64_t w0) { return (uint32_t)w0 & 3; }
static inline uint64_t mms_w1_ptr(uint64_t w1) { return w1 >> 20 << 3; }
static inline uint32_t mms_w1_long(uint64_t w1) { return (uint32_t)(w1 >> 20); }
static inline uint32_t mms_w1_op(uint64_t w1) { return (uint32_t)(w1 >> 16) & 15; }
static inline uint32_t mms_w1_size(uint64_t w1) { return (uint32_t)w1 & 0xffff; }

/* The second slot of an _EXT record. */
struct mms_ext {
	uint64_t size;
	uint64_t address;
};

/* Long records.  Strings are not NUL-ended: their length is given. */
enum mms_long {
	MMS_LONG_MMAP = 1,       /* struct mms_vm; after success */
	MMS_LONG_MUNMAP = 2,     /* struct mms_vm; before */
	MMS_LONG_MREMAP_BEGIN = 3, /* struct mms_vm: address, length = old; before */
	MMS_LONG_MREMAP = 4,     /* struct mms_vm: new; address2, length2 = old; after */
	MMS_LONG_BRK = 5,        /* struct mms_vm: address = new end, address2 = old end; up:
	                          * after success, down: before */
	MMS_LONG_MPROTECT = 6,   /* struct mms_vm; after success */
	MMS_LONG_MADVISE = 7,    /* struct mms_vm: flags = advice; after success */
	MMS_LONG_MLOCK = 8,      /* flags of mlock2; mlockall: address 0, length UINT64_MAX */
	MMS_LONG_MUNLOCK = 9,    /* munlockall: as above */
	MMS_LONG_SHMAT = 10,     /* struct mms_vm: offset = shmid */
	MMS_LONG_SHMDT = 11,     /* before */
	MMS_LONG_VM_FAIL = 12,   /* struct mms_vm: the preceding BEFORE record of this
	                          * thread (flags = its enum mms_long) did not happen */
	MMS_LONG_PROCESS = 20,   /* struct mms_process_note + exe path + argv (NUL separated) */
	MMS_LONG_MODULE = 21,    /* struct mms_module + path */
	MMS_LONG_CONTEXT = 22,   /* struct mms_context: this process changed its context */
	MMS_LONG_THREAD_NAME = 23, /* struct mms_thread_note + name */
	MMS_LONG_THREAD_END = 24,  /* struct mms_thread_note */
	MMS_LONG_FORK = 25,      /* struct mms_fork; parent's side, after the call */
	MMS_LONG_EXEC = 26,      /* struct mms_exec + path; before the call */
	MMS_LONG_EXEC_FAIL = 27, /* struct mms_exec; the image goes on */
	MMS_LONG_EXIT = 28,      /* struct mms_exit; the last word of the process */
	MMS_LONG_HEAP_FAIL = 29, /* struct mms_heap_fail: an allocation or a mapping was refused */
	MMS_LONG_PAGES = 40,     /* struct mms_pages + states of pages (pages.h) */
	MMS_LONG_AREA = 41,      /* struct mms_area + name + states of pages */
	MMS_LONG_SPACE = 42,     /* struct mms_space; closes the AREA records before it */
	MMS_LONG_GONE = 43,      /* struct mms_gone: before the MUNMAP or FREE that it speaks of */
	MMS_LONG_ALLOCATOR = 44, /* struct mms_allocator: after the SPACE of the end */
	MMS_LONG_REAPED = 45,    /* struct mms_reaped: a wait gave the end of a child */
	MMS_LONG_COW_PAGES = 50, /* struct mms_pages + enum mms_cow_state as states (pages.h) */
	MMS_LONG_COW_AREA = 51,  /* struct mms_cow_area + name */
	MMS_LONG_COW_ARM = 52,   /* struct mms_cow_arm; closes the two above */
	MMS_LONG_COW_LAST = 53,  /* struct mms_cow_last; closes COW_PAGES: the process ends */
	MMS_LONG_COW_TELL = 54,  /* no payload; closes COW_PAGES: written since the newest fork */
	MMS_LONG_COW_FRAMES = 55, /* no payload: COW_PAGES and COW_AREA follow, up to the COW_ARM of a
	                           * fork that comes; their frames are read before it */
	MMS_LONG_COW_FAULTS = 56, /* struct mms_cow_faults; the last record of a fork on each side */
	MMS_LONG_COW_STANDS = 57, /* no payload: the process stands still to be compared (MMS_REACH_COMPARE),
	                           * and what it told before this is all */
	MMS_LONG_ROOTS = 60,     /* struct mms_roots: before the process asks to be read */
	MMS_LONG_SAMPLING = 70,  /* struct mms_sampling: this thread's births from here on */
	MMS_LONG_ALIVE = 30,     /* no payload: a thread's first record where none other is due */
};

struct mms_vm {
	uint64_t address;
	uint64_t length;   /* bytes as passed by the caller */
	uint64_t address2;
	uint64_t length2;
	uint64_t offset;   /* file offset in bytes */
	uint32_t prot;
	uint32_t flags;
	int32_t fd;
	int32_t error;     /* errno of a failure record, else 0 */
};
_Static_assert(sizeof(struct mms_vm) == 56, "vm payload");

struct mms_process_note {
	uint64_t number;
	uint32_t context;
	uint16_t exe_length;
	uint16_t argv_length; /* cut at 1 KiB */
};

/* A module context is a set of loaded modules: every pc of a stack is to be
 * read in the context that stands in the stack's root node.  A process takes
 * a new context when something was unloaded, or when a forked child's modules
 * first differ from its parent's; it then lists all modules again. */
struct mms_module {
	uint64_t start, end; /* lowest and highest address of its PT_LOAD segments */
	uint64_t bias;       /* dlpi_addr: runtime address minus address in the file */
	uint32_t context;
	uint16_t path_length;
	uint8_t build_id_length; /* 0: none */
	uint8_t flags;           /* bit 0: main executable; bit 1: vdso; bit 2: loader;
	                          * bit 3: mmscope itself */
	uint8_t build_id[24];
	uint32_t file; /* its number in the session (stacks.h); 0: none */
	uint32_t pad;
};
_Static_assert(sizeof(struct mms_module) == 64, "module payload");
enum mms_module_flag { MMS_MODULE_EXE = 1, MMS_MODULE_VDSO = 2, MMS_MODULE_LOADER = 4, MMS_MODULE_SELF = 8 };

struct mms_context {
	uint32_t context;
	uint32_t previous;
};

struct mms_thread_note {
	uint32_t tid;
	uint32_t name_length;
};

enum mms_fork_kind { MMS_FORK_FORK = 1, MMS_FORK_UNDERSCORE = 2, MMS_FORK_ATFORK = 3, MMS_FORK_VFORK = 4,
	MMS_FORK_SPAWN = 5, MMS_FORK_CLONE = 6, MMS_FORK_SYSTEM = 7 };
struct mms_fork {
	uint64_t begin_stamp; /* full clock before the call */
	uint64_t end_stamp;   /* full clock after it: the pause of the parent */
	uint32_t child_pid;   /* 0: not known (atfork handlers only) */
	uint32_t kind;        /* enum mms_fork_kind */
	uint64_t faults;      /* minor faults of the parent so far */
	uint32_t watch;       /* enum mms_watch: what will be known of copy-on-write */
	int32_t witness;      /* pid of the witness; -errno: why there is none; 0: none was wanted */
	uint32_t share;       /* of MMS_COW_SHARE_ALL: pages that both sides protect */
	int16_t no_uffd, no_soft_dirty; /* -errno: why a better way was passed over; 0: it was not */
};
_Static_assert(sizeof(struct mms_fork) == 48, "fork payload");

/* Is a fork watched, and why not. */
enum mms_watch {
	MMS_WATCH_NONE,    /* no memory was copied, or nothing could be done */
	MMS_WATCH_UFFD,    /* each side write-protects its pages (COW_ARM) */
	MMS_WATCH_WITNESS, /* a third process holds the pages as they were at the fork */
	MMS_WATCH_OFF,     /* --cow off */
	MMS_WATCH_FILTER,  /* a system call filter is in force */
	MMS_WATCH_SMALL,   /* too little memory to be worth the cost */
	MMS_WATCH_EXECS,   /* children of this place always execute another program */
	MMS_WATCH_REFUSED, /* the kernel refused; COW_ARM says what */
	MMS_WATCH_CLONE,   /* a raw clone: known only from what the child recorded later */
	MMS_WATCH_SOFT_DIRTY, /* each side clears the soft-dirty bits of its pages (COW_ARM) */
	MMS_WATCH_FRAMES,  /* the frames of both sides are read from outside */
};

/* State of a page in COW_PAGES, written by a process about itself since its
 * pages were last protected; absent: not asked about, or not there. */
enum mms_cow_state {
	MMS_COW_ABSENT = 0,
	MMS_COW_WRITTEN = 1,
	MMS_COW_CLEAN = 2,
	MMS_COW_WRITTEN_HUGE = 3, /* in a 2 MiB entry */
	MMS_COW_CLEAN_HUGE = 4,
	MMS_COW_FRESH = 5, /* not protected: in an area that came since */
};

/* A private writable area that a fork copied, as its parent tells. */
struct mms_cow_area {
	uint64_t start, end;
	uint64_t armed; /* pages */
	uint32_t huge;  /* of these */
	int32_t error;  /* -errno: it could not be watched; -EBUSY: by a userfaultfd of its own */
	uint32_t stack; /* that mapped it; 0: not known */
	uint16_t name_length;
	uint8_t prot, origin;
};
_Static_assert(sizeof(struct mms_cow_area) == 40, "cow area payload");

/* One side of a fork has protected its pages.  The COW_PAGES before it are
 * the pages protected now, in the states that they had until now: what was
 * written belongs to earlier forks. */
enum mms_cow_side { MMS_COW_PARENT = 1, MMS_COW_CHILD = 2 };
struct mms_cow_arm {
	uint64_t begin_stamp; /* of the fork, as in struct mms_fork */
	uint64_t parent;      /* number of the process that forked */
	uint64_t faults;      /* minor faults of this process so far */
	uint64_t window;      /* of these, since the fork: writes that may have been missed */
	uint64_t pages;       /* protected */
	uint64_t cost_ns;
	uint32_t side;        /* enum mms_cow_side */
	int32_t error;        /* -errno: nothing is protected */
	uint32_t areas;       /* of the address space; 0: not counted (only the parent tells them) */
	uint32_t refused;     /* areas with an error */
	uint32_t chunks, chunks_armed; /* pieces of areas within 2 MiB of addresses, and those asked for */
	uint64_t resident;    /* of `pages`, those not in swap */
	uint64_t anonymous;   /* private pages in memory that could have been protected; 0: not known */
	uint64_t page_tables; /* bytes, after the fork and before anything was protected; 0: not known */
	uint32_t share;       /* of MMS_COW_SHARE_ALL: mms_cow_is_chosen says which 2 MiB are protected */
	uint32_t watch;       /* enum mms_watch: may come before the record of the fork */
};
_Static_assert(sizeof(struct mms_cow_arm) == 104, "cow arm payload");

#define MMS_COW_SHARE_ALL 1024u

/* Is the piece of 2 MiB with this number (address / 2 MiB) in the share?  Each
 * by the hash of its number alone (the finalizer of MurmurHash3): what a
 * smaller share has, a larger one has too. */
static inline bool mms_cow_is_chosen(uint64_t chunk, uint32_t share)
{
	chunk ^= chunk >> 33;
	chunk *= 0xff51afd7ed558ccdull;
	chunk ^= chunk >> 33;
	chunk *= 0xc4ceb9fe1a85ec53ull;
	chunk ^= chunk >> 33;
	return (chunk & (MMS_COW_SHARE_ALL - 1)) < share;
}

/* A side of a fork goes back to the program: its faults count from here on.  Of
 * several about one side the last one counts. */
struct mms_cow_faults {
	uint64_t begin_stamp, parent; /* as in struct mms_cow_arm */
	uint64_t faults; /* minor faults of this process without those of the thread that forked, in the fork */
	uint32_t side;   /* enum mms_cow_side */
	uint32_t zero;
};
_Static_assert(sizeof(struct mms_cow_faults) == 32, "cow faults payload");

/* The COW_PAGES before it are what is written now. */
struct mms_cow_last {
	uint64_t faults; /* minor faults of this process */
	uint64_t parent_faults; /* of who forked it, so far; 0: not known */
	int32_t error;   /* -errno: the pages are not known */
	uint32_t look;   /* enum mms_look: exit or exec */
};

struct mms_exec {
	uint32_t path_length;
	int32_t error;
};

struct mms_exit {
	int32_t status;
	uint32_t how; /* 0 exit (last handler), 1 _exit/_Exit, 2 quick_exit */
};

/* The pid is as the caller of wait sees it. */
struct mms_reaped {
	uint32_t pid;
	int32_t status; /* as from wait: it exited, or a signal killed it */
};

/* Where the thread stands that ends the process. */
struct mms_roots {
	uint64_t sp;           /* what lies below it is dead */
	uint64_t registers[6]; /* rbx rbp r12 r13 r14 r15: what the callers hold */
};
_Static_assert(sizeof(struct mms_roots) == 56, "roots");

/* Each birth that follows was recorded with probability 1 - exp(-(size + 1) /
 * interval).  A thread that tells nothing records every birth.  With an
 * interval, the stack field of a FREE is 1 when its thread neither allocated
 * nor freed anything since it got that block. */
struct mms_sampling {
	uint64_t interval; /* bytes; 0: every birth */
};

/* The accounting of an address space, in bytes where nothing else is said;
 * 0: not known.  What /proc/PID/status and /proc/PID/stat print. */
struct mms_mm {
	uint64_t total, peak_total, locked, pinned, data, stack, exec, library, page_table, swap;
	uint64_t rss, hiwater_rss, rss_anon, rss_file, rss_shmem;
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk; /* addresses */
	uint64_t start_stack, arg_start, arg_end, env_start, env_end, mmap_base, task_size;
	uint32_t map_count;
	uint32_t users; /* threads that share it */
};
_Static_assert(sizeof(struct mms_mm) == 232, "mm");

/* What a process may have (soft limits, MMS_NO_LIMIT), and what it has. */
#define MMS_NO_LIMIT UINT64_MAX
struct mms_own_limits {
	uint64_t as, data, stack, memlock;
	struct mms_mm mm; /* of status alone; total 0: could not be read */
};

#define MMS_HUGE_DEFAULT 0xffff /* the size that the kernel gives who asks for none */

struct mms_heap_fail {
	uint64_t size; /* 0: ENOMEM a fork, EAGAIN one thread or process too many;
	                * else EAGAIN is memory that could not be locked */
	int32_t error;
	uint16_t op; /* enum mms_op; 0: no block, but a mapping, the break or a fork */
	uint16_t huge; /* MAP_HUGETLB: log2 of its page's bytes, or MMS_HUGE_DEFAULT; else 0 */
	struct mms_own_limits own; /* at that moment; left out where nothing was asked */
};
_Static_assert(sizeof(struct mms_heap_fail) == 280, "heap_fail");

/* A look at a whole address space: for each area, in the order of addresses,
 * any number of PAGES and one AREA; SPACE ends it.  All by one thread. */
enum mms_look { MMS_LOOK_EXIT = 1, MMS_LOOK_EXEC = 2, MMS_LOOK_FORK = 3, MMS_LOOK_TICK = 4 };

/* Why an area exists; the order is that of preload/mirror/vma_tree.h. */
enum mms_origin {
	MMS_ORIGIN_UNKNOWN, MMS_ORIGIN_EXE, MMS_ORIGIN_LIBRARY, MMS_ORIGIN_FILE, MMS_ORIGIN_ANON,
	MMS_ORIGIN_BRK, MMS_ORIGIN_STACK, MMS_ORIGIN_THREAD_STACK, MMS_ORIGIN_SHMEM,
	MMS_ORIGIN_LIBC_HEAP, MMS_ORIGIN_LOADER, MMS_ORIGIN_PROFILER, MMS_ORIGIN_SPECIAL,
	MMS_ORIGINS
};

/* What changed without a call that we saw, by what it is. */
enum mms_hidden {
	MMS_HIDDEN_HEAP,         /* the break, moved by libc */
	MMS_HIDDEN_ARENA,        /* malloc arenas of threads */
	MMS_HIDDEN_BLOCK,        /* big blocks that malloc maps by themselves */
	MMS_HIDDEN_THREAD_STACK,
	MMS_HIDDEN_STACK,        /* the main stack grew */
	MMS_HIDDEN_LOADER,       /* libraries and their data */
	MMS_HIDDEN_PROFILER,     /* ours */
	MMS_HIDDEN_OTHER,
	MMS_HIDDEN_CLASSES
};

/* States of the pages from `page` on (address >> 12). */
struct mms_pages {
	uint64_t page;
	uint32_t n_bytes;
	uint32_t pad;
};

enum mms_area_known {
	MMS_AREA_UNKNOWN = 0,
	MMS_AREA_KNOWN = 1, /* its pages were looked at */
	MMS_AREA_PLAIN = 2, /* but the kernel does not tell zero and huge pages from others (before 6.7) */
};
struct mms_area {
	uint64_t start, end;
	uint64_t pgoff;      /* file offset in pages */
	uint64_t inode;
	uint64_t born_stamp; /* full clock of the call that made it; 0: not seen */
	uint32_t device;     /* major << 20 | minor */
	uint32_t stack;      /* of that call */
	uint32_t present, zero, swapped, huge; /* pages; zero is not part of present */
	uint64_t states_from; /* page from which on the states in this record are */
	uint32_t states_bytes;
	uint16_t name_length;
	uint16_t flags;      /* enum vma_flag */
	uint8_t prot, origin;
	uint8_t known;       /* enum mms_area_known */
	uint8_t pad[5];
};
_Static_assert(sizeof(struct mms_area) == 88, "area payload");

enum mms_space_flag {
	MMS_SPACE_NO_STATES = 1, /* states of some pages were left out; the counts are whole */
	MMS_SPACE_NO_TREE = 2,   /* the process's own list could not be used */
};
struct mms_space {
	uint32_t look;    /* enum mms_look */
	uint32_t n_areas; /* AREA records before this one */
	uint32_t flags;   /* enum mms_space_flag */
	int32_t scan_error; /* -errno: why pages were not looked at; else 0 */
	uint64_t cost_ns;
	uint64_t n_pages;       /* asked about */
	uint64_t checks;        /* times that the own list was compared with the kernel's */
	uint64_t differences;   /* found there */
	uint64_t left;          /* pages that still differed after the last comparison */
	uint64_t missed;        /* calls that were not followed: the list was in use */
	uint64_t hidden[MMS_HIDDEN_CLASSES]; /* differences by class: their sum */
	struct mms_mm mm;
};

/* Memory that is about to go: how much of it was ever used. */
enum mms_gone_kind { MMS_GONE_UNMAP = 1, MMS_GONE_FREE = 2 };
struct mms_gone {
	uint64_t address, length;
	uint64_t touched; /* pages present or swapped, of those that lie in it */
	uint32_t kind;    /* enum mms_gone_kind */
	uint32_t stack;   /* of the call that mapped it (UNMAP); 0: not known */
};

/* The allocator's own books, in bytes. */
enum mms_allocator_kind { MMS_ALLOCATOR_OTHER = 0, MMS_ALLOCATOR_GLIBC = 1, MMS_ALLOCATOR_JEMALLOC = 2 };
struct mms_allocator {
	uint64_t in_use;     /* in blocks, what it adds to them included (glibc) or not (jemalloc) */
	uint64_t cached;     /* kept whole: glibc's keepcost, jemalloc's pages without a block */
	uint64_t fragmented; /* free between blocks: the rest of glibc's fordblks, jemalloc's active - allocated */
	uint64_t mapped;     /* of glibc: blocks that are mappings of their own, part of none of the above */
	uint64_t cost_ns;
	uint32_t kind;       /* enum mms_allocator_kind */
	int32_t error;       /* -errno: it was not asked, or did not answer (-EDEADLK) */
};
_Static_assert(sizeof(struct mms_allocator) == 48, "allocator payload");

#endif
