/*
 * oom_judge.c - see oom_judge.h, where the rules stand.
 *
 * Called by the verbs oom and report.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/hit.h"
#include "report/alloc.h"
#include "report/oom_judge.h"
#include "report/oom_load.h"
#include "report/text.h"

#define SPECIAL_SHARE 20   /* a special limit binds when a twentieth is left */
#define WINDOW_S 600       /* growth is that of the last ten minutes */
#define AFTER_DEATH_NS 2000000000ll /* counters are read once more after the end */
#define LOOK_FOLLOWS_NS 100000000ll
#define AREAS_OF_A_CALL 2
#define FORESIGHT 100 /* windows: a pace of seconds says nothing of hours */
#define FILES_SHARE 100 /* so small a share of file pages does not move the peak */
#define HUGE_PAGE (2 << 20) /* less is what processors hold charged in advance, 256 KiB each */
#define COMMIT_LAG 256
#define SPACE_PIECES (64 << 20) /* below the program, beside stacks */
#define HEAP_STEP (1 << 20 | 132 << 10) /* what malloc asks for in place of less: 1 MiB, and its padding */
#define PAGE_TABLE_SHARE 512 /* 8 bytes for a page of 4096 */

const char *oom_verdict_word(enum oom_verdict v)
{
	static const char *const word[] = {"low", "elevated", "high", "critical"};
	return word[v];
}

const char *oom_growth_word(const struct growth *g)
{
	static const char *const word[] = {"flat", "growing", "unproven"};
	return word[g->verdict];
}

static bool is_kind(const struct oom_limit *l, const char *kind)
{
	return strcmp(l->kind, kind) == 0;
}

static bool is_cgroup(const struct oom_limit *l)
{
	return strncmp(l->kind, "cgroup", 6) == 0;
}

char *oom_limit_name(const struct oom_limit *l)
{
	if (is_kind(l, "cgroup2.high"))
		return xasprintf("memory.high of the cgroup %s", l->path);
	if (is_kind(l, "cgroup1.memsw"))
		return xasprintf("memory and swap of the cgroup %s", l->path);
	if (is_cgroup(l))
		return xasprintf("the cgroup %s", l->path);
	if (is_kind(l, "host"))
		return xstrdup("the memory of this machine");
	if (is_kind(l, "cgroup2.swap"))
		return xasprintf("swap of the cgroup %s", l->path);
	if (is_kind(l, "committed"))
		return xasprintf("the rule of %s that no request exceed memory and swap", l->path);
	if (is_kind(l, "commit"))
		return xstrdup("the commit limit (vm.overcommit_memory=2)");
	if (is_kind(l, "pids"))
		return xasprintf("pids.max of the cgroup %s", l->path);
	if (is_kind(l, "hugetlb"))
		return xasprintf("the pool of huge pages %s", l->path);
	if (is_kind(l, "task_size"))
		return xstrdup("the end of the address space");
	return xstrdup(l->path);
}

/* ---- binding limit and growth ---- */

/* What is highest between two looks hits the limit: the kernel keeps it.  It
 * says nothing with pages of files in it. */
static bool judge_time_to(struct oom_limit *l, size_t first)
{
	bool files = l->reclaimable > l->limit / FILES_SHARE;
	const struct growth_point *peaks = l->n_peaks == l->n_points && !files ? l->peaks + first : NULL;
	if (l->unlimited)
		return false;
	return hit_time(l->points + first, peaks, l->n_points - first, &l->growth, (double)l->limit, &l->time);
}

static void judge_growth(struct oom_limit *l, double now_s)
{
	size_t first = 0;
	while (first < l->n_points && l->points[first].t_s < now_s - WINDOW_S)
		first++;
	if (growth_recent(l->points + first, l->n_points - first, &l->growth) == 0)
		l->has_time = judge_time_to(l, first);
}

static bool is_scarce(const struct oom_limit *l)
{
	return l->headroom < (int64_t)(l->limit / SPECIAL_SHARE);
}

