/*
 * cgroups.c - see cgroups.h.
 *
 * Called by the ticks of the collector and by tests over recorded trees.
 * Reads only.  A file that is missing means that the limit is not there: no
 * kernel has all of them.  Paths come from /proc/PID/cgroup as the reader
 * sees them, mount points from the reader's own mountinfo: a target in
 * another mount namespace has the same cgroups elsewhere.
 */
#include "collect/cgroups.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 16
#define VMSTAT_EVERY 16
#define SELDOM 8 /* looks between two for what an administrator changes by hand */
#define NAMESPACE_OF_INIT 4026531835u /* PROC_CGROUP_INIT_INO, include/linux/proc_ns.h */

enum group_file { USAGE, LIMIT, HIGH, STAT, EVENTS, FAILURES, KERNEL, BOTH_USAGE, BOTH_LIMIT, PRESSURE, SWAP,
	SWAP_LIMIT, SWAP_EVENTS, PEAK, FILES };

static const char *const file_v1[FILES] = { [USAGE] = "memory.usage_in_bytes", [LIMIT] = "memory.limit_in_bytes",
	[STAT] = "memory.stat", [EVENTS] = "memory.oom_control", [FAILURES] = "memory.failcnt",
	[KERNEL] = "memory.kmem.usage_in_bytes", [BOTH_USAGE] = "memory.memsw.usage_in_bytes",
	[BOTH_LIMIT] = "memory.memsw.limit_in_bytes", [PEAK] = "memory.max_usage_in_bytes" };
static const char *const file_v2[FILES] = { [USAGE] = "memory.current", [LIMIT] = "memory.max",
	[HIGH] = "memory.high", [STAT] = "memory.stat", [EVENTS] = "memory.events",
	[PRESSURE] = "memory.pressure", [SWAP] = "memory.swap.current", [SWAP_LIMIT] = "memory.swap.max",
	[SWAP_EVENTS] = "memory.swap.events", [PEAK] = "memory.peak" };

/* One cgroup: the process's own or an ancestor. */
struct group {
	char *path, *folder;
	bool v2;
	bool nearest; /* of its hierarchy */
	bool unlimited; /* and another is nearer: asked seldom whether that is still so */
	int fd[FILES];
};

struct cgroup_place {
	char *root, *text;
	struct group group[GROUPS_MAX];
	size_t n_groups;
	unsigned n_reads, n_host_reads;
	uint64_t overcommit; /* vm.overcommit_memory, read seldom */
	bool hidden;
	int meminfo_fd, vmstat_fd, pressure_fd, overcommit_fd, admin_fd, user_fd;
};

/* A number, or LIMIT_NONE for "max", "unlimited" and nothing at all. */
static uint64_t number_of(int fd)
{
	char buffer[64];
	const char *text = limit_text(fd, buffer, sizeof buffer);

	return isdigit((unsigned char)*text) ? strtoull(text, NULL, 10) : LIMIT_NONE;
}

static uint64_t zero_if_none(uint64_t v)
{
	return v == LIMIT_NONE ? 0 : v;
}

/* --- finding the cgroups ------------------------------------------------------ */

struct mount {
	char point[2048]; /* where the hierarchy is mounted */
	char root[2048];  /* which of its folders that is */
};

/* mountinfo: id parent major:minor root point options ... - type source super */
static bool find_mount(const char *mountinfo, bool v2, struct mount *ret)
{
	for (const char *line = mountinfo; *line; line = strchr(line, '\n') + 1) {
		const char *end = strchr(line, '\n'), *dash = strstr(line, " - ");
		char type[64], options[1024];

		if (!end)
			break;
		if (!dash || dash > end || sscanf(dash, " - %63s %*s %1023s", type, options) != 2 ||
			sscanf(line, "%*s %*s %*s %2047s %2047s", ret->root, ret->point) != 2)
			continue;
		if (v2 ? !strcmp(type, "cgroup2") : !strcmp(type, "cgroup") && strstr(options, "memory"))
			return true;
	}
	return false;
}

