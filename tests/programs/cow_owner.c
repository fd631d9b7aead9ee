/*
 * cow_owner.c - a program that watches 4 MiB with a userfaultfd of its own and
 * forks: prints the area that is its own, one that is not, and (hexadecimal as
 * these) how many pages of its own its marks say were written since.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mirror/pagemap.h"

#define BYTES (4ul << 20)

/* Pages written since they were protected, in at most so many runs; protects
 * them anew. */
static unsigned long written(uintptr_t start)
{
	static struct page_region region[1024];
	struct pm_scan_arg arg = { .size = sizeof(arg), .flags = SCAN_WP_MATCHING, .start = start, .end = start + BYTES,
		.vec = (uintptr_t)region, .vec_len = 1024, .category_mask = IS_WPALLOWED | IS_WRITTEN | IS_PRESENT,
		.return_mask = IS_WRITTEN };
	unsigned long pages = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), n = ioctl(fd, SCAN_IOCTL, &arg);

	for (int i = 0; i < n; i++)
		pages += (region[i].end - region[i].start) / 4096;
	close(fd);
	return pages;
}

int main(void)
{
	unsigned char *own = mmap(NULL, 4 * BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (own == MAP_FAILED)
		return 2;
	unsigned char *other = own + 2 * BYTES;
	struct uffd_api api = { .api = UFFD_VERSION, .features = UFFD_WP_ASYNC | UFFD_WP_UNPOPULATED };
	struct uffd_register range = { .start = (uintptr_t)own, .length = BYTES, .mode = UFFD_MODE_WP };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_ONLY);

	mprotect(own, BYTES, PROT_READ | PROT_WRITE);
	mprotect(other, BYTES, PROT_READ | PROT_WRITE);
	if (fd < 0 || ioctl(fd, UFFD_API_IOCTL, &api) || ioctl(fd, UFFD_REGISTER_IOCTL, &range))
		return 77;
	memset(own, 1, BYTES);
	memset(other, 1, BYTES);
	written((uintptr_t)own);
	for (size_t i = 0; i < 25; i++)
		own[2 * i * 4096] = 2;
	pid_t pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < 100; i++)
			other[i * 4096] = 2;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	for (size_t i = 0; i < 25; i++)
		own[(2 * i + 1) * 4096] = 2;
	printf("%p %p %lx\n", (void *)own, (void *)other, written((uintptr_t)own));
	return 0;
}
