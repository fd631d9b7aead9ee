/*
 * session.h - the session file: what the target and the collector share.
 *
 * One file per session (a target and everything it forks or executes), in
 * /dev/shm or the output folder, mapped MAP_SHARED by every process of the
 * session and by the collector.  It is a sequence of 64 KiB CELLS.  Cell 0 is
 * the header area below; every other cell has one kind (enum mms_cell_kind)
 * which it keeps for the life of the session.  The creator preallocates
 * MMS_INITIAL_CELLS; the collector appends more (posix_fallocate first, then
 * kind, then n_cells_ready with release order), up to n_cells_max.  Nothing
 * beyond n_cells_ready may be touched by a target: that would be SIGBUS.
 *
 * Every mapping starts at a 64 KiB aligned address, so that the header of a
 * ring block is found from any pointer into it.
 *
 * CHANGING THIS FILE: any change of layout or meaning raises
 * MMS_PROTOCOL_VERSION.  A process that meets another version does not join.
 *
 * Who writes what is said at each field: T = target processes, C = collector,
 * K = creator of the session (before anybody else can see it).
 */
#ifndef MMSCOPE_SESSION_H
#define MMSCOPE_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MMS_PROTOCOL_VERSION 4u
#define MMS_SESSION_MAGIC 0x0065706f63736d6dull /* "mmscope\0" */

#define MMS_CELL_SIZE 65536u
#define MMS_CELL_SHIFT 16
#define MMS_INITIAL_CELLS 5u /* header, first stack nodes, two ring blocks, files */
#define MMS_MAX_CELLS 1024u  /* 64 MiB: bound of the file whatever is asked */
#define MMS_RING_CELLS 512u  /* 32 MiB: bound of the ring when nothing is asked */

/* Environment variables.  MMSCOPE_SESSION holds the path of the session file
 * and is set by `mmscope run` or by the first process's constructor. */
#define MMS_ENV_SESSION "MMSCOPE_SESSION"

enum mms_cell_kind {
	MMS_CELL_NONE = 0, /* not there yet */
	MMS_CELL_HEADER,
	MMS_CELL_RING,      /* one ring block, ring.h */
	MMS_CELL_NODES,     /* MMS_NODES_PER_CELL stack nodes, stacks.h */
	MMS_CELL_INDEX,     /* a part of a stack index segment, stacks.h */
	MMS_CELL_PROCESSES, /* MMS_PROCESSES_PER_CELL more process slots */
	MMS_CELL_THREADS,   /* MMS_THREADS_PER_CELL more thread slots */
	MMS_CELL_FILES,     /* struct mms_files, files.h; one, from the start */
};

enum mms_clock { MMS_CLOCK_TSC = 1, MMS_CLOCK_MONOTONIC_RAW = 2 };
enum mms_policy { MMS_POLICY_BLOCK = 1, MMS_POLICY_DROP = 2 };
enum mms_mode { MMS_MODE_EXACT = 1, MMS_MODE_SAMPLE = 2 };
#define MMS_INTERVAL_MAX (1ull << 40) /* bytes between samples, at most */

/* What the targets do with heap events: mms_header.recording.  All else (calls
 * that map and unmap, forks, modules, ends) is recorded unless it is OFF. */
enum mms_recording {
	MMS_RECORDING_OFF = 0,     /* nothing at all, for good */
	MMS_RECORDING_EXACT = 1,   /* every one */
	MMS_RECORDING_SAMPLE = 2,  /* also a bit of THINNED: sampled blocks, their births and their ends */
	MMS_RECORDING_THINNED = 3, /* sampled births and all frees: once there were
	                            * blocks in the books that were not sampled */
	MMS_RECORDING_PAUSED = 4,  /* none */
};
enum mms_cow { MMS_COW_AUTO = 1, MMS_COW_WITNESS = 2, MMS_COW_OFF = 3 };
#define MMS_WITNESS_NAME "mms-witness" /* its comm: the collector knows it by that */
enum mms_follow { MMS_FOLLOW_ALL = 1, MMS_FOLLOW_NONE = 2, MMS_FOLLOW_GLOB = 3 };
enum mms_engine { MMS_ENGINE_OWN = 1, MMS_ENGINE_LIBUNWIND = 2 };

