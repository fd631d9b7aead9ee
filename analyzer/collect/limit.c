/*
 * limit.c - see limit.h: the limits of one process, and the small files
 * that they are read from.
 *
 * Called by pressure.c and, over recorded trees, by tests.  Reads only.
 */
#include "collect/limit.h"

#include <ctype.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <time.h>
#include <unistd.h>

/* Counting areas reads all of maps: at most a half per cent of the time. */
#define COUNT_SHARE 200
/* When they are many: at most two per cent, for a limit may be near. */
#define COUNT_SHARE_MANY 50
#define MANY_AREAS 16384
#define COUNT_EVERY 2000000000ull /* when they are few */
#define COUNT_QUIET 5 /* times that, while nothing says that their number changed */
/* What a process may have: how old that may be. */
#define SET_OLD 10000000000ull
#define SET_YOUNG 8 /* a share of the time since the first look */
#define SET_NEAR 4  /* not old at all when less than this share of a limit is left */
/* Ends of address spaces, arch/x86/include/asm/page_64_types.h, elf.h. */
#define TASK_SIZE_64 0x7ffffffff000ull
#define TASK_SIZE_32 0xffffe000ull
#define TASK_SIZE_3GB 0xc0000000ull

/* No memory is kept back from who may administrate, linux/capability.h. */
#define CAPABILITY_SYS_ADMIN 21
#define RESERVE_SHARE 32 /* of the size of a process, mm/util.c */

static const char *const kind_word[] = { "cgroup1", "cgroup1.memsw", "cgroup2", "cgroup2.high", "cgroup2.swap", "host",
	"committed", "commit", "RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_MEMLOCK", "task_size",
	"max_map_count", "RLIMIT_NPROC", "pids", "threads-max", "hugetlb" };

const char *limit_kind_word(enum limit_kind kind)
{
	return kind_word[kind];
}

int limit_open(const char *folder, const char *name)
{
	char path[4700];

	if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* These files are one record of the kernel's: a second read would only make the
 * whole text once more, to find that there is no more of it. */
const char *limit_text(int fd, char *buffer, size_t size)
{
	ssize_t n = fd >= 0 ? pread(fd, buffer, size - 1, 0) : -1;

	buffer[n > 0 ? n : 0] = '\0';
	return buffer;
}

const char *limit_lines(int fd, char *buffer, size_t size)
{
	size_t n = 0;
	ssize_t r;

	while (fd >= 0 && n < size - 1 && (r = pread(fd, buffer + n, size - 1 - n, (off_t)n)) > 0)
		n += (size_t)r;
	buffer[n] = '\0';
	return buffer;
}

const char *limit_line(const char *text, const char *key)
{
	size_t length = strlen(key);

	for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		if (strncmp(line, key, length) == 0 && line[length] && strchr(" :\t", line[length]))
			return line;
	}
	return NULL;
}

uint64_t limit_field(const char *text, const char *key)
{
	const char *value = limit_line(text, key);

	if (!value)
		return LIMIT_NONE;
	value += strlen(key);
	value += strspn(value, " :\t");
	return isdigit((unsigned char)*value) ? strtoull(value, NULL, 10) : LIMIT_NONE;
}