static bool binds_before(const struct oom_limit *l, const struct oom_limit *best)
{
	if (l->n_points == 0 || l->tells || l->unlimited)
		return false;
	if (l->special) { /* a stack or lock limit of megabytes is no limit on memory */
		bool sooner = l->has_time && best && (!best->has_time || l->time.point_s < best->time.point_s);
		return l->counts && (is_scarce(l) || sooner);
	}
	return !best || l->headroom < best->headroom;
}

/* The kernel kills when it is hit: others refuse, or slow down. */
static bool kills(const struct oom_limit *l)
{
	return is_kind(l, "host") || (is_cgroup(l) && !is_kind(l, "cgroup2.high") && !l->tells && !l->unlimited);
}

static void find_binding(struct oom *o)
{
	for (size_t i = 0; i < o->n_limits; i++)
		judge_growth(&o->limits[i], (double)o->t_ns / 1e9);
	for (int special = 0; special < 2; special++)
		for (size_t i = 0; i < o->n_limits; i++)
			if (o->limits[i].special == special && binds_before(&o->limits[i], o->binding))
				o->binding = &o->limits[i];
	for (size_t i = 0; i < o->n_limits; i++) {
		const struct oom_limit *l = &o->limits[i];
		if (kills(l) && l->n_points && (!o->killing || l->headroom < o->killing->headroom))
			o->killing = l;
	}
}

/* ---- debts ---- */

static void judge_debts(struct oom *o)
{
	if (o->touch >= 0)
		o->page_tables_due = o->touch / PAGE_TABLE_SHARE;
	for (size_t i = 0; i < o->n_limits; i++) {
		const struct oom_limit *l = &o->limits[i];
		if (is_cgroup(l) && l->residue != OOM_UNKNOWN) {
			int64_t huge = l->residue < HUGE_PAGE ? 0 : l->residue;
			o->thp = huge > o->thp ? huge : o->thp;
		}
		if (!is_kind(l, "commit") || l->n_points == 0 || o->private_bytes < 0)
			continue;
		o->next_fork = o->private_bytes;
		o->fork_fails = o->private_bytes > l->headroom;
	}
}

/* ---- the end ---- */

/* What was left when the allocation failed: the process told it, else a look
 * follows at once.  Areas are counted later, when they are many: the next count
 * is taken. */
static int64_t headroom_at(const struct oom_limit *l, int64_t t_ns)
{
	double value = l->n_points ? l->points[0].value : 0, until = (double)(t_ns + LOOK_FOLLOWS_NS) / 1e9;
	size_t i = 0;
	for (; i < l->n_points && l->points[i].t_s <= until; i++) {
		value = l->points[i].value;
		if (l->points[i].t_s == (double)t_ns / 1e9)
			return (int64_t)((double)l->limit - value);
	}
	if (l->counts && i < l->n_points && l->points[i].value > value)
		value = l->points[i].value;
	return (int64_t)((double)l->limit - value);
}

static const struct oom_limit *limit_of_kind(const struct oom *o, const char *kind)
{
	for (size_t i = 0; i < o->n_limits; i++)
		if (is_kind(&o->limits[i], kind) && o->limits[i].n_points)
			return &o->limits[i];
	return NULL;
}

/* Did it leave too little for so many bytes?  malloc asks for more than it is
 * asked for, and the kernel's own sum of what is committed lags behind by up
 * to a 256th of the memory (percpu counters, mm/mm_init.c). */