/* Life of the collector as the targets see it. */
enum mms_collector_state {
	MMS_COLLECTOR_NONE = 0,   /* nobody yet: record, do not wait for anyone */
	MMS_COLLECTOR_ALIVE = 1,  /* waiting for a free block makes sense */
	MMS_COLLECTOR_GONE = 2,   /* found dead (OWNER_DIED) or left: go quiet */
	MMS_COLLECTOR_COMING = 3, /* started, not there yet: a short wait makes sense */
};

/* Life of a process slot.  0 -> CLAIMED by CAS (T); then LIVE (T, release);
 * FREE again by C alone, when the process is gone and its blocks are read. */
enum mms_slot_state { MMS_SLOT_FREE = 0, MMS_SLOT_CLAIMED = 1, MMS_SLOT_LIVE = 2 };

/* How an image (one process between two execs) began and ended. */
enum mms_begin {
	MMS_BEGIN_START = 1, /* the first process of the session */
	MMS_BEGIN_FORK = 2,  /* fork, _Fork, daemon, forkpty, raw clone: same image */
	MMS_BEGIN_EXEC = 3,  /* same pid as before, new image */
	MMS_BEGIN_SPAWN = 4, /* new pid and new image: vfork, posix_spawn, system */
};
enum mms_end {
	MMS_END_NONE = 0,   /* still running, or nothing is known */
	MMS_END_EXIT = 1,   /* status = exit status */
	MMS_END_SIGNAL = 2, /* status = signal number */
	MMS_END_EXEC = 3,   /* replaced by another image */
};

/* A process that is about to end lets the collector read its memory: mms_process.reach. */
enum mms_reach {
	MMS_REACH_NONE = 0,
	MMS_REACH_ASKED = 1,   /* T: it waits, the ROOTS record is published */
	MMS_REACH_READING = 2, /* C: wait on, the end is near */
	MMS_REACH_DONE = 3,    /* C: read, or not to be read */
	MMS_REACH_COMPARE = 4, /* T: it waits, to be compared with its witnesses; then READING, DONE */
	MMS_REACH_LATER = 5,   /* C: left to the main loop, which reads it when it comes to it */
	MMS_REACH_COPYING = 6, /* C: as READING, in the thread that copies */
};

/* Why it is not asked for. */
enum mms_no_reach {
	MMS_NO_REACH_WANTED = 1,  /* somebody said so */
	MMS_NO_REACH_PARTIAL = 2, /* not all blocks are known, so pointers in the others are not seen */
};

/* What a process could not see or had to leave out; bits of coverage. */
enum mms_coverage {
	MMS_COV_SANITIZER = 1u << 0,    /* sanitizer runtime present: passive */
	MMS_COV_OWN_MALLOC = 1u << 1,   /* executable's malloc is not ours */
	MMS_COV_NO_SPACE = 1u << 2,     /* session file or table was full */
	MMS_COV_COLLECTOR_GONE = 1u << 3,
	MMS_COV_SECCOMP = 1u << 4,      /* filter switched on: no doorbell */
	MMS_COV_FOREIGN_FREE = 1u << 5, /* freed what was never seen given out */
	MMS_COV_SMALL_MAP = 1u << 6,    /* address-space limit: reduced mapping */
	MMS_COV_UNWIND_OFF = 1u << 7,
	MMS_COV_AUDIT = 1u << 8,        /* audit found a wrong stack */
};

/* One image.  128 bytes.  Written by the process itself unless said. */
struct mms_process {
	_Atomic uint32_t state; /* enum mms_slot_state */
	uint32_t pid;           /* as the process sees itself */
	uint32_t parent_pid;
	uint32_t begin;           /* enum mms_begin */
	uint64_t number;          /* unique in the session, from next_process */
	uint64_t parent_number;   /* 0: not known to the process */
	uint64_t begin_stamp;     /* clock stamp, full 64 bit */
	_Atomic uint64_t end_stamp;
	_Atomic uint32_t end; /* enum mms_end; the process's own last word */
	_Atomic int32_t status;
	_Atomic uint32_t context;  /* module context, record.h */
	_Atomic uint32_t coverage; /* enum mms_coverage bits */
	_Atomic uint64_t n_nested;        /* calls inside our own work, passed through */
	_Atomic uint64_t n_audited;       /* stacks compared with the full walk */
	_Atomic uint64_t n_audit_failed;
	_Atomic uint64_t n_lost;          /* records lost by threads that had no slot */
	_Atomic uint32_t reach;           /* enum mms_reach; futex: the process waits here, timed */
	uint32_t engine;                  /* enum mms_engine really used */
	uint64_t self_bytes;              /* private memory of the preload that is in use at the last
	                                   * word, bytes; 0: not known */
	_Atomic uint64_t hiwater_bytes;   /* VmHWM at the last word; 0: not known */
	_Atomic uint64_t cow_over;        /* C: begin stamp of its latest watched fork, once that is over */
};
_Static_assert(sizeof(struct mms_process) == 128, "process slot");

