/*
 * tasks.c - see tasks.h.  Called by pressure.c; reads only.
 */
#include "collect/tasks.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAPABILITY_SYS_ADMIN 21 /* linux/capability.h */
#define CAPABILITY_SYS_RESOURCE 24
#define PIDS_V1 "/sys/fs/cgroup/pids"
#define PIDS_V2 "/sys/fs/cgroup"
#define ROOT_MAX 128
#define LEVELS_MAX 16

static char level_path[LEVELS_MAX][512];

static void text_at(int folder_fd, const char *name, char *text, size_t size)
{
	int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);

	limit_text(fd, text, size);
	if (fd >= 0)
		close(fd);
}

/* Threads of the user on this machine. */
static uint64_t threads_of(const char *root, uint64_t user)
{
	char proc[ROOT_MAX + 8];
	const struct dirent *e;
	uint64_t n = 0;

	snprintf(proc, sizeof(proc), "%s/proc", root);
	DIR *all = opendir(proc);

	while (all && (e = readdir(all))) {
		char path[300], status[4096];

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "%s/status", e->d_name);
		text_at(dirfd(all), path, status, sizeof(status));
		uint64_t threads = limit_field(status, "Threads");
		if (limit_field(status, "Uid") == user && threads != LIMIT_NONE)
			n += threads;
	}
	if (all)
		closedir(all);
	return n;
}

/* Root and who may raise limits is not held to it. */
void tasks_read_user(const char *root, int folder_fd, struct limit_points *ret)
{
	static const char name[] = "Max processes";
	char status[4096], limits[4096];

	text_at(folder_fd, "status", status, sizeof(status));
	text_at(folder_fd, "limits", limits, sizeof(limits));
	const char *line = strstr(limits, name), *capabilities = strstr(status, "CapEff:");
	uint64_t user = limit_field(status, "Uid");
	uint64_t may = capabilities ? strtoull(capabilities + sizeof("CapEff:") - 1, NULL, 16) : 0;

	line = line ? line + sizeof(name) - 1 + strspn(line + sizeof(name) - 1, " ") : "";
	if (!isdigit((unsigned char)*line) || user == LIMIT_NONE || user == 0 ||
		(may >> CAPABILITY_SYS_ADMIN & 1) || (may >> CAPABILITY_SYS_RESOURCE & 1))
		return;
	limit_put(ret, LIMIT_NPROC, "RLIMIT_NPROC", strtoull(line, NULL, 10), threads_of(root, user), 0);
}

/* The process's cgroup of one hierarchy and all above it. */
static void read_groups(const char *root, const char *top, const char *path, size_t *n, struct limit_points *ret)
{
	char folder[sizeof(level_path[0])];
	size_t least = strlen(root) + strlen(top);

	snprintf(folder, sizeof(folder), "%s%s%.*s", root, top, (int)strcspn(path, "\n"), path);
	while (*n < LEVELS_MAX && strlen(folder) > least) {
		memcpy(level_path[*n], folder, sizeof(folder));
		if (limit_put(ret, LIMIT_PIDS, level_path[*n], limit_number_in(folder, "pids.max"),
				limit_number_in(folder, "pids.current"), 0))
			++*n;
		*strrchr(folder, '/') = 0;
	}
}

void tasks_read(const char *root, const char *cgroup, struct limit_points *ret)
{
	const char *v1 = strstr(cgroup, ":pids:"), *v2 = strstr(cgroup, "0::");
	char load[128], proc[ROOT_MAX + 32];
	size_t n = 0;

	if (v1)
		read_groups(root, PIDS_V1, v1 + sizeof(":pids:") - 1, &n, ret);
	if (v2)
		read_groups(root, PIDS_V2, v2 + sizeof("0::") - 1, &n, ret);
	snprintf(proc, sizeof(proc), "%s/proc", root);
	int fd = limit_open(proc, "loadavg");
	limit_text(fd, load, sizeof(load));
	if (fd >= 0)
		close(fd);
	const char *all = strchr(load, '/'); /* "0.20 0.18 0.12 1/80 11206": running and all */
	if (all)
		limit_put(ret, LIMIT_THREADS, "kernel.threads-max", limit_number_in(proc, "sys/kernel/threads-max"),
			strtoull(all + 1, NULL, 10), 0);
}
