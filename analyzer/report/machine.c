/*
 * machine.c - what doctor asks the kernel: each feature is tried, not guessed
 * from a version number, since distributions backport and containers forbid.
 *
 * Numbers of newer interfaces are given here: the headers of the machine that
 * compiles may be older than the kernel that runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mmscope/launch.h"
#include "report/doctor.h"

#define SO_PEERPIDFD_NUMBER 77
#define MADV_WIPEONFORK_NUMBER 18
#define UFFD_WP_ASYNC (1u << 15)
#define UFFD_USER_ONLY 1

/* linux/pidfd.h of 6.15 */
struct pidfd_info_v2 {
	uint64_t mask, cgroupid;
	uint32_t pid, tgid, ppid, ids[8];
	int32_t exit_code;
};
#define PIDFD_GET_INFO_NUMBER _IOWR(0xff, 11, struct pidfd_info_v2)
#define PIDFD_INFO_EXIT_BIT (1u << 3)

/* linux/fs.h of 6.7 and 6.11 */
struct scan_argument {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof,
		returned;
};
#define PAGEMAP_SCAN_NUMBER _IOWR('f', 16, struct scan_argument)
struct map_query {
	uint64_t size, flags, address, start, end, vma_flags, page_size, offset, inode;
	uint32_t dev_major, dev_minor, name_size, build_id_size;
	uint64_t name, build_id;
};
#define PROCMAP_QUERY_NUMBER _IOWR('f', 17, struct map_query)

static void answer(struct check *c, const char *name, bool good, enum check_state otherwise,
	const char *yes, const char *no)
{
	c->name = name;
	c->state = good ? CHECK_OK : otherwise;
	snprintf(c->text, sizeof(c->text), "%s", good ? yes : no);
}

static void check_kernel(struct check *c)
{
	struct utsname u;
	uname(&u);
	bool good = strcmp(u.machine, "x86_64") == 0;
	c->name = "kernel";
	c->state = good ? CHECK_OK : CHECK_REFUSED;
	snprintf(c->text, sizeof(c->text), "%.32s %.60s on %.20s%s", u.sysname, u.release, u.machine,
		good ? "" : ": mmscope knows x86_64 only");
}

static void check_clock(struct check *c)
{
	answer(c, "clock", mms_choose_clock() == MMS_CLOCK_TSC, CHECK_LIMITED,
		"the TSC is steady: 4 ns a time stamp",
		"no steady TSC: time stamps by clock_gettime cost about 30 ns an event more");
}

/* The status of a child that has been waited for by its parent: what the
 * collector, which is nobody's parent, lives on. */
static bool pidfd_tells_exit(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(7);
	if (child < 0)
		return false;
	int fd = (int)syscall(SYS_pidfd_open, child, 0), status = 0;
	waitpid(child, &status, 0);
	struct pidfd_info_v2 info = {.mask = PIDFD_INFO_EXIT_BIT};
	bool good = fd >= 0 && ioctl(fd, PIDFD_GET_INFO_NUMBER, &info) == 0 &&
		(info.mask & PIDFD_INFO_EXIT_BIT) && info.exit_code == status;
	if (fd >= 0)
		close(fd);
	return good;
}

static void check_exit(struct check *c)
{
	answer(c, "exit status", pidfd_tells_exit(), CHECK_LIMITED,
		"the kernel tells how every process ended (PIDFD_GET_INFO)",
		"no PIDFD_GET_INFO (Linux 6.15): how a process was killed may stay unknown");
}

static bool doorbell_tells_pid(void)
{
	int pair[2], fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	socklen_t size = sizeof(fd);
	bool good = getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD_NUMBER, &fd, &size) == 0;
	if (good)
		close(fd);
	close(pair[0]);
	close(pair[1]);
	return good;
}

static void check_doorbell(struct check *c)
{
	answer(c, "doorbell", doorbell_tells_pid(), CHECK_LIMITED,
		"a process that joins is known by its pidfd (SO_PEERPIDFD)",
		"no SO_PEERPIDFD (Linux 6.5): very short processes are known by pid only");
}

static void check_fork_page(struct check *c)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool good = page != MAP_FAILED && madvise(page, 4096, MADV_WIPEONFORK_NUMBER) == 0;
	if (page != MAP_FAILED)
		munmap(page, 4096);
	answer(c, "forks", good, CHECK_LIMITED, "a forked child is noticed for free (MADV_WIPEONFORK)",
		"no MADV_WIPEONFORK: forked children are noticed by their pid");
}