uint64_t limit_number_in(const char *folder, const char *name)
{
	char text[64];
	int fd = limit_open(folder, name);

	limit_text(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	return isdigit((unsigned char)*text) ? strtoull(text, NULL, 10) : LIMIT_NONE;
}

struct limit_point *limit_put(struct limit_points *p, enum limit_kind kind, const char *path, uint64_t limit,
	uint64_t usage, uint64_t reclaimable)
{
	if (p->n == LIMITS_MAX || limit == LIMIT_NONE || usage == LIMIT_NONE)
		return NULL;
	p->at[p->n] = (struct limit_point){ kind, path, limit, usage, reclaimable > usage ? usage : reclaimable,
		LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE };
	return &p->at[p->n++];
}

double limit_seconds_left(const struct limit_points *now, const struct limit_points *before, double seconds)
{
	double least = 1e9;

	for (size_t i = 0; i < now->n && i < before->n && seconds > 0; i++) {
		const struct limit_point *a = &before->at[i], *b = &now->at[i];
		double rise = (double)limit_headroom(a) - (double)limit_headroom(b);

		if (a->kind != b->kind || rise <= 0)
			continue;
		double left = (double)limit_headroom(b) / (rise / seconds);
		least = left < least ? left : least;
	}
	return least;
}

/* --- a process ------------------------------------------------------------------ */

void limit_process_init(struct limit_process *p, int folder_fd)
{
	*p = (struct limit_process){ .folder_fd = folder_fd, .limits_fd = -1, .count_fd = -1,
		.map_count = LIMIT_NONE };
}

void limit_process_done(struct limit_process *p)
{
	int *fd[] = { &p->limits_fd, &p->count_fd };

	for (size_t i = 0; i < sizeof fd / sizeof fd[0]; i++) {
		if (*fd[i] >= 0)
			close(*fd[i]);
		*fd[i] = -1;
	}
}

static const char *kept_text(const struct limit_process *p, int *fd, const char *name, char *buffer, size_t size)
{
	if (*fd < 0)
		*fd = openat(p->folder_fd, name, O_RDONLY | O_CLOEXEC);
	return limit_text(*fd, buffer, size);
}

uint64_t limit_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Lines of maps without [vsyscall], which is no area of the process. */
static uint64_t count_areas(int folder_fd)
{
	static const char vsyscall[] = "ffffffffff600000";
	char buffer[65536];
	uint64_t lines = 0;
	bool at_start = true;
	ssize_t n;
	int fd = openat(folder_fd, "maps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return LIMIT_NONE;
	while ((n = read(fd, buffer, sizeof buffer)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (at_start && (size_t)(n - i) >= sizeof vsyscall &&
				!memcmp(buffer + i, vsyscall, sizeof vsyscall - 1))
				lines--;
			at_start = buffer[i] == '\n';
			lines += at_start;
		}
	}
	close(fd);
	return lines ? lines : LIMIT_NONE;
}

static void count_when_due(struct limit_process *p, uint64_t now_ns, uint64_t vm_size)
{
	bool many = p->map_count != LIMIT_NONE && p->map_count > MANY_AREAS;

	uint64_t wait = p->count_cost_ns * (many ? COUNT_SHARE_MANY : COUNT_SHARE);

	bool quiet = p->n_calls == p->counted_calls && vm_size == p->counted_size;

	if (!many && wait < COUNT_EVERY)
		wait = quiet ? COUNT_EVERY * COUNT_QUIET : COUNT_EVERY;
	if (p->counted_ns && now_ns - p->counted_ns < wait)
		return;
	uint64_t begin = limit_clock_ns();
	p->map_count = count_areas(p->folder_fd);
	p->count_cost_ns = limit_clock_ns() - begin;
	p->counted_ns = now_ns;
	p->counted_calls = p->n_calls;
	p->counted_size = vm_size;
}

/* Where the address space ends: less for a 32-bit program. */
static uint64_t task_size_of(const struct limit_process *p)
{
	unsigned char ident[EI_NIDENT] = { 0 };
	char text[32];
	int fd = openat(p->folder_fd, "exe", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, ident, sizeof ident, 0);

	if (fd >= 0)
		close(fd);
	if (n != (ssize_t)sizeof ident || memcmp(ident, ELFMAG, SELFMAG) || ident[EI_CLASS] != ELFCLASS32)
		return TASK_SIZE_64;
	fd = openat(p->folder_fd, "personality", O_RDONLY | O_CLOEXEC);
	limit_text(fd, text, sizeof text);
	if (fd >= 0)
		close(fd);
	return strtoul(text, NULL, 16) & ADDR_LIMIT_3GB ? TASK_SIZE_3GB : TASK_SIZE_32;
}

/* "Max address space      unlimited   unlimited   bytes": the soft limit. */
static uint64_t soft_limit(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	if (!line)
		return LIMIT_NONE;
	line += strlen(name);
	line += strspn(line, " ");
	return isdigit((unsigned char)*line) ? strtoull(line, NULL, 10) : LIMIT_NONE;
}

static uint64_t max_map_count(struct limit_process *p)
{
	char text[64];

	kept_text(p, &p->count_fd, "../sys/vm/max_map_count", text, sizeof text);
	return isdigit((unsigned char)*text) ? strtoull(text, NULL, 10) : LIMIT_NONE;
}

static bool is_near(const struct limit_points *points, size_t first)
{
	for (size_t i = first; i < points->n; i++) {
		const struct limit_point *l = &points->at[i];

		if (l->kind != LIMIT_TASK_SIZE && limit_headroom(l) < (int64_t)(l->limit / SET_NEAR))
			return true;
	}
	return false;
}

static void read_set(struct limit_process *p, uint64_t now_ns)
{
	char limits[4096], status[4096];
	int fd = openat(p->folder_fd, "status", O_RDONLY | O_CLOEXEC);
	const char *capabilities = strstr(limit_text(fd, status, sizeof status), "CapEff:");

	if (fd >= 0)
		close(fd);
	kept_text(p, &p->limits_fd, "limits", limits, sizeof limits);
	p->set = (struct limit_set){ .read_ns = now_ns, .as = soft_limit(limits, "Max address space"),
		.data = soft_limit(limits, "Max data size"), .stack = soft_limit(limits, "Max stack size"),
		.memlock = soft_limit(limits, "Max locked memory"), .map_count = max_map_count(p),
		.administrates = capabilities == NULL ||
			strtoull(capabilities + sizeof "CapEff:" - 1, NULL, 16) >> CAPABILITY_SYS_ADMIN & 1 };
	p->doubted = false;
}

/* Mode 2 keeps memory back: for the administrator, and for others from a
 * process that is large (mm/util.c, __vm_enough_memory). */
static void put_commit(const struct limit_process *p, const struct limit_commit *c, uint64_t vm_size,
	struct limit_points *ret)
{
	uint64_t kept = vm_size / RESERVE_SHARE;

	if (c->mode != 2 || c->limit == LIMIT_NONE)
		return;
	kept = c->user_reserve != LIMIT_NONE && kept > c->user_reserve ? c->user_reserve : kept;
	if (c->admin_reserve != LIMIT_NONE && !p->set.administrates)
		kept += c->admin_reserve;
	limit_put(ret, LIMIT_COMMIT, "vm.overcommit_memory=2", c->limit > kept ? c->limit - kept : 0, c->committed, 0);
}

static void put_all(const struct limit_process *p, const struct mms_mm *mm, const struct limit_commit *commit,
	struct limit_points *ret)
{
	put_commit(p, commit, mm->total, ret);
	limit_put(ret, LIMIT_AS, "RLIMIT_AS", p->set.as, mm->total, 0);
	limit_put(ret, LIMIT_DATA, "RLIMIT_DATA", p->set.data, mm->data, 0);
	limit_put(ret, LIMIT_STACK, "RLIMIT_STACK", p->set.stack, mm->stack, 0);
	limit_put(ret, LIMIT_MEMLOCK, "RLIMIT_MEMLOCK", p->set.memlock, mm->locked, 0);
	limit_put(ret, LIMIT_TASK_SIZE, "address space", p->task_size, mm->total, 0);
	limit_put(ret, LIMIT_MAP_COUNT, "vm.max_map_count", p->set.map_count, p->map_count, 0);
}

void limit_put_own(const struct mms_own_limits *own, struct limit_points *ret)
{
	const struct limit_process p = { .map_count = LIMIT_NONE, .task_size = TASK_SIZE_64,
		.set = { .as = own->as, .data = own->data, .stack = own->stack, .memlock = own->memlock,
			.map_count = LIMIT_NONE } };

	put_all(&p, &own->mm, &(struct limit_commit){ .mode = 0 }, ret);
}

bool limit_process_read(struct limit_process *p, uint64_t now_ns, const struct mms_mm *mm,
	const struct limit_commit *commit, struct limit_points *ret)
{
	size_t first = ret->n;

	if (mm->total == 0) /* gone */
		return false;
	if (!p->first_ns)
		p->first_ns = now_ns;
	if (!p->task_size)
		p->task_size = task_size_of(p);
	count_when_due(p, now_ns, mm->total);
	uint64_t age = now_ns - p->set.read_ns;
	bool due = !p->set.read_ns || p->doubted || age >= SET_OLD || age >= (now_ns - p->first_ns) / SET_YOUNG;
	if (due)
		read_set(p, now_ns);
	put_all(p, mm, commit, ret);
	if (!due && is_near(ret, first)) {
		ret->n = first;
		read_set(p, now_ns);
		put_all(p, mm, commit, ret);
	}
	return true;
}