/* One thread.  The robust mutex is locked by the thread at its first event
 * and never unlocked: FUTEX_OWNER_DIED in its word is the death notice. */
struct mms_thread {
	pthread_mutex_t alive;      /* 40 bytes */
	_Atomic uint32_t process;   /* process slot index + 1; 0: slot is free.
	                             * CAS by T; cleared by C, after the words below and
	                             * alive's first word were zeroed: a new owner must not
	                             * look dead before it has locked */
	uint32_t tid;               /* as the thread sees itself */
	_Atomic uint64_t n_lost;    /* records that found no block */
	_Atomic uint32_t next_seq;  /* sequence number of its next block */
	_Atomic uint32_t barred;    /* C: 1: it gets no more blocks, having left too many unfinished */
};
_Static_assert(sizeof(struct mms_thread) == 64, "thread slot");

#define MMS_PROCESSES_PER_CELL (MMS_CELL_SIZE / sizeof(struct mms_process)) /* 512 */
#define MMS_THREADS_PER_CELL (MMS_CELL_SIZE / sizeof(struct mms_thread))    /* 1024 */
#define MMS_PROCESSES_INLINE 112u /* slots that lie in cell 0 */
#define MMS_THREADS_INLINE 192u
#define MMS_PROCESS_DIR 16u  /* further cells of process slots: 8,304 in all */
#define MMS_THREAD_DIR 63u   /* further cells of thread slots: 64,704 in all */
#define MMS_NODE_DIR 512u    /* cells of stack nodes: 2,097,152 nodes */
#define MMS_INDEX_DIR 340u   /* cells of index segments 1..4: 4 + 16 + 64 + 256 */
#define MMS_INDEX0_SLOTS 4096u

/* Head of cell 0. */
struct mms_header {
	uint64_t magic;            /* K */
	uint32_t version;          /* K: MMS_PROTOCOL_VERSION */
	uint32_t header_bytes;     /* K: sizeof(struct mms_header) */
	uint32_t n_cells_max;      /* K: targets reserve this many cells */
	_Atomic uint32_t n_cells_ready; /* K, then C (release) */

	uint32_t policy;        /* K: enum mms_policy */
	uint32_t mode;          /* K: enum mms_mode */
	uint64_t sample_bytes;  /* K */
	uint32_t follow;        /* K: enum mms_follow */
	uint32_t cow;           /* K: enum mms_cow */
	uint32_t engine;        /* K: enum mms_engine */
	uint32_t record_events; /* K: --events, keep raw heap events in the database */
	uint32_t audit_every;   /* K: compare one stack in N with the full walk; 0 off */
	uint32_t creator_pid;   /* K */
	uint32_t n_ring_max;    /* K: ring cells at most (--ring); the collector keeps to it */

	uint32_t clock;          /* K: enum mms_clock, for all processes */
	uint32_t clock_shift;    /* K: a record's stamp is clock >> clock_shift (4) */
	uint64_t start_stamp;    /* K: clock at creation, full */
	uint64_t start_monotonic_ns; /* K: CLOCK_MONOTONIC at the same moment */
	uint64_t start_realtime_ns;  /* K */
	uint64_t clock_hz;       /* K: 0 when not known; C calibrates on its own */
	uint8_t id[16];          /* K: random; also the name of the doorbell socket */

	/* Collector.  alive is robust and pshared: a dead collector is seen by
	 * every waiting target (FUTEX_OWNER_DIED), which then goes quiet. */
	pthread_mutex_t collector_alive;      /* C */
	_Atomic uint32_t collector_state;     /* C; T sets GONE, K (the starter) COMING */
	_Atomic uint32_t collector_pid;       /* C */

	/* Waking.  T bumps n_full when a block is full and wakes the futex when
	 * collector_sleeping and enough is full; C bumps free_seq and wakes. */
	_Atomic uint32_t wake_seq;            /* T, futex: collector sleeps here */
	_Atomic uint32_t collector_sleeping;  /* C */
	_Atomic uint32_t n_full;              /* T adds, C subtracts */
	_Atomic uint32_t free_seq;            /* C, futex: full-ring targets sleep here */
	_Atomic uint32_t n_waiting;           /* T: targets asleep on free_seq */
	_Atomic uint32_t want;                /* T: bits of enum mms_cell_kind that ran out */