static void check_scan(struct check *c)
{
	uint64_t region[3];
	struct scan_argument scan = {.size = sizeof(scan), .start = 0, .end = 4096,
		.vec = (uint64_t)(uintptr_t)region, .vec_len = 1, .anyof = 1u << 3, .returned = 1u << 3};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && ioctl(fd, PAGEMAP_SCAN_NUMBER, &scan) >= 0;
	if (fd >= 0)
		close(fd);
	answer(c, "page scan", good, CHECK_LIMITED, "PAGEMAP_SCAN works",
		"no PAGEMAP_SCAN (Linux 6.7): pages are read one by one");
}

static void check_map_query(struct check *c)
{
	struct map_query query = {.size = sizeof(query), .address = (uint64_t)(uintptr_t)&check_map_query};
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && ioctl(fd, PROCMAP_QUERY_NUMBER, &query) == 0;
	if (fd >= 0)
		close(fd);
	answer(c, "area query", good, CHECK_LIMITED, "PROCMAP_QUERY works",
		"no PROCMAP_QUERY (Linux 6.11): areas are read from the text of /proc");
}

static void check_userfault(struct check *c)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_ONLY);
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_WP_ASYNC};
	bool good = fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0;
	if (fd >= 0)
		close(fd);
	answer(c, "write watch", good, CHECK_LIMITED, "userfaultfd write-protect works without waiting",
		"no asynchronous userfaultfd write-protect (Linux 6.7, or forbidden here)");
}

static void check_shm(struct check *c)
{
	struct statvfs fs;
	c->name = "/dev/shm";
	c->state = CHECK_LIMITED;
	if (statvfs("/dev/shm", &fs) != 0 || access("/dev/shm", W_OK | X_OK) != 0) {
		snprintf(c->text, sizeof(c->text),
			"not usable (%s): the session file lies in the output folder", strerror(errno));
		return;
	}
	uint64_t mib = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;
	c->state = mib >= 64 ? CHECK_OK : CHECK_LIMITED;
	snprintf(c->text, sizeof(c->text), "%llu MiB free%s", (unsigned long long)mib,
		mib >= 64 ? "" : ": less than the 64 MiB a session may need, records may be lost");
}

static void check_file_limit(struct check *c)
{
	struct rlimit limit;
	getrlimit(RLIMIT_FSIZE, &limit);
	c->name = "file size limit";
	c->state = limit.rlim_cur >= MMS_MAX_CELLS * (uint64_t)MMS_CELL_SIZE ? CHECK_OK
		: limit.rlim_cur >= MMS_INITIAL_CELLS * (uint64_t)MMS_CELL_SIZE ? CHECK_LIMITED
										 : CHECK_REFUSED;
	snprintf(c->text, sizeof(c->text), "%s",
		c->state == CHECK_OK	    ? "large enough"
		: c->state == CHECK_LIMITED ? "small (ulimit -f): records may be lost"
					    : "too small for a session file (ulimit -f)");
}

static void check_space_limit(struct check *c)
{
	struct rlimit limit;
	getrlimit(RLIMIT_AS, &limit);
	answer(c, "address space limit", limit.rlim_cur >= 256u << 20, CHECK_LIMITED, "large enough",
		"small (ulimit -v): a smaller session is mapped, records may be lost");
}

/* Value of "key:" in /proc/self/status, or -1. */
static long status_value(const char *key)
{
	char line[256];
	long value = -1;
	FILE *f = fopen("/proc/self/status", "re");
	if (!f)
		return -1;
	while (value < 0 && fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
			sscanf(line + strlen(key) + 1, "%ld", &value);
	fclose(f);
	return value;
}

static void check_seccomp(struct check *c)
{
	answer(c, "seccomp", status_value("Seccomp") <= 0, CHECK_LIMITED, "no filter here",
		"a filter is on here: what it forbids shows in the other lines");
}

static void check_yama(struct check *c)
{
	int scope = 0;
	FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	if (f) {
		if (fscanf(f, "%d", &scope) != 1)
			scope = 0;
		fclose(f);
	}
	answer(c, "yama", scope == 0 || geteuid() == 0, CHECK_LIMITED, "reading other processes is not restricted",
		"ptrace_scope is set: the recorded program must allow the collector (it does)");
}

size_t doctor_machine(struct check checks[MACHINE_CHECKS])
{
	static void (*const questions[])(struct check *) = {check_kernel, check_clock, check_shm,
		check_exit, check_doorbell, check_fork_page, check_scan, check_map_query,
		check_userfault, check_seccomp, check_yama, check_file_limit, check_space_limit};
	_Static_assert(sizeof(questions) / sizeof(questions[0]) <= MACHINE_CHECKS, "room for answers");
	size_t n = 0;
	for (; n < sizeof(questions) / sizeof(questions[0]); n++)
		questions[n](&checks[n]);
	return n;
}