/* The path of the process in a hierarchy, from /proc/PID/cgroup. */
static bool find_path(const char *cgroup, bool v2, char *ret, size_t size)
{
	for (const char *line = cgroup; *line; line = strchr(line, '\n') + 1) {
		const char *end = strchr(line, '\n'), *controllers = strchr(line, ':');

		if (!end || !controllers || controllers > end)
			break;
		const char *path = strchr(controllers + 1, ':');
		if (!path || path > end)
			continue;
		size_t n = (size_t)(path - controllers - 1), length = (size_t)(end - path - 1);
		bool match = v2 ? n == 0 : n >= 6 && memmem(controllers + 1, n, "memory", 6);
		if (match && length < size) {
			memcpy(ret, path + 1, length);
			ret[length] = '\0';
			return true;
		}
	}
	return false;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Keeps the group only where it has a memory controller. */
static void add_group(struct cgroup_place *p, const char *folder, bool v2)
{
	struct group *g = &p->group[p->n_groups];

	for (int i = 0; i < FILES; i++) {
		const char *name = v2 ? file_v2[i] : file_v1[i];

		g->fd[i] = name ? limit_open(folder, name) : -1;
	}
	g->folder = strdup(folder);
	g->path = strdup(folder + strlen(p->root));
	g->v2 = v2;
	g->nearest = p->n_groups == 0 || p->group[p->n_groups - 1].v2 != v2;
	if (g->path && g->folder && g->fd[USAGE] >= 0) {
		p->n_groups++;
		return;
	}
	for (int i = 0; i < FILES; i++)
		close_fd(g->fd[i]);
	free(g->path);
	free(g->folder);
}

/* The process's folder and every folder above it, up to the mount point. */
static void add_chain(struct cgroup_place *p, const struct mount *m, const char *path, bool v2)
{
	char folder[4600];
	size_t skip = strcmp(m->root, "/") ? strlen(m->root) : 0;

	if (strcmp(m->root, "/") || !strncmp(path, "/..", 3))
		p->hidden = true;
	if (strncmp(path, m->root, skip) || !strncmp(path, "/..", 3))
		path = "";
	else
		path += skip;
	int base = snprintf(folder, sizeof folder, "%s%s", p->root, m->point);
	if (base < 0 || (size_t)base + strlen(path) >= sizeof folder)
		return;
	strcpy(folder + base, strcmp(path, "/") ? path : "");
	while (p->n_groups < GROUPS_MAX) {
		add_group(p, folder, v2);
		char *slash = strrchr(folder + base, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
}

static char *read_whole(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &size, '\0', f) < 0) {
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

static void find_groups(struct cgroup_place *p)
{
	char path[4608], group[2048];
	struct mount mount;

	snprintf(path, sizeof path, "%s/proc/self/mountinfo", p->root);
	char *mountinfo = read_whole(path);
	for (int v2 = 0; mountinfo && v2 < 2; v2++) {
		if (find_path(p->text, v2, group, sizeof group) && find_mount(mountinfo, v2, &mount))
			add_chain(p, &mount, group, v2);
	}
	free(mountinfo);
}

struct cgroup_place *cgroup_place_open(const char *root, const char *cgroup)
{
	struct cgroup_place *p = calloc(1, sizeof *p);
	char folder[4600];
	struct stat st;

	if (!p)
		return NULL;
	p->meminfo_fd = p->vmstat_fd = p->pressure_fd = p->overcommit_fd = p->admin_fd = p->user_fd = -1;
	p->root = strdup(root);
	p->text = strdup(cgroup);
	if (!p->root || !p->text) {
		cgroup_place_close(p);
		return NULL;
	}
	find_groups(p);
	snprintf(folder, sizeof folder, "%s/proc/self/ns/cgroup", root);
	if (stat(folder, &st) == 0 && st.st_ino != NAMESPACE_OF_INIT)
		p->hidden = true;
	snprintf(folder, sizeof folder, "%s/proc", root);
	p->meminfo_fd = limit_open(folder, "meminfo");
	p->vmstat_fd = limit_open(folder, "vmstat");
	p->pressure_fd = limit_open(folder, "pressure/memory");
	p->overcommit_fd = limit_open(folder, "sys/vm/overcommit_memory");
	p->admin_fd = limit_open(folder, "sys/vm/admin_reserve_kbytes");
	p->user_fd = limit_open(folder, "sys/vm/user_reserve_kbytes");
	return p;
}

void cgroup_place_close(struct cgroup_place *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_groups; i++) {
		for (int f = 0; f < FILES; f++)
			close_fd(p->group[i].fd[f]);
		free(p->group[i].path);
		free(p->group[i].folder);
	}
	close_fd(p->meminfo_fd);
	close_fd(p->vmstat_fd);
	close_fd(p->pressure_fd);
	close_fd(p->overcommit_fd);
	close_fd(p->admin_fd);
	close_fd(p->user_fd);
	free(p->root);
	free(p->text);
	free(p);
}

const char *cgroup_place_text(const struct cgroup_place *p)
{
	return p->text;
}

bool cgroup_place_hidden(const struct cgroup_place *p)
{
	return p->hidden;
}

const char *cgroup_place_folder(const struct cgroup_place *p, const char *path, bool *ret_v2)
{
	for (size_t i = 0; i < p->n_groups; i++) {
		if (strcmp(p->group[i].path, path) == 0) {
			*ret_v2 = p->group[i].v2;
			return p->group[i].folder;
		}
	}
	return NULL;
}

/* --- reading ------------------------------------------------------------------ */

/* "some avg10=0.00 ... total=123": microseconds. */
static void read_pressure(struct limit_point *point, int fd)
{
	char text[512];
	const char *some, *full;

	if (!point || fd < 0)
		return;
	limit_text(fd, text, sizeof text);
	some = strstr(text, "some ");
	full = strstr(text, "full ");
	if (some && (some = strstr(some, "total=")))
		point->stall_us = strtoull(some + 6, NULL, 10);
	if (full && (full = strstr(full, "total=")))
		point->full_stall_us = strtoull(full + 6, NULL, 10);
}

/* Usage that the statistics do not name.  A huge page of which one small page
 * is still mapped is charged whole and counted as small. */
static uint64_t residue_of(const struct group *g, const char *stat, uint64_t usage)
{
	uint64_t named;

	if (g->v2) {
		uint64_t kernel = limit_field(stat, "kernel");

		if (kernel == LIMIT_NONE)
			return LIMIT_NONE;
		named = limit_field(stat, "anon") + limit_field(stat, "file") + kernel +
			zero_if_none(limit_field(stat, "sock")) * (kernel == 0);
	} else {
		uint64_t rss = limit_field(stat, "total_rss"), cache = limit_field(stat, "total_cache");

		if (rss == LIMIT_NONE || cache == LIMIT_NONE)
			return LIMIT_NONE;
		named = rss + cache + zero_if_none(number_of(g->fd[KERNEL]));
	}
	return usage > named ? usage - named : 0;
}

/* memory.high, and what may be swapped out. */
static void read_soft(struct limit_points *ret, const struct group *g, uint64_t high, const char *events,
	const struct limit_point *like)
{
	struct limit_point *point = limit_put(ret, LIMIT_CGROUP2_HIGH, g->path, high, like->usage, like->reclaimable);
	char swap_events[256];

	if (point)
		point->failures = limit_field(events, "high");
	if (g->fd[SWAP_LIMIT] < 0)
		return;
	point = limit_put(ret, LIMIT_CGROUP2_SWAP, g->path, number_of(g->fd[SWAP_LIMIT]), number_of(g->fd[SWAP]), 0);
	if (point)
		point->failures = limit_field(limit_text(g->fd[SWAP_EVENTS], swap_events, sizeof swap_events), "max");
}

static void read_group(struct limit_points *ret, struct group *g)
{
	char stat[8192] = "", events[512];
	uint64_t limit = number_of(g->fd[LIMIT]), high = number_of(g->fd[HIGH]), both = number_of(g->fd[BOTH_LIMIT]);

	limit = limit >= LIMIT_UNLIMITED ? LIMIT_NONE : limit;
	both = both >= LIMIT_UNLIMITED ? LIMIT_NONE : both;
	bool limited = limit != LIMIT_NONE || high != LIMIT_NONE || both != LIMIT_NONE;
	g->unlimited = !limited && !g->nearest;
	if (g->unlimited)
		return;
	limit = limit == LIMIT_NONE && g->nearest ? LIMIT_UNLIMITED : limit;
	uint64_t usage = number_of(g->fd[USAGE]), both_usage = number_of(g->fd[BOTH_USAGE]);
	if (usage == LIMIT_NONE)
		return;
	if (limited) /* what can be dropped is of no interest without */
		limit_text(g->fd[STAT], stat, sizeof stat);
	limit_text(g->fd[EVENTS], events, sizeof events);
	uint64_t file = zero_if_none(limit_field(stat, g->v2 ? "inactive_file" : "total_inactive_file")) +
		zero_if_none(limit_field(stat, g->v2 ? "active_file" : "total_active_file"));
	struct limit_point *point = limit_put(ret, g->v2 ? LIMIT_CGROUP2 : LIMIT_CGROUP1, g->path, limit, usage, file);
	if (point) {
		point->failures = g->v2 ? limit_field(events, "max") : number_of(g->fd[FAILURES]);
		point->oom_kills = limit_field(events, "oom_kill");
		point->peak = number_of(g->fd[PEAK]);
		point->residue = residue_of(g, stat, usage);
		point->swap = g->v2 ? number_of(g->fd[SWAP]) :
			both_usage != LIMIT_NONE && both_usage >= usage ? both_usage - usage : LIMIT_NONE;
		read_pressure(point, g->fd[PRESSURE]);
	}
	/* The same number again says nothing: no swap may be used then. */
	if (both != LIMIT_NONE && both != limit && both_usage != LIMIT_NONE)
		limit_put(ret, LIMIT_CGROUP1_SWAP, g->path, both, both_usage, file);
	if (g->v2)
		read_soft(ret, g, high, events, &(struct limit_point){ .usage = usage, .reclaimable = file });
}

/* A number of meminfo: from the line of the last one on, for the text is long. */
static uint64_t kib(const char *text, const char **at, const char *key)
{
	const char *line = limit_line(*at, key);

	line = line ? line : limit_line(text, key);
	if (line)
		*at = line;
	return line ? zero_if_none(limit_field(line, key)) << 10 : 0;
}

static void read_commit(struct limit_points *ret, const struct cgroup_place *p, uint64_t limit, uint64_t committed,
	struct limit_commit *ret_commit)
{
	static const char *const path[] = { "vm.overcommit_memory=0", "vm.overcommit_memory=1" };
	struct limit_commit *c = ret_commit;
	uint64_t admin, user;

	*c = (struct limit_commit){ .mode = p->overcommit, .limit = limit, .committed = committed,
		.admin_reserve = LIMIT_NONE, .user_reserve = LIMIT_NONE };
	if (c->mode < 2)
		limit_put(ret, LIMIT_COMMITTED, path[c->mode], c->limit, c->committed, 0);
	if (c->mode != 2)
		return;
	admin = number_of(p->admin_fd);
	user = number_of(p->user_fd);
	c->admin_reserve = admin == LIMIT_NONE ? LIMIT_NONE : admin << 10;
	c->user_reserve = user == LIMIT_NONE ? LIMIT_NONE : user << 10;
}

/* A long text: at every look only where no cgroup tells who was killed. */
static uint64_t host_kills(struct cgroup_place *p)
{
	char vmstat[16384];

	if (p->n_groups && p->group[0].fd[EVENTS] >= 0 && p->n_host_reads++ % VMSTAT_EVERY)
		return LIMIT_NONE;
	return limit_field(limit_lines(p->vmstat_fd, vmstat, sizeof vmstat), "oom_kill");
}

static void read_host(struct limit_points *ret, struct cgroup_place *p, struct limit_commit *ret_commit)
{
	char text[8192];
	const char *at = limit_text(p->meminfo_fd, text, sizeof text);
	uint64_t total = kib(text, &at, "MemTotal"), available = kib(text, &at, "MemAvailable");
	uint64_t swap = kib(text, &at, "SwapTotal"), swap_free = kib(text, &at, "SwapFree");
	uint64_t commit = kib(text, &at, "CommitLimit"), committed = kib(text, &at, "Committed_AS");

	total += swap;
	available += swap_free;
	if (total >= available && total > 0) {
		struct limit_point *point = limit_put(ret, LIMIT_HOST, "MemAvailable", total, total - available, 0);

		if (point) {
			point->oom_kills = host_kills(p);
			point->swap = swap - swap_free;
			read_pressure(point, p->pressure_fd);
		}
	}
	read_commit(ret, p, commit, committed, ret_commit);
}

void cgroup_place_read(struct cgroup_place *p, struct limit_points *ret, struct limit_commit *ret_commit)
{
	bool all = p->n_reads++ % SELDOM == 0;

	if (all)
		p->overcommit = number_of(p->overcommit_fd);
	for (size_t i = 0; i < p->n_groups; i++) {
		if (all || !p->group[i].unlimited)
			read_group(ret, &p->group[i]);
	}
	read_host(ret, p, ret_commit);
}
