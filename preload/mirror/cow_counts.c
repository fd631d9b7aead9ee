/*
 * cow_counts.c - minor faults and private pages, as the kernel counts them (cow.h).
 *
 * Raw system calls; no lock, no allocation.
 */
#include "base/aside.h"
#include "base/sys.h"
#include "mirror/cow.h"

static __thread uint64_t aside_faults __attribute__((tls_model("initial-exec")));

static uint64_t faults_of(long who)
{
	struct rusage u = { .ru_minflt = 0 };

	mms_syscall3(SYS_getrusage, who, (long)&u, 0);
	return (uint64_t)u.ru_minflt;
}

uint64_t cow_faults(void) { return faults_of(RUSAGE_SELF); }
uint64_t cow_faults_here(void) { return faults_of(RUSAGE_THREAD); }
uint64_t cow_faults_of_thread(void) { return cow_faults_here() + aside_faults; }

void cow_faults_aside(uint64_t n)
{
	aside_faults += n;
}

/* The tenth field of /proc/PID/stat; the second may hold anything. */
static void read_faults_of(void *arg)
{
	const uint64_t pid = *(uint64_t *)arg;
	char path[40] = "/proc/", text[512];
	uint64_t value = 0;
	long at = 0;

	mms_append_number(path, sizeof(path), pid);
	mms_append(path, sizeof(path), "/stat");
	*(uint64_t *)arg = 0;
	int fd = mms_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	long n = mms_read(fd, text, sizeof(text));
	mms_close(fd);
	for (long i = 0; i < n; i++)
		at = text[i] == ')' ? i : at;
	for (int field = 2; field < 10 && at < n; at++)
		field += text[at] == ' ';
	for (; at > 0 && at < n && text[at] >= '0' && text[at] <= '9'; at++)
		value = value * 10 + (uint64_t)(text[at] - '0');
	*(uint64_t *)arg = value;
}

uint64_t cow_faults_of(int pid)
{
	uint64_t value = (uint64_t)pid;

	aside(read_faults_of, &value);
	return value;
}

/* resident - shared of /proc/self/statm: anonymous pages. */
static void read_private_pages(void *ret)
{
	char text[128];
	uint64_t value[3] = { 0, 0, 0 };
	int fd = mms_openat(AT_FDCWD, "/proc/self/statm", O_RDONLY | O_CLOEXEC, 0), field = 0;

	if (fd < 0)
		return;
	long n = mms_read(fd, text, sizeof(text));
	mms_close(fd);
	for (long i = 0; i < n && field < 3; i++) {
		if (text[i] >= '0' && text[i] <= '9')
			value[field] = value[field] * 10 + (uint64_t)(text[i] - '0');
		else
			field++;
	}
	*(uint64_t *)ret = value[1] > value[2] ? value[1] - value[2] : 0;
}

uint64_t cow_private_pages(void)
{
	uint64_t n = 0;

	aside(read_private_pages, &n);
	return n;
}
