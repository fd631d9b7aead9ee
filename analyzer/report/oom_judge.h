/*
 * oom_judge.h - how close, how fast: the limits of one process at one moment,
 * judged with what was known then.
 *
 * THE RULES OF THE VERDICT, the first that fits:
 *   critical  the process was killed for memory; 2 % of the binding limit or
 *             less is left; or it can be reached within 60 s
 *   high      10 % or less is left; it will be reached within an hour;
 *             copy-on-write alone can use up what is left; or by what the
 *             process ended is not known, and a kill was counted then
 *   elevated  25 % or less is left; it will be reached within a day; what was
 *             promised and not touched yet is more than is left; allocations
 *             failed; the next fork would fail; the cgroup was at its limit
 *             before and had to drop pages; or the main stack, locked memory,
 *             the areas, the address space or the threads there may be are
 *             nearly used up
 *   low       nothing of this
 * memory.high slows down and does not kill: alone it is never critical.  Where
 * it is nearest, the nearest limit that kills is judged beside it.
 */
#ifndef REPORT_OOM_JUDGE_H
#define REPORT_OOM_JUDGE_H

#include "model/growth.h"
#include "report/answer.h"

#define OOM_UNKNOWN (-1)

struct oom_limit {
	char *kind, *path;
	bool counts;        /* areas or threads, not bytes */
	bool threads;
	bool special;       /* binds only when nearly used up: stack, locked, areas, address space */
	bool tells;         /* never binds: a cgroup without a limit, swap, CommitLimit in modes 0 and 1, threads */
	bool unlimited;     /* a cgroup without a limit, of which the counters are known */
	uint64_t limit, usage, reclaimable;
	int64_t headroom;   /* limit - usage + reclaimable */
	int64_t residue; /* the least of three seconds; OOM_UNKNOWN */
	int64_t swap, stall_us, full_stall_us;    /* OOM_UNKNOWN */
	int64_t failures, oom_kills, new_failures, new_kills; /* new: since the first tick */
	int64_t kills_before; /* oom_kills shortly before the process ended */
	struct growth_point *points; /* usage without reclaimable pages, seconds */
	struct growth_point *peaks; /* the most ever used, of a cgroup, at the same times */
	size_t n_points, cap_points, n_peaks, cap_peaks;
	int64_t peak;       /* OOM_UNKNOWN */
	struct growth growth;
	bool has_time;
	struct growth_time time;
};

struct oom_victim {
	int64_t pid, badness, adjustment;
	int64_t t_ns; /* when they were ranked */
	char *name;
};

enum oom_verdict { OOM_LOW, OOM_ELEVATED, OOM_HIGH, OOM_CRITICAL };
#define OOM_REASONS 8

struct oom_death {
	bool killed;            /* SIGKILL, and a counter of kills moved */
	bool perhaps;           /* by what it ended is not known, and the counter moved */
	const char *who;        /* path of the counter */
	int64_t kills_before, kills_after; /* in the look before its end, and after it */
	int64_t failed_allocs, failed_size, failed_t_ns, failed_stack; /* the last one; size 0: a fork */
	bool some_kept;      /* of the others the number alone is known */
	bool too_many;     /* it was a thread or process, and not for memory */
	bool locking;      /* it was to lock memory */
	bool huge;         /* it was for huge pages of a pool */
	const struct oom_limit *failed_limit; /* that said so; NULL: none is known */
};

struct oom {
	const struct answer_process *process;
	int64_t t_ns, place;
	struct oom_limit *limits;
	size_t n_limits, cap_limits;
	const struct oom_limit *binding; /* NULL: nothing was measured */
	const struct oom_limit *killing; /* nearest of those at which the kernel kills; NULL: none */
	struct growth live;              /* of the live heap: its floor */
	bool has_live;
	bool own_cgroup_only;
	/* OOM_UNKNOWN where not measured */
	int64_t touch, noreserve, stack, cow, cow_huge, thp, page_tables, page_tables_due, next_fork, private_bytes;
	int64_t threads, swap;
	bool fork_fails;
	struct oom_victim victims[5];
	size_t n_victims;
	struct oom_death death;
	enum oom_verdict verdict;
	char *reasons[OOM_REASONS];
	size_t n_reasons;
};

/* at_ns: the moment, or -1 for the last tick.  False: the process was never
 * looked at (it lived too short, or the recording is of before). */
bool oom_judge(struct oom *o, struct answer *a, const struct answer_process *p, int64_t at_ns);
void oom_done(struct oom *o);

const char *oom_verdict_word(enum oom_verdict v);
const char *oom_growth_word(const struct growth *g);
/* The limit in words: "the cgroup /a/b", "RLIMIT_AS".  To be freed. */
char *oom_limit_name(const struct oom_limit *l);

#endif
