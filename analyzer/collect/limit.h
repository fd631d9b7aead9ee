/*
 * limit.h - every limit that a process can hit, with what is left.
 *
 * Cgroups v1 and v2 with all ancestors that can be seen, host memory and
 * swap belong to a place (cgroups.h); RLIMIT_AS, DATA, STACK and MEMLOCK, the
 * number of areas, the end of the address space and the commit limit, of which
 * the kernel keeps back a share that depends on the process, to the process
 * (limit_process_read).  Read from kept descriptors.
 *
 * Sources: Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst,
 * mm/overcommit-accounting, proc(5), setrlimit(2), accounting/psi.rst,
 * __vm_enough_memory in mm/util.c.
 */
#ifndef COLLECT_LIMITS_H
#define COLLECT_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/record.h>

#define LIMITS_MAX 48
#define LIMIT_NONE UINT64_MAX /* unlimited, or not known */
#define LIMIT_UNLIMITED 0x7ffffffffffff000ull /* what cgroup v1 says for no limit */

enum limit_kind {
	LIMIT_CGROUP1,       /* memory.limit_in_bytes */
	LIMIT_CGROUP1_SWAP,  /* memory.memsw.limit_in_bytes: memory and swap */
	LIMIT_CGROUP2,       /* memory.max */
	LIMIT_CGROUP2_HIGH,  /* memory.high: throttles, does not kill */
	LIMIT_CGROUP2_SWAP,  /* memory.swap.max: full, nothing can be swapped out */
	LIMIT_HOST,          /* MemAvailable and free swap */
	LIMIT_COMMITTED,     /* CommitLimit in the overcommit modes 0 and 1: tells, refuses nothing */
	LIMIT_COMMIT,        /* CommitLimit less reserves, overcommit mode 2: refuses */
	LIMIT_AS,            /* RLIMIT_AS */
	LIMIT_DATA,          /* RLIMIT_DATA */
	LIMIT_STACK,         /* RLIMIT_STACK against the main stack */
	LIMIT_MEMLOCK,       /* RLIMIT_MEMLOCK */
	LIMIT_TASK_SIZE,     /* end of the address space */
	LIMIT_MAP_COUNT,     /* vm.max_map_count; counts areas, not bytes */
	/* Count threads (tasks.h): */
	LIMIT_NPROC,         /* RLIMIT_NPROC: of the user; looked at when one was refused */
	LIMIT_PIDS,          /* pids.max of a cgroup */
	LIMIT_THREADS,       /* kernel.threads-max */
	LIMIT_HUGETLB,       /* a pool of huge pages; looked at when it gave none (hugetlb.h) */
};

struct limit_point {
	enum limit_kind kind;
	const char *path;      /* cgroup or the name of the setting; lives with its reader */
	uint64_t limit, usage; /* bytes; areas for LIMIT_MAP_COUNT */
	uint64_t reclaimable;  /* file pages inside usage that the kernel drops first */
	/* LIMIT_NONE where the kernel does not tell: */
	uint64_t residue;      /* of a cgroup: usage that none of its statistics names */
	uint64_t swap;         /* in use by the group or host */
	uint64_t failures;     /* failcnt, or memory.events max (of high: high) */
	uint64_t oom_kills;    /* of the group; v2: and below; host: of all */
	uint64_t stall_us, full_stall_us; /* PSI: some, full; since boot */
	uint64_t peak;         /* most that the group ever used: what lies between two looks, too */
};

struct limit_points {
	struct limit_point at[LIMITS_MAX];
	size_t n;
};

/* What is left in bytes (or areas); negative when over. */
static inline int64_t limit_headroom(const struct limit_point *p)
{
	return (int64_t)p->limit - (int64_t)p->usage + (int64_t)p->reclaimable;
}

/* The shortest time that any limit is away, at the pace of what rose in the
 * `seconds` between the two; 1e9: none. */
double limit_seconds_left(const struct limit_points *now, const struct limit_points *before, double seconds);

const char *limit_kind_word(enum limit_kind kind);
/* Appends a point; NULL when `limit` or `usage` is LIMIT_NONE or there is no room. */
struct limit_point *limit_put(struct limit_points *p, enum limit_kind kind, const char *path, uint64_t limit,
	uint64_t usage, uint64_t reclaimable);

/* The number behind a key at the start of a line ("VmSize:  12 kB" gives 12);
 * LIMIT_NONE when absent. */
uint64_t limit_field(const char *text, const char *key);
/* The number that a file is; LIMIT_NONE when it holds none. */
uint64_t limit_number_in(const char *folder, const char *name);
/* The line that begins with a key; NULL when absent. */
const char *limit_line(const char *text, const char *key);
/* Text of a kept descriptor from its beginning; "" when unreadable.  lines: of
 * a file that comes in several reads (vmstat). */
const char *limit_text(int fd, char *buffer, size_t size);
const char *limit_lines(int fd, char *buffer, size_t size);
int limit_open(const char *folder, const char *name);
/* For the cost of a look. */
uint64_t limit_clock_ns(void);

/* What the machine lets processes commit; LIMIT_NONE: not known. */
struct limit_commit {
	uint64_t mode;                        /* vm.overcommit_memory */
	uint64_t limit, committed;            /* CommitLimit, Committed_AS; bytes */
	uint64_t admin_reserve, user_reserve; /* bytes kept back in mode 2 */
};

/* What a process may have at most, as it was read; a program seldom changes it. */
struct limit_set {
	uint64_t read_ns; /* 0: never */
	uint64_t as, data, stack, memlock, map_count;
	bool administrates; /* CAP_SYS_ADMIN */
};

/* A process's own files. */
struct limit_process {
	int folder_fd; /* /proc/PID; not owned */
	int limits_fd, count_fd; /* -1: not open yet; count_fd is max_map_count */
	struct limit_set set;
	uint64_t first_ns;
	bool doubted; /* set by the caller: something was refused, or the program is another */
	uint64_t map_count, counted_ns, count_cost_ns;
	uint64_t n_calls; /* set by the caller: calls about the address space that were told */
	uint64_t counted_calls, counted_size; /* these and VmSize when areas were counted */
	uint64_t task_size; /* 0: to be looked at */
};
void limit_process_init(struct limit_process *p, int folder_fd);
void limit_process_done(struct limit_process *p);
/* mm: what status says now.  What is used is of now.  What it may have is of now
 * where less than a quarter of it is left or it is doubted, else older by no more
 * than an eighth of the time since the first read, and than ten seconds.  False
 * when the process is gone. */
bool limit_process_read(struct limit_process *p, uint64_t now_ns, const struct mms_mm *mm,
	const struct limit_commit *commit, struct limit_points *ret);

/* What a process with the library told of itself: as limit_process_read, without
 * the commit limit and the number of areas. */
void limit_put_own(const struct mms_own_limits *own, struct limit_points *ret);

#endif
