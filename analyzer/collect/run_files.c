/*
 * run_files.c - the files that `mmscope run` needs before it starts: where
 * the database goes, whether it can be written, where the library is.
 *
 * All this happens before the command starts: what can be refused is refused
 * while nothing has happened yet.  Called by run.c.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mmscope/schema.h>

/* A new database with its tables takes 0.2 MiB. */
#define ROOM_NEEDED (1 << 20)

int run_output_path(const struct run_options *o, const char *exe, pid_t pid, char *ret, size_t room)
{
	char cwd[4096] = "";
	const char *base = strrchr(exe, '/') ? strrchr(exe, '/') + 1 : exe;
	bool absolute = o->output && o->output[0] == '/';
	if (!absolute && !getcwd(cwd, sizeof(cwd)))
		return -errno;
	int n;
	if (o->output)
		n = snprintf(ret, room, "%s%s%s", cwd, absolute ? "" : "/", o->output);
	else
		n = snprintf(ret, room, "%s/mmscope.%s.%d.db", cwd, base, (int)pid);
	return n >= (int)room ? -ENAMETOOLONG : 0;
}

/* SQLite keeps the application's number at offset 68, big endian. */
static bool is_our_database(int fd, off_t size)
{
	uint8_t head[100];
	if (size == 0)
		return true;
	if (pread(fd, head, sizeof(head), 0) != sizeof(head) || memcmp(head, "SQLite format 3", 16) != 0)
		return false;
	uint32_t id = (uint32_t)head[68] << 24 | (uint32_t)head[69] << 16 | (uint32_t)head[70] << 8 | head[71];
	return id == MMS_APPLICATION_ID;
}

/* A full disk is found by asking for the room, beyond the end of the file; with
 * the file it makes way for the database.  One that is replaced gives its own. */
static int try_room(int fd, const struct stat *st)
{
	if ((uint64_t)st->st_blocks * 512 >= ROOM_NEEDED)
		return 0;
	int r = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, ROOM_NEEDED) < 0 ? -errno : 0;
	if (r < 0 && ftruncate(fd, st->st_size) < 0)
		return -errno;
	/* A file system that cannot reserve is believed. */
	return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

int run_output_check(const char *path, bool *ret_made)
{
	struct stat st;
	*ret_made = false;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT) {
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		*ret_made = fd >= 0;
	}
	if (fd < 0)
		return -errno;
	int r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && (!S_ISREG(st.st_mode) || !is_our_database(fd, st.st_size)))
		r = -EEXIST;
	r = r ? r : try_room(fd, &st);
	close(fd);
	if (r < 0 && *ret_made)
		unlink(path);
	return r;
}

/* With $LIB in the place of lib/x86_64-linux-gnu or lib64 (what the loader
 * puts there), when the path has it. */
static void library_entry(const char *plain, char *ret, size_t room)
{
	static const char *const places[] = {"/lib/x86_64-linux-gnu/", "/lib64/"};
	snprintf(ret, room, "%s", plain);
	for (size_t i = 0; i < 2; i++) {
		/* The one that this system's loader stands for. */
		if (access(places[i], F_OK) < 0)
			continue;
		const char *at = strstr(plain, places[i]);
		if (at && !strchr(at + strlen(places[i]), '/'))
			snprintf(ret, room, "%.*s/$LIB/%s", (int)(at - plain), plain, at + strlen(places[i]));
		return;
	}
}

int run_find_library(struct run_library *ret)
{
	static const char *const places[] = {
		"../lib/x86_64-linux-gnu", "../lib64", "../lib", "../lib/mmscope",
		"../preload/lib/x86_64-linux-gnu", "../preload",
	};
	char folder[4096], real[4096];
	ssize_t n = readlink("/proc/self/exe", ret->self, sizeof(ret->self) - 1);
	if (n <= 0)
		return -ENOENT;
	ret->self[n] = 0;
	snprintf(folder, sizeof(folder), "%s", ret->self);
	dirname(folder);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char path[4200];
		snprintf(path, sizeof(path), "%s/%s/libmmscope.so", folder, places[i]);
		/* The folder without "..", the file's own name as it is. */
		*strrchr(path, '/') = 0;
		if (!realpath(path, real))
			continue;
		if (snprintf(ret->plain, sizeof(ret->plain), "%.4000s/libmmscope.so", real) < 0 ||
			access(ret->plain, R_OK) < 0)
			continue;
		library_entry(ret->plain, ret->entry, sizeof(ret->entry));
		return 0;
	}
	return -ENOENT;
}