	_Atomic uint64_t next_process;  /* T: process numbers, first is 1 */
	_Atomic uint32_t next_context;  /* T: module contexts, first is 1 */
	_Atomic uint32_t next_node;     /* T: stack node ids, first is 1 */
	_Atomic uint32_t ring_hint;     /* T, C lowers: where to look for a free block first */
	_Atomic uint32_t n_node_cells;    /* C (K: 1): entries of node_cell[] in use */
	_Atomic uint32_t n_index_cells;   /* C: entries of index_cell[] in use */
	_Atomic uint32_t n_process_cells; /* C */
	_Atomic uint32_t n_thread_cells;  /* C */
	_Atomic uint64_t lost_stacks;     /* T: stacks that found no room (id 0) */
	_Atomic uint64_t lost_processes;  /* T: processes that found no slot */
	_Atomic uint64_t unsaved_slots;   /* C: record slots in blocks that were given back since
	                                   * the database was last written: lost when C is killed */

	uint16_t process_cell[MMS_PROCESS_DIR]; /* C, before the counter above */
	uint16_t thread_cell[MMS_THREAD_DIR];
	uint16_t files_cell; /* K: 0: none */

	_Atomic uint32_t n_reach; /* T: processes that asked to be read; futex: C's reader waits here */
	_Atomic uint32_t no_reach; /* K, then C: enum mms_no_reach; nobody asks */

	char output[2048];     /* K: absolute path of the database, NUL-ended */
	char collector_bin[1024]; /* K: path of the mmscope binary, may be empty */
	char follow_glob[256]; /* K */
	char cwd[1024];        /* K */
	char program[1024];    /* K: the file that is executed first; may be empty */

	/* Read at every allocation and free, so nothing that changes is near. */
	_Alignas(64) _Atomic uint32_t recording; /* K, then C: enum mms_recording */
	uint32_t duration_s;       /* K: C ends the recording after so long; 0: it does not */
	_Atomic uint64_t interval; /* K, then C: mean distance of samples in bytes; 0: every block */
	uint8_t line[48];
	_Atomic uint64_t headroom; /* C: bytes to the nearest limit at the newest tick; 0: not known */
	_Atomic uint32_t sees_frames; /* C: 1: it may read which frame of memory a page is in */
	uint32_t processes_max;    /* K: so many processes are listed one by one; 0: as many as usual */
	uint32_t workers;          /* K: threads of C that read records; 0: as many as it needs */
	_Atomic uint32_t stacks_full; /* C: 1: there will be no more room for stacks; nobody waits for it */
};

/* Cell 0 as a whole.  Fixed offsets, so that a debugger needs no arithmetic. */
struct mms_cell0 {
	union {
		struct mms_header header;
		uint8_t header_space[8192];
	};
	_Atomic uint64_t owner[MMS_MAX_CELLS]; /* ring.h; 8 KiB */
	uint8_t cell_kind[MMS_MAX_CELLS];      /* C before n_cells_ready; 1 KiB */
	uint16_t node_cell[MMS_NODE_DIR];      /* 1 KiB */
	uint16_t index_cell[MMS_INDEX_DIR];
	uint8_t pad[1368];
	struct mms_process process[MMS_PROCESSES_INLINE]; /* 14 KiB */
	struct mms_thread thread[MMS_THREADS_INLINE];     /* 12 KiB */
	_Atomic uint32_t index0[MMS_INDEX0_SLOTS];        /* 16 KiB */
	uint8_t tail[2048];
};
_Static_assert(sizeof(struct mms_header) <= 8192, "header space");
_Static_assert(offsetof(struct mms_cell0, owner) == 8192, "owner table");
_Static_assert(sizeof(struct mms_cell0) == MMS_CELL_SIZE, "cell 0");

/* A mapped session.  `base` is 64 KiB aligned; `n_cells_mapped` bounds what
 * this mapping may touch (smaller than n_cells_max under a tight RLIMIT_AS). */
struct mms_session {
	union {
		uint8_t *base;
		struct mms_cell0 *cell0;
		struct mms_header *header;
	};
	uint32_t n_cells_mapped;
};

