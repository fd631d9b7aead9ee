/*
 * cow_owner.c - a program that watches 4 MiB with a userfaultfd of its own and
 * forks: prints the area that is its own, and one that is not.
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
	pid_t pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < 100; i++)
			other[i * 4096] = 2;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	printf("%p %p\n", (void *)own, (void *)other);
	return 0;
}
