/*
 * victims.c - see victims.h.  Called by pressure.c under its budget.
 *
 * The kernel's rule (mm/oom_kill.c, oom_badness): resident pages, swap and
 * page tables, plus oom_score_adj thousandths of the limit.  It takes the
 * largest of the whole subtree, which need not be the one that grows.
 */
#include "collect/victims.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect/limit.h"

#define DEPTH_MAX 8
#define PROCESSES_MAX 8192

struct ranking {
	struct victim *at;
	size_t n, looked_at;
	uint64_t limit;
};

static void put(struct ranking *r, const struct victim *v)
{
	size_t i = r->n;

	if (r->n == VICTIMS_MAX) { /* the last one gives way to a worse one */
		i = VICTIMS_MAX - 1;
		if (r->at[i].badness >= v->badness)
			return;
	} else {
		r->n++;
	}
	while (i > 0 && r->at[i - 1].badness < v->badness) {
		r->at[i] = r->at[i - 1];
		i--;
	}
	r->at[i] = *v;
}

static const char *small_file(int pid, const char *name, char *text, size_t size)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	limit_text(fd, text, size);
	if (fd >= 0)
		close(fd);
	return text;
}

static uint64_t kib(const char *status, const char *key)
{
	uint64_t v = limit_field(status, key);

	return v == LIMIT_NONE ? 0 : v << 10;
}

static void add(struct ranking *r, int pid)
{
	char status[4096], adjust[32];
	struct victim v = { .pid = pid };

	if (r->looked_at++ == PROCESSES_MAX)
		return;
	small_file(pid, "status", status, sizeof status);
	if (limit_field(status, "VmRSS") == LIMIT_NONE) /* gone, or of the kernel */
		return;
	v.adjustment = atoi(small_file(pid, "oom_score_adj", adjust, sizeof adjust));
	if (v.adjustment <= -1000)
		return;
	sscanf(status, "Name:%*[ \t]%15[^\n]", v.name);
	int64_t badness = (int64_t)(kib(status, "VmRSS") + kib(status, "VmSwap") + kib(status, "VmPTE")) +
		(int64_t)(r->limit / 1000) * v.adjustment;
	v.badness = badness > 0 ? (uint64_t)badness : 0;
	put(r, &v);
}

static void add_group(struct ranking *r, int folder_fd, int depth)
{
	int fd = openat(folder_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *procs = fd >= 0 ? fdopen(fd, "r") : NULL;
	DIR *folder = fdopendir(folder_fd);
	const struct dirent *e;
	int pid;

	while (procs && fscanf(procs, "%d", &pid) == 1)
		add(r, pid);
	if (procs)
		fclose(procs);
	else if (fd >= 0)
		close(fd);
	while (folder && depth < DEPTH_MAX && (e = readdir(folder))) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		int below = openat(dirfd(folder), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (below >= 0)
			add_group(r, below, depth + 1);
	}
	if (folder)
		closedir(folder);
	else
		close(folder_fd);
}

static void add_all(struct ranking *r)
{
	DIR *proc = opendir("/proc");
	const struct dirent *e;

	while (proc && (e = readdir(proc))) {
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			add(r, atoi(e->d_name));
	}
	if (proc)
		closedir(proc);
}

size_t victims_rank(const char *folder, uint64_t limit, struct victim ret[VICTIMS_MAX])
{
	struct ranking r = { .at = ret, .limit = limit };

	memset(ret, 0, VICTIMS_MAX * sizeof *ret);
	if (folder) {
		int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			add_group(&r, fd, 0);
	} else {
		add_all(&r);
	}
	return r.n;
}