static bool said_no(const struct oom *o, const struct oom_limit *l, int64_t size, int64_t left)
{
	const struct oom_limit *host = limit_of_kind(o, "host");
	if (is_kind(l, "committed")) /* heuristic overcommit looks at one request alone */
		return l->path[strlen(l->path) - 1] == '0' && host && size > (int64_t)host->limit;
	if (l->counts)
		return left <= AREAS_OF_A_CALL;
	if (is_kind(l, "RLIMIT_MEMLOCK") && (l->usage == 0 || left < 0)) /* nothing is locked, or by privilege */
		return false;
	int64_t asked = size > HEAP_STEP ? size : HEAP_STEP;
	if (is_kind(l, "commit") && host)
		asked += (int64_t)(host->limit / COMMIT_LAG);
	if (is_kind(l, "task_size")) /* what is left lies in pieces */
		asked += SPACE_PIECES;
	return left <= asked;
}

/* A request is refused by these alone; the one with least left that was too little. */
static const struct oom_limit *refusing_limit(const struct oom *o, int64_t size, int64_t t_ns)
{
	static const char *const kinds[] = {"RLIMIT_AS", "RLIMIT_DATA", "commit", "committed", "RLIMIT_MEMLOCK",
		"max_map_count", "task_size"};
	const struct oom_limit *best = NULL;
	int64_t least = 0;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		const struct oom_limit *l = limit_of_kind(o, kinds[k]);
		int64_t left = l ? headroom_at(l, t_ns) : 0;
		if (l && said_no(o, l, size, left) && (!best || left < least)) {
			best = l;
			least = left;
		}
	}
	return best;
}

/* Where locking is refused: the limit on it, or the areas it would make. */
static const struct oom_limit *locking_limit(const struct oom *o, const struct oom_death *d)
{
	const struct oom_limit *l = limit_of_kind(o, "RLIMIT_MEMLOCK"), *areas = limit_of_kind(o, "max_map_count");
	int64_t left = l ? headroom_at(l, d->failed_t_ns) : 0;
	if (l && left >= 0 && left < d->failed_size)
		return l;
	return areas && said_no(o, areas, d->failed_size, headroom_at(areas, d->failed_t_ns)) ? areas : NULL;
}

/* Of the limits on threads, which are looked at after a refusal: the one that
 * is reached; a user's may be exceeded meanwhile by what root starts. */
static const struct oom_limit *full_limit(const struct oom *o)
{
	const struct oom_limit *best = NULL;
	for (size_t i = 0; i < o->n_limits; i++) {
		const struct oom_limit *l = &o->limits[i];
		if (l->threads && l->n_points && l->headroom <= 0 && (!best || l->headroom < best->headroom))
			best = l;
	}
	return best;
}

/* The pool that the mapping was of has a point at that moment.  It is asked before
 * all other limits (ksys_mmap_pgoff, hugetlb_file_setup). */
static const struct oom_limit *short_pool(const struct oom *o, const struct oom_death *d)
{
	for (size_t i = 0; i < o->n_limits; i++) {
		const struct oom_limit *l = &o->limits[i];
		if (is_kind(l, "hugetlb") && l->n_points && l->points[l->n_points - 1].t_s == (double)d->failed_t_ns / 1e9 &&
			l->headroom < d->failed_size)
			return l;
	}
	return NULL;
}

/* A fork asks for all of the writable private memory once more. */
static const struct oom_limit *failed_limit(const struct oom *o, const struct oom_death *d)
{
	const struct oom_limit *pool = d->huge ? short_pool(o, d) : NULL;
	if (pool || d->failed_allocs == 0)
		return pool;
	if (d->too_many)
		return full_limit(o);
	if (d->locking)
		return locking_limit(o, d);
	return refusing_limit(o, d->failed_size ? d->failed_size : o->private_bytes, d->failed_t_ns);
}

/* A victim is counted in its own cgroup (v2: and in those above it); without
 * one that can be seen, by the machine. */
static const struct oom_limit *counting_limit(const struct oom *o)
{
	const struct oom_limit *own = NULL;
	for (size_t i = 0; i < o->n_limits; i++) {
		const struct oom_limit *l = &o->limits[i];
		bool group = is_kind(l, "cgroup1") || is_kind(l, "cgroup2");
		if (group && l->oom_kills >= 0 && (!own || strlen(l->path) > strlen(own->path)))
			own = l;
	}
	return own ? own : limit_of_kind(o, "host");
}

