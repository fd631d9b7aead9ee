/*
 * mm.c - see mm.h.
 *
 * Texts of /proc are read in small pieces: this runs at the end of a process,
 * which may be in a signal handler on a small stack.  A line that is longer
 * than the buffer (Groups, Cpus_allowed) is passed over.  May not allocate,
 * may not call libc.
 */
#include "mm.h"

#include <stddef.h>
#include <string.h>

#include "base/sys.h"

#define PIECE 512

struct field {
	const char *name;
	size_t offset; /* of a uint64_t in struct mms_mm, in bytes */
};
#define FIELD(name, member) { name, offsetof(struct mms_mm, member) }

/* Lines of status that are "Name:   123 kB". */
static const struct field status_fields[] = {
	FIELD("VmPeak:", peak_total), FIELD("VmSize:", total), FIELD("VmLck:", locked),
	FIELD("VmPin:", pinned), FIELD("VmHWM:", hiwater_rss), FIELD("VmRSS:", rss),
	FIELD("RssAnon:", rss_anon), FIELD("RssFile:", rss_file), FIELD("RssShmem:", rss_shmem),
	FIELD("VmData:", data), FIELD("VmStk:", stack), FIELD("VmExe:", exec), FIELD("VmLib:", library),
	FIELD("VmPTE:", page_table), FIELD("VmSwap:", swap),
};

/* Numbers of stat by their position, 1 is the pid (proc_pid_stat(5)). */
static const struct {
	unsigned position;
	size_t offset;
} stat_fields[] = {
	{ 26, offsetof(struct mms_mm, start_code) }, { 27, offsetof(struct mms_mm, end_code) },
	{ 28, offsetof(struct mms_mm, start_stack) }, { 45, offsetof(struct mms_mm, start_data) },
	{ 46, offsetof(struct mms_mm, end_data) }, { 47, offsetof(struct mms_mm, start_brk) },
	{ 48, offsetof(struct mms_mm, arg_start) }, { 49, offsetof(struct mms_mm, arg_end) },
	{ 50, offsetof(struct mms_mm, env_start) }, { 51, offsetof(struct mms_mm, env_end) },
};

static void put(struct mms_mm *mm, size_t offset, uint64_t value)
{
	memcpy((char *)mm + offset, &value, sizeof(value));
}

static uint64_t number(const char *at, const char *end)
{
	uint64_t value = 0;

	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	for (; at < end && *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	return value;
}

static bool begins(const char *at, const char *end, const char *word, const char **rest)
{
	for (; *word; word++, at++)
		if (at == end || *at != *word)
			return false;
	*rest = at;
	return true;
}

static void status_line(const char *at, const char *end, struct mms_mm *mm)
{
	const char *rest;

	if (begins(at, end, "Threads:", &rest)) {
		mm->users = (uint32_t)number(rest, end);
		return;
	}
	for (size_t i = 0; i < sizeof(status_fields) / sizeof(status_fields[0]); i++) {
		if (begins(at, end, status_fields[i].name, &rest)) {
			put(mm, status_fields[i].offset, number(rest, end) << 10);
			return;
		}
	}
}

/* Whole lines of [text, text + length); returns the bytes they were. */
static size_t status_lines(const char *text, size_t length, struct mms_mm *mm)
{
	const char *at = text, *end = text + length, *newline;

	while (at < end && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		status_line(at, newline, mm);
		at = newline + 1;
	}
	return (size_t)(at - text);
}

void mm_parse_status(const char *text, size_t length, struct mms_mm *mm)
{
	status_lines(text, length, mm);
}

int mm_read_status(int proc, const char *name, struct mms_mm *mm)
{
	char text[PIECE];
	size_t used = 0;
	long n;
	int fd = mms_openat(proc, name, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	while ((n = mms_read(fd, text + used, sizeof(text) - used)) > 0) {
		used += (size_t)n;
		size_t done = status_lines(text, used, mm);
		if (done == 0 && used == sizeof(text))
			done = used; /* no line of ours is that long */
		used -= done;
		memmove(text, text + done, used);
	}
	mms_close(fd);
	return n < 0 ? (int)n : 0;
}

int mm_read_stat(int proc, const char *name, struct mms_mm *mm)
{
	char text[PIECE];
	int fd = mms_openat(proc, name, O_RDONLY | O_CLOEXEC, 0);
	unsigned position = 2;

	if (fd < 0)
		return fd;
	long n = mms_read(fd, text, sizeof(text));
	mms_close(fd);
	if (n <= 0)
		return n < 0 ? (int)n : -ESRCH;
	const char *end = text + n, *at = memrchr(text, ')', (size_t)n); /* the name may hold anything */
	for (; at && at < end; at++) {
		if (*at != ' ')
			continue;
		position++;
		for (size_t i = 0; i < sizeof(stat_fields) / sizeof(stat_fields[0]); i++)
			if (stat_fields[i].position == position)
				put(mm, stat_fields[i].offset, number(at, end));
	}
	return 0;
}