static inline uint8_t *mms_cell(const struct mms_session *s, uint32_t cell)
{
	return s->base + ((size_t)cell << MMS_CELL_SHIFT);
}

/* Process slot by index; NULL where the directory does not reach yet. */
static inline struct mms_process *mms_process_slot(const struct mms_session *s, uint32_t index)
{
	if (index < MMS_PROCESSES_INLINE)
		return &s->cell0->process[index];
	index -= MMS_PROCESSES_INLINE;
	uint32_t dir = index / MMS_PROCESSES_PER_CELL;
	if (dir >= atomic_load_explicit(&s->header->n_process_cells, memory_order_acquire))
		return NULL;
	if (s->header->process_cell[dir] >= s->n_cells_mapped)
		return NULL;
	struct mms_process *p = (struct mms_process *)(void *)mms_cell(s, s->header->process_cell[dir]);
	return &p[index % MMS_PROCESSES_PER_CELL];
}

/* Thread slot by index; NULL where the directory does not reach yet. */
static inline struct mms_thread *mms_thread_slot(const struct mms_session *s, uint32_t index)
{
	if (index < MMS_THREADS_INLINE)
		return &s->cell0->thread[index];
	index -= MMS_THREADS_INLINE;
	uint32_t dir = index / MMS_THREADS_PER_CELL;
	if (dir >= atomic_load_explicit(&s->header->n_thread_cells, memory_order_acquire))
		return NULL;
	if (s->header->thread_cell[dir] >= s->n_cells_mapped)
		return NULL;
	struct mms_thread *t = (struct mms_thread *)(void *)mms_cell(s, s->header->thread_cell[dir]);
	return &t[index % MMS_THREADS_PER_CELL];
}

/* What of a process's address space is the library's.  Lies in its data, which
 * whoever reads the process's memory searches for the magic words, 8-aligned. */
#define MMS_OWN_AREAS 96u
#define MMS_OWN_MAGIC_0 0x6d6d73636f70652eull
#define MMS_OWN_MAGIC_1 0x6f776e2061726561ull
struct mms_own_table {
	uint64_t magic[2];
	_Atomic uint32_t n_taken; /* T: entries from here on were never used */
	uint32_t pad;
	struct {
		_Atomic uint64_t start, end; /* T; end 0: not there */
	} area[MMS_OWN_AREAS];
};

/* Doorbell: an abstract AF_UNIX SOCK_SEQPACKET address, "\0mmscope." followed
 * by the session id in hex.  A process connects, sends one mms_doorbell and
 * closes; the kernel adds credentials and pidfd of the sender. */
struct mms_doorbell {
	uint32_t slot;   /* process slot index */
	uint32_t begin;  /* enum mms_begin */
	uint64_t number; /* process number */
};

/* The same address takes requests of `mmscope ctl`, told apart by their size.
 * The collector carries them out, answers with one mms_reply and closes. */
enum mms_request_what {
	MMS_REQUEST_STATUS = 1,
	MMS_REQUEST_PAUSE = 2,
	MMS_REQUEST_RESUME = 3,
	MMS_REQUEST_SAMPLE = 4, /* value: interval in bytes; 0: every block */
	MMS_REQUEST_STOP = 5,   /* recording is over, the targets go on */
	MMS_REQUEST_SNAPSHOT = 6, /* value: pid; 0: the main process */
};
struct mms_request {
	uint64_t magic; /* MMS_SESSION_MAGIC */
	uint32_t what;  /* enum mms_request_what */
	uint32_t pad;
	uint64_t value;
};
struct mms_reply {
	int32_t error;      /* -errno; 0: done */
	uint32_t recording; /* enum mms_recording from now on */
	uint64_t interval;  /* bytes between samples; 0: every block */
	uint64_t t_ns;      /* since the capture's start: when it took effect */
	uint64_t n_pauses;
};
/* SNAPSHOT has more to say, and is answered when the snapshot is made. */
#define MMS_SNAPSHOT_NAME 64u
struct mms_snapshot_request {
	struct mms_request request;
	uint64_t age_ns;              /* younger blocks are not judged */
	char name[MMS_SNAPSHOT_NAME]; /* NUL-ended, not empty */
};
struct mms_snapshot_reply {
	struct mms_reply reply;
	uint64_t id;     /* row of snapshot; 0: was not made */
	char reason[256]; /* why not; else "" */
};
_Static_assert(sizeof(struct mms_request) != sizeof(struct mms_doorbell), "told apart by size");

#endif
