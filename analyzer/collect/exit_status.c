/*
 * exit_status.c - how a process that is not our child ended.
 *
 * Two sources, each good where the other is not (HOSTILE 3 j):
 *
 *   exit ......... zombie ................... reaped by its parent ......
 *                  /proc/PID/stat, field 52   PIDFD_GET_INFO, for ever
 *
 * The first needs the right to look (a hidden field reads 0, which must not
 * be taken for "exited with 0"), the second Linux 6.15.  Called by watch.c.
 */
#include "exit_status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

/* linux/pidfd.h of Linux 6.15; older headers do not have it. */
struct kernel_pidfd_info {
	uint64_t mask, cgroup;
	uint32_t pid, tgid, ppid, ids[8];
	int32_t exit_code;
};
_Static_assert(sizeof(struct kernel_pidfd_info) == 64, "the kernel's first version of pidfd_info");
#define KERNEL_PIDFD_INFO_EXIT (1u << 3)
#define KERNEL_PIDFD_GET_INFO _IOWR(0xff, 11, struct kernel_pidfd_info)

static int from_pidfd(int pidfd, int *ret)
{
	struct kernel_pidfd_info info = {.mask = KERNEL_PIDFD_INFO_EXIT};
	if (pidfd < 0)
		return -ENODATA;
	if (ioctl(pidfd, KERNEL_PIDFD_GET_INFO, &info) < 0)
		return errno == ESRCH ? -ENODATA : -ENOTSUP;
	if (!(info.mask & KERNEL_PIDFD_INFO_EXIT))
		return -EAGAIN;
	*ret = info.exit_code;
	return 0;
}

/* io and the hidden fields of stat ask for the same right. */
static int may_look(int proc_fd)
{
	char byte;
	int fd = openat(proc_fd, "io", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	int yes = read(fd, &byte, 1) == 1;
	close(fd);
	return yes;
}

/* The last field of stat and the state; -errno. */
static int read_stat(int fd, char *ret_state)
{
	char text[2048];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return -ENODATA;
	text[n] = 0;
	/* The name may hold anything, also ") Z": the last parenthesis counts. */
	const char *rest = strrchr(text, ')');
	const char *last = strrchr(text, ' ');
	if (!rest || !last || rest[1] != ' ')
		return -EAGAIN;
	*ret_state = rest[2];
	return (int)strtol(last, NULL, 10);
}

int exit_status_shown(int stat_fd)
{
	char state;
	return read_stat(stat_fd, &state);
}

static int from_stat(int proc_fd, int *ret)
{
	char state = 0;
	if (proc_fd < 0)
		return -ENODATA;
	int fd = openat(proc_fd, "stat", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ENODATA;
	int status = read_stat(fd, &state);
	close(fd);
	if (status < 0)
		return status;
	if (state != 'Z' && state != 'X')
		return -EAGAIN;
	if (status == 0 && !may_look(proc_fd))
		return -EAGAIN;
	*ret = status;
	return 0;
}

int exit_status(int pidfd, int proc_fd, int *ret_wait_status)
{
	int r = from_pidfd(pidfd, ret_wait_status);
	if (r == 0)
		return 0;
	int again = from_stat(proc_fd, ret_wait_status);
	if (again != -ENODATA)
		return again;
	/* Reaped between the two questions, or being reaped: the next one tells. */
	r = from_pidfd(pidfd, ret_wait_status);
	return r == 0 || r == -EAGAIN ? r : -ENODATA;
}

bool exit_status_is_kept(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0;
	return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
		(major > 6 || (major == 6 && minor >= 15));
}

int pidfd_pid(int pidfd)
{
	char path[64], line[128];
	int pid = -ESRCH;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	FILE *f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	fclose(f);
	return pid > 0 ? pid : -ESRCH;
}
