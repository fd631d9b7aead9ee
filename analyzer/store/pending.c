/*
 * pending.c - see pending.h.  Looks at the session files of /dev/shm and at
 * those beside the database.  Only reads, by pread: a file that is cut short
 * meanwhile is an error, not SIGBUS.  Called by capture.c.
 */
#include "pending.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <mmscope/session.h>

#define SHM "/dev/shm"
#define FOLDER_PREFIX "mmscope."
#define FILE_PREFIX ".mmscope."
#define START_NS 3000000000ull /* a collector that has not come by then does not come */

/* The path with the links of its folder resolved; the file need not be there. */
static bool absolute(const char *path, char ret[PATH_MAX])
{
	char folder[PATH_MAX], name[PATH_MAX], real[PATH_MAX];

	if (strlen(path) >= PATH_MAX)
		return false;
	strcpy(folder, path);
	strcpy(name, path);
	return realpath(dirname(folder), real) &&
		snprintf(ret, PATH_MAX, "%s/%s", real, basename(name)) < PATH_MAX;
}

static bool collector_lives(const struct mms_header *h)
{
	struct timespec now;
	uint32_t word;

	switch (atomic_load(&h->collector_state)) {
	case MMS_COLLECTOR_ALIVE:
		memcpy(&word, &h->collector_alive, sizeof(word));
		return word && !(word & FUTEX_OWNER_DIED);
	case MMS_COLLECTOR_NONE:
		clock_gettime(CLOCK_REALTIME, &now);
		return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec <
			h->start_realtime_ns + START_NS;
	default: /* it takes no more records and finishes the database */
		return atomic_load(&h->collector_pid) &&
			(kill((pid_t)atomic_load(&h->collector_pid), 0) == 0 || errno == EPERM);
	}
}

static bool is_alive(uint32_t pid)
{
	return pid && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

static bool any_alive(const struct mms_process *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (atomic_load(&p[i].state) != MMS_SLOT_FREE && is_alive(p[i].pid))
			return true;
	return false;
}

static bool session_lives(int fd, const struct mms_cell0 *cell0)
{
	const struct mms_header *h = &cell0->header;
	uint32_t n = atomic_load(&h->n_process_cells);
	struct mms_process *more;
	bool alive = is_alive(h->creator_pid) || any_alive(cell0->process, MMS_PROCESSES_INLINE);

	more = alive || n == 0 ? NULL : malloc(MMS_CELL_SIZE);
	for (uint32_t i = 0; more && !alive && i < n && i < MMS_PROCESS_DIR; i++)
		if (pread(fd, more, MMS_CELL_SIZE, (off_t)h->process_cell[i] << MMS_CELL_SHIFT) == MMS_CELL_SIZE)
			alive = any_alive(more, MMS_PROCESSES_PER_CELL);
	free(more);
	return alive;
}

static bool is_session_of(const struct mms_header *h, const char *path)
{
	char output[sizeof(h->output) + 1], real[PATH_MAX];

	if (h->magic != MMS_SESSION_MAGIC || h->version != MMS_PROTOCOL_VERSION)
		return false;
	memcpy(output, h->output, sizeof(h->output));
	output[sizeof(h->output)] = 0;
	return absolute(output, real) && strcmp(real, path) == 0 && collector_lives(h);
}

static bool look_at(int folder, const char *name, const char *path, struct pending *ret)
{
	struct mms_cell0 *cell0 = malloc(sizeof(*cell0));
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool found = cell0 && fd >= 0 && pread(fd, cell0, sizeof(*cell0), 0) == sizeof(*cell0) &&
		is_session_of(&cell0->header, path);

	for (size_t i = 0; found && i < sizeof(cell0->header.id); i++)
		sprintf(ret->id + 2 * i, "%02x", cell0->header.id[i]);
	if (found)
		ret->has_ended = !session_lives(fd, cell0);
	if (fd >= 0)
		close(fd);
	free(cell0);
	return found;
}

/* Goes through a folder; every file of it, or those that begin with `prefix`. */
static bool look_into(const char *folder, const char *prefix, const char *path, struct pending *ret)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir)))
		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
			found = look_at(dirfd(dir), entry->d_name, path, ret);
	if (dir)
		closedir(dir);
	return found;
}

/* Of all users: their folders cannot be listed, but by themselves and root. */
static bool look_into_shm(const char *path, struct pending *ret)
{
	DIR *dir = opendir(SHM);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		char folder[sizeof(SHM) + sizeof(entry->d_name)];
		if (strncmp(entry->d_name, FOLDER_PREFIX, strlen(FOLDER_PREFIX)) != 0)
			continue;
		snprintf(folder, sizeof(folder), SHM "/%s", entry->d_name);
		found = look_into(folder, "", path, ret);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool pending_find(const char *path, struct pending *ret)
{
	char real[PATH_MAX], folder[PATH_MAX];

	if (!absolute(path, real))
		return false;
	strcpy(folder, real);
	return look_into_shm(real, ret) || look_into(dirname(folder), FILE_PREFIX, real, ret);
}
