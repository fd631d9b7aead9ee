/*
 * families.c - busy programs at the same time that have nothing to do with each
 * other, each with a child that frees what it inherited.
 *
 *	families N
 *
 * Executes itself four times.  Each of the four: N blocks that are freed at
 * once, N / 100 that are kept, N / 2 in a second thread, a mapping now and then.
 * In the middle it forks; the child frees the N / 200 that it found, and takes
 * N / 4 of its own.  Number 3 kills itself at the end, and so does the child of
 * number 2.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define FAMILIES 4
#define KEPT_MAX 100000

static void *kept[KEPT_MAX], *volatile last;
static unsigned n_kept;

static NOINLINE void *take(size_t size)
{
	void *p = malloc(size);

	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static NOINLINE void site_freed(unsigned i)
{
	free(take(16 + i % 64));
}

static NOINLINE void site_kept(unsigned number)
{
	kept[n_kept++] = take(100 + number);
}

static NOINLINE void site_thread(void)
{
	free(take(24));
}

static NOINLINE void site_child(void)
{
	last = take(32); /* no tail call: its frame is looked for */
}

static void *second(void *arg)
{
	for (unsigned n = *(unsigned *)arg / 2; n; n--)
		site_thread();
	return NULL;
}

static void child(unsigned n, int dies)
{
	for (unsigned i = 0; i < n_kept; i++)
		free(kept[i]);
	for (unsigned i = 0; i < n / 4; i++)
		site_child();
	if (dies)
		raise(SIGKILL);
	_exit(0);
}

static void map(void)
{
	void *p = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || munmap(p, 8192))
		_exit(2);
}

static int live(unsigned number, unsigned n)
{
	pthread_t thread;
	pid_t pid = 0;

	if (pthread_create(&thread, NULL, second, &n))
		return 2;
	for (unsigned i = 0; i < n; i++) {
		site_freed(i);
		if (i % 100 == 0 && n_kept < KEPT_MAX)
			site_kept(number);
		if (i % 5000 == 0)
			map();
		if (i == n / 2 - 1 && (pid = fork()) == 0)
			child(n, number == 2);
	}
	pthread_join(thread, NULL);
	waitpid(pid, NULL, 0);
	if (number == 3)
		raise(SIGKILL);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4)
		return live((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
	for (int i = 0; i < FAMILIES && argc == 2; i++) {
		char number[2] = { (char)('0' + i), 0 };
		if (fork() == 0) {
			execl(argv[0], argv[0], "one", number, argv[1], (char *)NULL);
			_exit(127);
		}
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