static void judge_death(struct oom *o, struct answer *a, int64_t until_ns)
{
	struct oom_death *d = &o->death;
	const struct oom_limit *l = counting_limit(o);
	oom_load_failures(o, a, until_ns);
	o->death.failed_limit = failed_limit(o, &o->death);
	bool unknown = strcmp(o->process->end, "unknown") == 0;
	bool sigkill = strcmp(o->process->end, "signal") == 0 && o->process->status == SIGKILL;
	if (!(unknown || sigkill) || o->process->end_ns < 0 || o->process->end_ns > until_ns)
		return;
	bool moved = l && l->kills_before != OOM_UNKNOWN && l->oom_kills > l->kills_before;
	d->killed = moved && sigkill;
	d->perhaps = moved && unknown;
	d->who = moved ? l->path : NULL;
	d->kills_before = moved ? l->kills_before : 0;
	d->kills_after = moved ? l->oom_kills : 0;
}

/* ---- verdict ---- */

static void because(struct oom *o, enum oom_verdict v, const char *format, ...)
{
	va_list list;
	char text[512];
	if (o->n_reasons == OOM_REASONS)
		return;
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	o->reasons[o->n_reasons++] = xstrdup(text);
	if (v > o->verdict)
		o->verdict = v;
}

static void judge_headroom(struct oom *o, const struct oom_limit *l, enum oom_verdict most)
{
	double share = l->limit ? 100.0 * (double)l->headroom / (double)l->limit : 0;
	enum oom_verdict v = share <= 2 ? OOM_CRITICAL : share <= 10 ? OOM_HIGH : OOM_ELEVATED;
	char *name = l == o->binding ? xstrdup("the limit") : oom_limit_name(l);
	if (share <= 25)
		because(o, v < most ? v : most, "%.1f %% of %s are left", share < 0 ? 0 : share, name);
	free(name);
}

static void judge_time(struct oom *o, const struct oom_limit *l, enum oom_verdict most)
{
	char text[TEXT_NUMBER];
	if (!l->has_time || l->time.point_s >= 86400 || l->time.point_s > FORESIGHT * l->growth.window_s)
		return;
	enum oom_verdict v = l->time.low_s < 60 ? OOM_CRITICAL : l->time.point_s < 3600 ? OOM_HIGH : OOM_ELEVATED;
	char *name = l == o->binding ? xstrdup("the limit") : oom_limit_name(l);
	because(o, v < most ? v : most, "at this pace %s is reached in %s", name,
		text_duration(text, (uint64_t)(l->time.point_s * 1e9)));
	free(name);
}

/* What is no limit on memory, but ends the program or refuses a call. */
static void judge_scarce(struct oom *o)
{
	for (size_t i = 0; i < o->n_limits; i++) {
		const struct oom_limit *l = &o->limits[i];
		char *name;
		if (l == o->binding || !(l->special || l->threads) || !l->n_points || l->usage == 0 || l->headroom < 0 ||
			!is_scarce(l))
			continue;
		name = oom_limit_name(l);
		because(o, OOM_ELEVATED, "%s is nearly used up", name);
		free(name);
	}
}

static void judge_promises(struct oom *o)
{
	const struct oom_limit *l = o->binding;
	char size[TEXT_NUMBER], left[TEXT_NUMBER];
	bool memory = is_cgroup(l) || is_kind(l, "host");
	int64_t cow = o->cow > 0 ? o->cow : 0;
	int64_t all = cow + (o->touch > 0 ? o->touch + o->page_tables_due : 0);
	uint64_t room = l->headroom > 0 ? (uint64_t)l->headroom : 0;
	if (memory && cow > (int64_t)room)
		because(o, OOM_HIGH, "copy-on-write of live forks can call in %s, more than is left",
			text_size(size, (uint64_t)cow));
	else if (memory && all > (int64_t)room)
		because(o, OOM_ELEVATED, "%s were promised and not touched yet, and %s are left",
			text_size(size, (uint64_t)all), text_size(left, room));
	if (o->fork_fails)
		because(o, OOM_ELEVATED, "the next fork would commit %s more and fail",
			text_size(size, (uint64_t)o->next_fork));
	if (is_cgroup(l) && !is_kind(l, "cgroup2.high") && l->new_failures > 0)
		because(o, OOM_ELEVATED, "the cgroup was at its limit %lld %s", (long long)l->new_failures,
			text_plural((uint64_t)l->new_failures, "time", "times"));
}

