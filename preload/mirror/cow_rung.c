/*
 * cow_rung.c - see cow_rung.h.
 */
#include "mirror/cow_rung.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/sys.h"
#include "mirror/cow_bits.h"

#define FD_MIN 1000

int rung_open_uffd(void)
{
	struct uffd_api api = { .api = UFFD_VERSION, .features = UFFD_WP_ASYNC | UFFD_WP_UNPOPULATED };
	long low = mms_syscall3(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_ONLY, 0, 0);

	if (low < 0)
		return (int)low;
	long fd = mms_syscall3(SYS_fcntl, low, F_DUPFD_CLOEXEC, FD_MIN);
	mms_close((int)low);
	if (fd < 0)
		return (int)fd;
	long r = mms_ioctl((int)fd, UFFD_API_IOCTL, &api);
	if (r < 0) {
		mms_close((int)fd);
		return (int)r;
	}
	return (int)fd;
}

int rung_clear_soft_dirty(void)
{
	int fd = mms_openat(AT_FDCWD, "/proc/self/clear_refs", O_WRONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	long n = mms_syscall3(SYS_write, fd, (long)"4", 1);
	mms_close(fd);
	return n == 1 ? 0 : n < 0 ? (int)n : -EIO;
}

/* 1 or 0, or -errno. */
static int bit_of(int pagemap_fd, volatile unsigned char *page)
{
	uint64_t entry = 0;
	long n = mms_pread(pagemap_fd, &entry, sizeof(entry), (uintptr_t)page >> 12 << 3);

	return n == (long)sizeof(entry) ? (int)(entry >> COW_BIT_SOFT_DIRTY & 1) : n < 0 ? (int)n : -EIO;
}

int rung_try_soft_dirty(volatile unsigned char *page)
{
	int fd = mms_openat(AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	page[0] = 1;
	int bit = bit_of(fd, page), r = bit == 0 ? -EOPNOTSUPP : bit < 0 ? bit : rung_clear_soft_dirty();
	if (r == 0) {
		int clear = bit_of(fd, page);
		page[0] = 2;
		r = clear == 0 && bit_of(fd, page) == 1 ? 0 : -EILSEQ;
	}
	mms_close(fd);
	return r;
}
