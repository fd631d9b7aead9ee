/*
 * cow_kinds.c - every way to fork, one after the other, each with pages that
 * the child writes.
 *
 *	KIND START PAGES
 *
 * KIND: fork, grandchild (forked by that child), underscore, forkpty, daemon,
 * clone (the system call itself).  PAGES: how many pages of the area at START
 * the new process wrote.
 */
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 2048
#define PAGE 4096ul

static unsigned char *area;

static void write_pages(int n)
{
	for (int i = 0; i < n; i++)
		area[(size_t)i * 2 * PAGE] = 2;
}

static void tell(const char *kind, int n)
{
	printf("%s %p %d\n", kind, (void *)area, n);
	fflush(stdout);
}

static void child(int n)
{
	write_pages(n);
	_exit(0);
}

int main(void)
{
	int terminal, up[2];
	char c;

	area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED || pipe(up))
		return 2;
	madvise(area, PAGES * PAGE, MADV_NOHUGEPAGE);
	memset(area, 1, PAGES * PAGE);

	tell("fork", 100);
	tell("grandchild", 30);
	pid_t pid = fork();
	if (pid == 0) {
		write_pages(100);
		pid_t below = fork();
		if (below == 0) {
			for (int i = 0; i < 30; i++)
				area[((size_t)i * 2 + 1) * PAGE] = 3;
			_exit(0);
		}
		waitpid(below, NULL, 0);
		_exit(0);
	}
	waitpid(pid, NULL, 0);

	tell("underscore", 200);
	pid = _Fork();
	if (pid == 0)
		child(200);
	waitpid(pid, NULL, 0);

	tell("forkpty", 300);
	pid = forkpty(&terminal, NULL, NULL, NULL);
	if (pid == 0)
		child(300);
	waitpid(pid, NULL, 0);

	tell("clone", 400);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		child(400);
	waitpid(pid, NULL, 0);

	tell("daemon", 500);
	pid = fork();
	if (pid == 0) {
		if (daemon(1, 1))
			_exit(1);
		write_pages(500);
		if (write(up[1], "d", 1) != 1)
			_exit(1);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return read(up[0], &c, 1) == 1 ? 0 : 1;
}