static void judge_all(struct oom *o)
{
	enum oom_verdict most = is_kind(o->binding, "cgroup2.high") ? OOM_HIGH : OOM_CRITICAL;
	if (o->death.killed)
		because(o, OOM_CRITICAL, "the kernel killed it for memory");
	if (o->death.perhaps)
		because(o, OOM_HIGH, "by what it ended is not known, and the kernel killed for memory where it ran");
	judge_headroom(o, o->binding, most);
	judge_time(o, o->binding, most);
	if (most < OOM_CRITICAL && o->killing) {
		judge_headroom(o, o->killing, OOM_CRITICAL);
		judge_time(o, o->killing, OOM_CRITICAL);
	}
	judge_promises(o);
	judge_scarce(o);
	if (o->death.failed_allocs)
		because(o, OOM_ELEVATED, "%lld %s for %s %s refused", (long long)o->death.failed_allocs,
			text_plural((uint64_t)o->death.failed_allocs, "request", "requests"),
			o->death.too_many ? "memory or threads" : "memory",
			text_plural((uint64_t)o->death.failed_allocs, "was", "were"));
}

bool oom_judge(struct oom *o, struct answer *a, const struct answer_process *p, int64_t at_ns)
{
	int64_t until = at_ns < 0 ? INT64_MAX : at_ns;
	*o = (struct oom){.process = p, .touch = OOM_UNKNOWN, .noreserve = OOM_UNKNOWN,
		.stack = OOM_UNKNOWN, .cow = OOM_UNKNOWN,
		.cow_huge = OOM_UNKNOWN, .thp = OOM_UNKNOWN, .page_tables = OOM_UNKNOWN,
		.page_tables_due = OOM_UNKNOWN, .next_fork = OOM_UNKNOWN, .private_bytes = OOM_UNKNOWN,
		.threads = OOM_UNKNOWN, .swap = OOM_UNKNOWN};
	if (!oom_load_debts(o, a, until))
		return false;
	/* A kill is counted when the process is gone; later ones are others'. */
	int64_t counters = p->end_ns >= 0 && p->end_ns < INT64_MAX - AFTER_DEATH_NS ? p->end_ns + AFTER_DEATH_NS : until;
	oom_load_limits(o, a, counters < until ? counters : until);
	find_binding(o);
	if (!o->binding)
		return false;
	oom_load_live(o, a);
	if (o->killing && (kills(o->binding) || is_cgroup(o->binding)))
		oom_load_victims(o, a);
	o->own_cgroup_only = capture_meta_number(a->capture, "own_cgroup_only", 0) != 0;
	judge_debts(o);
	judge_death(o, a, until);
	judge_all(o);
	if (p->end_ns >= 0 && o->t_ns > p->end_ns) /* it had told all itself, and was looked for afterwards */
		o->t_ns = p->end_ns;
	return true;
}

void oom_done(struct oom *o)
{
	for (size_t i = 0; i < o->n_limits; i++) {
		free(o->limits[i].kind);
		free(o->limits[i].path);
		free(o->limits[i].points);
		free(o->limits[i].peaks);
	}
	for (size_t i = 0; i < o->n_victims; i++)
		free(o->victims[i].name);
	for (size_t i = 0; i < o->n_reasons; i++)
		free(o->reasons[i]);
	free(o->limits);
	*o = (struct oom){0};
}
